"""What the restricted profile asks, and where secrets may be."""

import re
import unittest

from render import CHART, ROLES, SCENARIOS, container, containers, of_kind, one, pod_specs, refused, render, run

PASSWORD_IN_ADDRESS = re.compile(r"[a-z][a-z0-9+]*://[^\s/:@\"']*:(?!\$\()[^\s/@\"']+@")
KEY = re.compile(r"wh(?:sec|sk)_[A-Za-z0-9+/=]{16,}|PRIVATE KEY|\b[0-9a-f]{64}\b")


class Restricted(unittest.TestCase):
    def test_every_pod_of_every_scenario(self):
        for scenario in SCENARIOS:
            for name, spec in pod_specs(render(scenario)):
                with self.subTest(scenario=scenario, pod=name):
                    self.pod(spec)

    def pod(self, spec):
        self.assertIs(spec["automountServiceAccountToken"], False)
        self.assertIs(spec["enableServiceLinks"], False)
        self.assertIs(spec["securityContext"]["runAsNonRoot"], True)
        self.assertEqual(spec["securityContext"]["seccompProfile"], {"type": "RuntimeDefault"})
        self.assertFalse({"hostNetwork", "hostPID", "hostIPC"} & set(spec))
        for entry in containers(spec):
            context = entry["securityContext"]
            self.assertIs(context["readOnlyRootFilesystem"], True)
            self.assertIs(context["allowPrivilegeEscalation"], False)
            self.assertEqual(context["capabilities"], {"drop": ["ALL"]})
            self.assertIn("memory", entry["resources"]["limits"])
            self.assertIn("cpu", entry["resources"]["requests"])
        self.assertFalse([volume for volume in spec["volumes"] if "hostPath" in volume])

    def test_user_and_group(self):
        context = next(pod_specs(render("minimal")))[1]["securityContext"]
        self.assertEqual((context["runAsUser"], context["runAsGroup"], context["fsGroup"]), (10001, 10001, 10001))
        chosen = next(pod_specs(render("existing-broker")))[1]["securityContext"]
        self.assertFalse({"runAsUser", "fsGroup"} & set(chosen), "the platform chooses")

    def test_what_the_hub_writes_is_a_volume(self):
        manifests = render("minimal")
        for role in ROLES:
            mounts = {m["mountPath"]: m for m in container(manifests, role)["volumeMounts"] if not m.get("readOnly")}
            inbox_or_lake = {"adapters": {"/var/lib/civilhub/inbox"}, "deliver": {"/var/lib/civilhub/lake"}}.get(role, set())
            self.assertEqual(set(mounts), {"/tmp", "/var/lib/civilhub"} | inbox_or_lake)

    def test_data_outlive_the_release(self):
        claims = of_kind(render("minimal"), "PersistentVolumeClaim")
        self.assertEqual(sorted(claims), ["hub-civilhub-inbox", "hub-civilhub-lake"])
        for manifest in [*claims.values(), one(render("operator"), "RabbitmqCluster", "hub-civilhub-rabbitmq")]:
            self.assertEqual(manifest["metadata"]["annotations"]["helm.sh/resource-policy"], "keep")


class Secrets(unittest.TestCase):
    def test_no_secret_in_any_manifest(self):
        for scenario in SCENARIOS:
            text = run(scenario).stdout
            with self.subTest(scenario=scenario):
                self.assertEqual(of_kind(render(scenario), "Secret"), {})
                self.assertEqual(PASSWORD_IN_ADDRESS.findall(text), [])
                # The digest of the image and the checksums of texts are no keys.
                bare = re.sub(r"sha256:[0-9a-f]{64}|checksum/configuration: [0-9a-f]{64}", "", text)
                self.assertEqual(KEY.findall(bare), [])

    def test_no_template_makes_a_secret(self):
        for path in (CHART / "templates").rglob("*.yaml"):
            self.assertNotRegex(path.read_text(), r"kind: Secret\b", path.name)

    def test_keys_are_files(self):
        manifests = render("production")
        for role in ROLES:
            spec = one(manifests, "Deployment", f"hub-civilhub-{role}")["spec"]["template"]["spec"]
            volumes = {volume["name"]: volume for volume in spec["volumes"]}
            self.assertEqual(volumes["keys"]["secret"]["items"], [{"key": "keys.toml", "path": "keys.toml"}])
            self.assertEqual(volumes["keys"]["secret"]["defaultMode"], 0o440)
            names = {entry["name"]: entry.get("value") for entry in spec["containers"][0]["env"]}
            self.assertEqual(names["CIVILHUB__KEYS__FILE"], "/run/secrets/civilhub/keys/keys.toml")
            self.assertFalse([name for name in names if name.startswith("BANK_") or name.startswith("INTERNET_PLUS")])
            paths = [item["path"] for source in volumes["partner-secrets"]["projected"]["sources"] for item in source["secret"]["items"]]
            self.assertEqual(paths, ["bank-jlbank/signing", "internet-plus/token"])

    def test_keys_of_partners_are_refused_as_variables(self):
        values = "partners: [{slug: a, file: 'slug = \"a\"', credentials: {existingSecret: s, env: {A_SECRET: k, A_URL: u}}}]"
        told = refused("minimal", values=values)
        self.assertIn("A_SECRET", told)
        self.assertNotIn("A_URL", told)

    def test_only_adapters_and_pushing_see_the_credentials_of_systems(self):
        manifests = render("production")
        seen = {role: {e["name"] for e in container(manifests, role)["env"] if "valueFrom" in e} for role in ROLES}
        core = {"CIVILHUB__STORE__URL", "CIVILHUB__BUS__URL"}
        self.assertEqual(seen["router"], core)
        self.assertEqual(seen["deliver"], core)
        self.assertEqual(seen["api"], core | {"DISASTER_REPORT_SECRET"})
        self.assertIn("URBAN_DIBAO_URL", seen["adapters"])
        sftp = {role: "system-secrets" in str(container(render("custom-adapters"), role)) for role in ROLES}
        self.assertEqual(sftp, {"adapters": True, "router": False, "deliver": False, "exchange": False, "api": False})

    def test_every_credential_has_a_secret_and_a_key(self):
        env = {e["name"]: e["valueFrom"]["secretKeyRef"] for e in container(render("existing-broker"), "router")["env"] if "valueFrom" in e}
        self.assertEqual(env["CIVILHUB__STORE__URL"], {"name": "civilhub-store", "key": "uri"})
        self.assertEqual(env["CIVILHUB__BUS__URL"], {"name": "province-broker", "key": "amqp-uri"})

    def test_passwords_and_keys_in_texts_are_refused_and_not_repeated(self):
        cases = {
            "configuration: {file: \"[bus]\\nurl = 'amqp://hub:Geheim1@bus/v'\"}": "`configuration.file`",
            "configuration: {file: \"[store]\\nurl = 'postgres://hub:Geheim1@db/hub'\"}": "`configuration.file`",
            "partners: [{slug: a, file: \"secret = 'whsk_R2VoZWltMUdlaGVpbTFHZWhlaW0x'\"}]": "`partners[0].file`",
            "systems: [{slug: a, adapter: {files: {adapter.toml: \"url = 'mysql://u:Geheim1@db/x'\"}}}]": "`systems[0].adapter.files.adapter.toml`",
        }
        for values, place in cases.items():
            told = refused("minimal", values=values)
            self.assertIn(place, told)
            self.assertNotIn("Geheim1", told)
            self.assertNotIn("R2VoZWlt", told)


if __name__ == "__main__":
    unittest.main()
