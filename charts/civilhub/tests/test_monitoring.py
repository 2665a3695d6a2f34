"""Scaling, metrics, alerts, dashboard: names of metrics are those of the hub."""

import json
import re
import unittest

import yaml
from render import CHART, SOURCES, metric_names, metrics_in, of_kind, one, render

RULES = yaml.safe_load((CHART / "files/civilhub.rules.yaml").read_text())
ALERTS = [rule for group in RULES["groups"] for rule in group["rules"] if "alert" in rule]


def anchors(path):
    """The links that the headings of a page make."""
    heads = re.findall(r"^#+ (.*)$", path.read_text(), re.M)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


class Scaling(unittest.TestCase):
    def test_keda_asks_for_the_age_of_the_oldest_message(self):
        spec = one(render("production"), "ScaledObject", "hub-civilhub-router")["spec"]
        self.assertEqual(set(spec) - {"advanced", "fallback", "pollingInterval"}, {"scaleTargetRef", "minReplicaCount", "maxReplicaCount", "triggers"})
        self.assertEqual(spec["scaleTargetRef"]["name"], "hub-civilhub-router")
        trigger = spec["triggers"][0]
        self.assertEqual((trigger["type"], trigger["metricType"], trigger["metadata"]["threshold"]), ("prometheus", "Value", "30"))
        self.assertEqual(metrics_in(trigger["metadata"]["query"]), {"civilhub_queue_oldest_seconds"})
        self.assertIn('namespace="civil"', trigger["metadata"]["query"])

    def test_hpa_knows_age_and_cpu(self):
        spec = one(render("existing-broker"), "HorizontalPodAutoscaler", "hub-civilhub-router")["spec"]
        self.assertEqual([metric["type"] for metric in spec["metrics"]], ["External", "Resource"])
        self.assertEqual(spec["metrics"][0]["external"]["metric"]["name"], "civilhub_records_oldest_seconds")
        self.assertEqual(spec["metrics"][0]["external"]["target"], {"type": "Value", "value": "60"})

    def test_one_scaler_for_a_role(self):
        for scenario in ("production", "existing-broker", "minimal"):
            manifests = render(scenario)
            targets = [m["spec"]["scaleTargetRef"]["name"] for m in manifests if m["kind"] in ("HorizontalPodAutoscaler", "ScaledObject")]
            self.assertEqual(len(targets), len(set(targets)))
            self.assertFalse({"hub-civilhub-adapters", "hub-civilhub-deliver"} & set(targets))


