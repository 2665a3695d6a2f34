"""One Deployment per role, and what differs between them."""

import unittest

from render import ROLES, container, containers, of_kind, one, pod_specs, render


class Roles(unittest.TestCase):
    def test_one_deployment_per_role_and_its_command(self):
        manifests = render("minimal")
        self.assertEqual(sorted(of_kind(manifests, "Deployment")), sorted(f"hub-civilhub-{role}" for role in ROLES))
        for role in ROLES:
            self.assertEqual(container(manifests, role)["args"], ["serve", role])

    def test_adapters_are_one_and_never_two(self):
        for scenario in ("minimal", "production"):
            spec = one(render(scenario), "Deployment", "hub-civilhub-adapters")["spec"]
            self.assertEqual((spec["replicas"], spec["strategy"]), (1, {"type": "Recreate"}))

    def test_the_exchange_is_one(self):
        manifests = render("production")
        spec = one(manifests, "Deployment", "hub-civilhub-exchange")["spec"]
        self.assertEqual((spec["replicas"], spec["strategy"]), (1, {"type": "Recreate"}))
        self.assertEqual(container(manifests, "exchange")["args"], ["serve", "exchange"])
        self.assertEqual(of_kind(render("sandbox", sets=["exchange.enabled=true"]), "Deployment").keys(), {"hub-civilhub-sandbox"})

    def test_others_are_replaced_without_a_gap(self):
        manifests = render("minimal")
        for role in ("router", "api"):
            strategy = one(manifests, "Deployment", f"hub-civilhub-{role}")["spec"]["strategy"]
            self.assertEqual(strategy["rollingUpdate"], {"maxUnavailable": 0, "maxSurge": 1})

    def test_a_lake_for_one_pod_is_handed_over_by_ending(self):
        def strategy(scenario):
            return one(render(scenario), "Deployment", "hub-civilhub-deliver")["spec"]["strategy"]["type"]

        self.assertEqual(strategy("minimal"), "Recreate")
        self.assertEqual(strategy("production"), "RollingUpdate", "ReadWriteMany")

    def test_replicas_are_left_to_the_autoscaler(self):
        manifests = render("production")
        self.assertNotIn("replicas", one(manifests, "Deployment", "hub-civilhub-router")["spec"])
        self.assertNotIn("replicas", one(manifests, "Deployment", "hub-civilhub-api")["spec"])
        self.assertEqual(one(manifests, "Deployment", "hub-civilhub-deliver")["spec"]["replicas"], 2)

    def test_selectors_fit_the_labels_of_the_pods_and_nothing_else(self):
        manifests = render("production")
        selectors = []
        for name, deployment in of_kind(manifests, "Deployment").items():
            selector = deployment["spec"]["selector"]["matchLabels"]
            self.assertLessEqual(selector.items(), deployment["spec"]["template"]["metadata"]["labels"].items(), name)
            selectors.append(tuple(sorted(selector.items())))
        self.assertEqual(len(set(selectors)), len(selectors))

    def test_services_find_their_pods(self):
        manifests = render("production")
        labels = {n: d["spec"]["template"]["metadata"]["labels"] for n, d in of_kind(manifests, "Deployment").items()}

        def found(service):
            selector = one(manifests, "Service", service)["spec"]["selector"]
            return sorted(name for name, have in labels.items() if selector.items() <= have.items())

        self.assertEqual(found("hub-civilhub-api"), ["hub-civilhub-api"])
        self.assertEqual(found("hub-civilhub-intake"), ["hub-civilhub-adapters"])
        self.assertEqual(found("hub-civilhub-metrics"), sorted(labels))

    def test_pushed_records_lead_to_the_one_adapters_process(self):
        paths = one(render("production"), "Ingress", "hub-civilhub")["spec"]["rules"][0]["http"]["paths"]
        backends = {path["path"]: path["backend"]["service"]["name"] for path in paths}
        self.assertEqual(backends.pop("/in"), "hub-civilhub-intake")
        self.assertIn("/v1/mailbox", backends)
        self.assertEqual(set(backends.values()), {"hub-civilhub-api"})

    def test_the_status_page_and_metrics_stay_inside(self):
        paths = [p["path"] for p in one(render("tls"), "Ingress", "hub-civilhub")["spec"]["rules"][0]["http"]["paths"]]
        self.assertFalse({"/", "/metrics", "/v1", "/v1/status", "/readyz"} & set(paths))


