"""Files are mounted whole, and the program itself reads them. CIVILHUB_BIN names it; without it that part is left out."""

import os
import re
import sys
import unittest

import yaml
from render import CHART, SCENARIOS, SOURCES, container, of_kind, one, render

sys.path.insert(0, str(SOURCES / "scripts"))
import chart_config  # noqa: E402

BINARY = os.environ.get("CIVILHUB_BIN") or None


def faults(scenario, values="", binary=None):
    return chart_config.examine(render(scenario, values=values), binary, SOURCES)[0]


class Whole(unittest.TestCase):
    def test_the_file_of_the_chart_is_mounted_as_it_is(self):
        mounted = one(render("minimal"), "ConfigMap", "hub-civilhub-config")["data"]
        self.assertEqual(mounted, {"civilhub.toml": (CHART / "files/civilhub.toml").read_text()})

    def test_a_file_of_ones_own_too(self):
        text = "# {{ not a template }} ${NOR_A_VARIABLE}\n[log]\nlevel = \"info\"\n"
        values = "configuration:\n  file: |\n" + "".join(f"    {line}\n" for line in text.splitlines())
        self.assertEqual(one(render("minimal", values=values), "ConfigMap", "hub-civilhub-config")["data"]["civilhub.toml"], text)

    def test_no_template_writes_a_key_of_the_configuration(self):
        for path in (CHART / "templates").rglob("*"):
            if path.is_file():
                self.assertNotRegex(path.read_text(), r"(?m)^\s*\[(hub|bus|store|lake|http|paths|keys|router|log|env)\]\s*$", path.name)

    def test_partners_are_one_file_each(self):
        data = one(render("production"), "ConfigMap", "hub-civilhub-partners")["data"]
        self.assertEqual(sorted(data), ["bank-jlbank.toml", "bigdata-platform.toml", "internet-plus.toml"])

    def test_without_partners_those_of_the_image_are_not_taken(self):
        manifests = render("minimal", values="partners: []")
        self.assertEqual(one(manifests, "ConfigMap", "hub-civilhub-partners")["data"], {})
        env = {entry["name"]: entry.get("value") for entry in container(manifests, "router")["env"]}
        self.assertEqual(env["CIVILHUB__PATHS__PARTNERS"], "/etc/civilhub/partners")

    def test_an_adapter_is_a_whole_folder_beside_those_of_the_image(self):
        manifests = render("custom-adapters")
        for role in ("adapters", "router", "deliver", "api"):
            paths = {mount["mountPath"]: mount["name"] for mount in container(manifests, role)["volumeMounts"]}
            self.assertIn("/usr/share/civilhub/adapters/night-shelter", paths)
            self.assertIn("/usr/share/civilhub/adapters/county-registry", paths)
        self.assertEqual(sorted(one(manifests, "ConfigMap", "hub-civilhub-adapter-night-shelter")["data"]), ["adapter.toml", "rz.vrl"])

    def test_pods_start_again_when_a_text_changes(self):
        def checksum(values=""):
            pod = one(render("minimal", values=values), "Deployment", "hub-civilhub-router")["spec"]["template"]
            return pod["metadata"]["annotations"]["checksum/configuration"]

        self.assertNotEqual(checksum(), checksum("configuration: {file: \"[log]\\nlevel = 'warn'\"}"))
        self.assertEqual(checksum(), checksum("router: {replicas: 4}"))

    def test_the_systems_of_the_values_are_those_of_the_hub(self):
        env = {entry["name"]: entry.get("value") for entry in container(render("production"), "adapters")["env"]}
        self.assertEqual(env["CIVILHUB__HUB__SYSTEMS"], "funeral,fund-payment,urban-dibao,assist-hall,disaster-report")


class Checked(unittest.TestCase):
    """Every scenario is good; each kind of mistake is found."""

    def test_every_scenario(self):
        for scenario in SCENARIOS:
            with self.subTest(scenario=scenario):
                self.assertEqual(faults(scenario, binary=BINARY), [])

    @unittest.skipUnless(BINARY, "CIVILHUB_BIN is not set")
    def test_the_program_names_a_wrong_key(self):
        told = "\n".join(faults("minimal", "configuration: {file: \"[bus]\\npartitoins = 3\"}", BINARY))
        self.assertIn("`bus.partitoins`", told)
        self.assertIn("did you mean `bus.partitions`", told)

    @unittest.skipUnless(BINARY, "CIVILHUB_BIN is not set")
    def test_the_program_reads_partners_and_adapters(self):
        told = "\n".join(faults("minimal", "partners: [{slug: bank-x, file: \"slug = 'bank-x'\"}]", BINARY))
        self.assertIn("bank-x.toml", told)
        values = "systems: [{slug: odd, adapter: {files: {adapter.toml: \"[system]\\nslug = 'odd'\"}}}]"
        self.assertIn("odd/adapter.toml", "\n".join(faults("minimal", values, BINARY)))

    def test_a_missing_credential(self):
        told = faults("minimal", "systems: [{slug: urban-dibao}]")
        self.assertEqual([fault for fault in told if "URBAN_DIBAO_URL" in fault and "hub-civilhub-adapters" in fault], told)
        self.assertTrue(told)

    def test_push_that_is_not_said(self):
        values = "systems: [{slug: disaster-report, credentials: {existingSecret: s, env: {DISASTER_REPORT_SECRET: k}}}]"
        self.assertIn("push: true", "\n".join(faults("minimal", values)))

    def test_a_file_that_is_not_mounted(self):
        values = "partners: [{slug: p, file: \"[transport]\\nkind = 'mailbox'\\ntoken_file = \\\"/run/secrets/civilhub/partners/p/token\\\"\"}]"
        self.assertIn("/run/secrets/civilhub/partners/p/token", "\n".join(faults("minimal", values)))

    def test_a_network_that_is_not_the_one_of_the_file(self):
        text = "[transport]\\nkind = 'webhook'\\nurl = 'https://b.example:8443/x'\\nallow = ['10.1.0.0/16']"
        values = f"partners: [{{slug: p, file: \"{text}\", network: {{egress: [{{cidrs: [10.9.0.0/16], ports: [443]}}]}}}}]"
        told = "\n".join(faults("minimal", values))
        for part in ("names 10.1.0.0/16", "open to 10.9.0.0/16", "port 8443"):
            self.assertIn(part, told)

    def test_more_routers_than_partitions(self):
        self.assertIn("`bus.partitions` is 4", "\n".join(faults("minimal", "router: {replicas: 9}")))

    def test_the_values_of_the_documentation(self):
        page = (SOURCES / "docs/deploy.md").read_text()
        values = yaml.safe_load(next(block for block in re.findall(r"```yaml\n(.*?)```", page, re.S) if "systems:" in block))
        text = (SOURCES / "config/partners/bank-jlbank.toml").read_text()
        line = 'secret_file = "/run/secrets/civilhub/partners/bank-jlbank/signing"'
        self.assertIn(line, page)
        values["partners"][0]["file"] = text.replace('secret = "${BANK_JLBANK_SECRET}"', line)
        self.assertEqual(faults("minimal", yaml.safe_dump(values), BINARY), [])

    def test_an_unknown_system(self):
        self.assertIn("no adapter `funreal`", "\n".join(faults("minimal", "systems: [{slug: funreal}]")))


if __name__ == "__main__":
    unittest.main()