class Metrics(unittest.TestCase):
    def test_the_monitor_finds_the_service(self):
        manifests = render("production")
        monitor = one(manifests, "ServiceMonitor", "hub-civilhub")
        self.assertEqual(monitor["metadata"]["labels"]["release"], "prometheus")
        wanted = monitor["spec"]["selector"]["matchLabels"].items()
        found = [n for n, s in of_kind(manifests, "Service").items() if wanted <= s["metadata"]["labels"].items()]
        self.assertEqual(found, ["hub-civilhub-metrics"])
        endpoint = monitor["spec"]["endpoints"][0]
        ports = [port["name"] for port in one(manifests, "Service", found[0])["spec"]["ports"]]
        self.assertEqual((endpoint["path"], endpoint["port"] in ports), ("/metrics", True))

    def test_alerts_and_dashboard_name_metrics_that_exist(self):
        known = metric_names()
        self.assertGreater(len(known), 20)
        for rule in (rule for group in RULES["groups"] for rule in group["rules"]):
            recorded = {other["record"] for group in RULES["groups"] for other in group["rules"] if "record" in other}
            self.assertLessEqual(metrics_in(rule["expr"]), known | recorded, rule.get("alert"))
        dashboard = json.loads((CHART / "files/dashboard.json").read_text())
        used = set()
        for panel in dashboard["panels"]:
            for target in panel.get("targets", []):
                used |= metrics_in(target["expr"])
                self.assertIn('namespace="$namespace"', target["expr"], panel["title"])
        self.assertLessEqual(used, known)
        self.assertGreater(len(used), 15)

    def test_every_alert_says_what_to_do(self):
        self.assertGreater(len(ALERTS), 10)
        self.assertEqual(len({rule["alert"] for rule in ALERTS}), len(ALERTS))
        for rule in ALERTS:
            self.assertRegex(rule["labels"]["severity"], r"^[a-z]+$", rule["alert"])
            self.assertTrue(rule["annotations"].get("summary"), rule["alert"])
            link = rule["annotations"]["runbook_url"]
            page, _, anchor = link.partition("#")
            self.assertTrue(anchor, rule["alert"])
            if page.startswith("docs/"):
                self.assertIn(anchor, anchors(SOURCES / page), rule["alert"])

    def test_the_rules_are_mounted_whole(self):
        rule = one(render("operator"), "PrometheusRule", "hub-civilhub")
        self.assertEqual(rule["spec"], RULES)
        moved = one(render("production"), "PrometheusRule", "hub-civilhub")
        links = [r["annotations"]["runbook_url"] for g in moved["spec"]["groups"] for r in g["rules"] if "alert" in r]
        self.assertTrue(all("wiki.civil-affairs.example" in link for link in links if "operations" in link), links)

    def test_the_copy_of_the_rules_is_the_one_of_the_sources(self):
        original = SOURCES / "config/alerts/civilhub.rules.yaml"
        if not original.exists():
            self.skipTest("the sources have no rule file")
        self.assertEqual((CHART / "files/civilhub.rules.yaml").read_bytes(), original.read_bytes(), f"cp {original} there")

    def test_the_dashboard_is_whole(self):
        found = one(render("production"), "ConfigMap", "hub-civilhub-dashboard")
        self.assertEqual(found["metadata"]["labels"]["grafana_dashboard"], "1")
        self.assertEqual(found["data"]["civilhub.json"], (CHART / "files/dashboard.json").read_text())
        panels = json.loads(found["data"]["civilhub.json"])["panels"]
        self.assertEqual(len({panel["id"] for panel in panels}), len(panels))
        places = [tuple(panel["gridPos"].values()) for panel in panels]
        self.assertEqual(len(set(places)), len(places), "no panel lies on another")


class Broker(unittest.TestCase):
    # The fields of RabbitmqCluster v1beta1 that the chart uses.
    FIELDS = {"replicas", "image", "resources", "persistence", "rabbitmq", "affinity"}

    def test_the_operator_makes_what_the_hub_needs(self):
        manifests = render("operator")
        cluster = one(manifests, "RabbitmqCluster", "hub-civilhub-rabbitmq")
        self.assertEqual(cluster["apiVersion"], "rabbitmq.com/v1beta1")
        self.assertLessEqual(set(cluster["spec"]), self.FIELDS)
        self.assertEqual(cluster["spec"]["rabbitmq"]["additionalPlugins"], ["rabbitmq_consistent_hash_exchange"])
        self.assertEqual(cluster["spec"]["persistence"], {"storage": "50Gi", "storageClassName": "fast"})
        self.assertTrue(cluster["spec"]["rabbitmq"]["additionalConfig"].startswith("cluster_partition_handling"))

    def test_the_address_is_put_together_by_the_pod(self):
        pod = one(render("operator"), "Deployment", "hub-civilhub-router")["spec"]["template"]["spec"]
        env = {entry["name"]: entry for entry in pod["containers"][0]["env"]}
        self.assertEqual(env["RABBITMQ_PASSWORD"]["valueFrom"]["secretKeyRef"], {"name": "hub-civilhub-rabbitmq-default-user", "key": "password"})
        address = env["CIVILHUB__BUS__URL"]["value"]
        self.assertEqual(address, "amqp://$(RABBITMQ_USERNAME):$(RABBITMQ_PASSWORD)@hub-civilhub-rabbitmq.civil.svc:5672/%2f")
        order = list(env)
        self.assertLess(order.index("RABBITMQ_PASSWORD"), order.index("CIVILHUB__BUS__URL"), "only what stands before is expanded")

    def test_an_existing_broker_makes_none(self):
        for scenario in ("minimal", "production", "existing-broker", "sandbox"):
            self.assertEqual(of_kind(render(scenario), "RabbitmqCluster"), {})


if __name__ == "__main__":
    unittest.main()