class Life(unittest.TestCase):
    def test_probes_ask_the_pages_of_the_hub(self):
        manifests = render("minimal")
        for role in ROLES:
            probes = container(manifests, role)
            self.assertEqual(probes["livenessProbe"]["httpGet"], {"path": "/livez", "port": "http"})
            self.assertEqual(probes["readinessProbe"]["httpGet"], {"path": "/readyz", "port": "http"})
            self.assertEqual(probes["startupProbe"]["httpGet"]["path"], "/livez")
            self.assertGreaterEqual(probes["startupProbe"]["failureThreshold"] * probes["startupProbe"]["periodSeconds"], 300)
            # /readyz itself takes up to two seconds to say no.
            self.assertGreater(probes["readinessProbe"]["timeoutSeconds"], 2)

    def test_the_drain_is_shorter_than_the_grace_period(self):
        for name, spec in pod_specs(render("production")):
            if spec["containers"][0].get("args", [""])[0] != "serve":
                continue
            wait = spec["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]
            # 25 s at most for the batches (src/hub/roles.rs), then bus and store are closed.
            self.assertGreaterEqual(spec["terminationGracePeriodSeconds"], wait + 25 + 5, name)

    def test_old_clusters_know_no_sleep(self):
        self.assertNotIn("lifecycle", container(render("minimal", flags=["--kube-version", "1.28.0"]), "api"))

    def test_init_containers_migrate_on_install(self):
        manifests = render("minimal")
        for role in ROLES:
            init = one(manifests, "Deployment", f"hub-civilhub-{role}")["spec"]["template"]["spec"]["initContainers"]
            self.assertEqual([entry["args"] for entry in init], [["migrate"]])
            self.assertEqual([entry["name"] for entry in init[0]["env"]], ["CIVILHUB__STORE__URL"])

    def test_a_hook_migrates_before_an_upgrade(self):
        job = one(render("minimal", flags=["--is-upgrade"]), "Job", "hub-civilhub-migrate")
        self.assertEqual(job["metadata"]["annotations"]["helm.sh/hook"], "pre-upgrade")
        self.assertIn("before-hook-creation", job["metadata"]["annotations"]["helm.sh/hook-delete-policy"])
        pod = job["spec"]["template"]["spec"]
        self.assertEqual((pod["containers"][0]["args"], pod["restartPolicy"]), (["migrate"], "Never"))

    def test_the_hook_needs_nothing_that_the_upgrade_brings(self):
        volumes = one(render("tls"), "Job", "hub-civilhub-migrate")["spec"]["template"]["spec"]["volumes"]
        self.assertEqual([v["name"] for v in volumes if "configMap" in v or "projected" in v], [])

    def test_helm_test_reads_configuration_and_store(self):
        pod = one(render("minimal"), "Pod", "hub-civilhub-test")
        self.assertEqual(pod["metadata"]["annotations"]["helm.sh/hook"], "test")
        self.assertEqual([entry["args"] for entry in containers(pod["spec"])], [["check"], ["doctor"], ["dead", "list"], ["--version"]])

    def test_budgets_only_where_a_pod_can_be_spared(self):
        self.assertEqual(sorted(of_kind(render("minimal"), "PodDisruptionBudget")), ["hub-civilhub-api", "hub-civilhub-router"])
        budgets = of_kind(render("production"), "PodDisruptionBudget")
        self.assertEqual(sorted(budgets), ["hub-civilhub-api", "hub-civilhub-deliver", "hub-civilhub-router"])
        self.assertTrue(all(budget["spec"]["maxUnavailable"] == 1 for budget in budgets.values()))

    def test_pods_of_a_role_are_spread(self):
        spec = one(render("production"), "Deployment", "hub-civilhub-router")["spec"]["template"]["spec"]
        keys = {entry["topologyKey"]: entry for entry in spec["topologySpreadConstraints"]}
        self.assertEqual(sorted(keys), ["kubernetes.io/hostname", "topology.kubernetes.io/zone"])
        self.assertEqual(keys["kubernetes.io/hostname"]["whenUnsatisfiable"], "DoNotSchedule")
        self.assertEqual(keys["kubernetes.io/hostname"]["labelSelector"]["matchLabels"]["app.kubernetes.io/component"], "router")


class Sandbox(unittest.TestCase):
    def test_it_is_one_pod_and_asks_for_nothing(self):
        manifests = render("sandbox")
        self.assertEqual(sorted(of_kind(manifests, "Deployment")), ["hub-civilhub-sandbox"])
        pod = one(manifests, "Deployment", "hub-civilhub-sandbox")["spec"]["template"]["spec"]
        self.assertEqual(pod["containers"][0]["args"], ["demo", "--persons", "500", "--seed", "7"])
        self.assertNotIn("secretKeyRef", str(manifests))
        for kind in ("Job", "PersistentVolumeClaim", "RabbitmqCluster", "Secret"):
            self.assertEqual(of_kind(manifests, kind), {})

    def test_nothing_leaves_it(self):
        policies = of_kind(render("sandbox"), "NetworkPolicy").values()
        self.assertFalse([policy for policy in policies if policy["spec"].get("egress")])
        self.assertTrue(any("Egress" in policy["spec"]["policyTypes"] for policy in policies))

    def test_a_production_release_has_no_trace_of_it(self):
        self.assertNotIn("demo", str(render("production")))


if __name__ == "__main__":
    unittest.main()
