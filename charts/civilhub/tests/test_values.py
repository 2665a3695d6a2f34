"""values.yaml, its schema and its refusals."""

import json
import unittest

import yaml
from render import CHART, SCENARIOS, helm, refused, render

VALUES = yaml.safe_load((CHART / "values.yaml").read_text())
SCHEMA = json.loads((CHART / "values.schema.json").read_text())
FREE = ("global", "extra", "annotations", "Annotations")


def resolved(schema):
    return SCHEMA["$defs"][schema["$ref"].rsplit("/", 1)[1]] if "$ref" in schema else schema


def objects(schema, path=""):
    """Every object of the schema with its path."""
    schema = resolved(schema)
    if schema.get("type") == "object":
        yield path, schema
    for name, inner in schema.get("properties", {}).items():
        yield from objects(inner, f"{path}.{name}")
    if isinstance(schema.get("items"), dict):
        yield from objects(schema["items"], f"{path}[]")


def keys(values, schema, path=""):
    """Keys of which one side knows nothing."""
    schema = resolved(schema)
    if not isinstance(values, dict) or "properties" not in schema:
        return
    for name in sorted(set(values) ^ set(schema["properties"])):
        yield f"{path}.{name}"
    for name in set(values) & set(schema["properties"]):
        yield from keys(values[name], schema["properties"][name], f"{path}.{name}")


class Schema(unittest.TestCase):
    # Small maps of Kubernetes whose parts may be left out.
    PARTLY = (".resources", ".affinity", ".requests", ".limits")

    def test_values_and_schema_know_the_same_keys(self):
        odd = [key for key in keys(VALUES, SCHEMA) if not any(part in key for part in self.PARTLY)]
        self.assertEqual(odd, [])

    def test_only_annotations_global_and_extra_are_free(self):
        for path, schema in objects(SCHEMA):
            name = path.rsplit(".", 1)[-1].removesuffix("[]")
            closed = schema.get("additionalProperties") is False
            named = "propertyNames" in schema or schema.get("additionalProperties") == {"type": "string", "maxLength": 63}
            inner = ".affinity." in path
            self.assertTrue(closed or named or inner or name.startswith("extra") or name in FREE or name.endswith("Annotations"), path)

    def test_a_typo_is_refused_at_every_level(self):
        closed = [p for p, s in objects(SCHEMA) if s.get("additionalProperties") is False and "[]" not in p]
        self.assertGreater(len(closed), 50)
        typos = {path: f"typo{number}" for number, path in enumerate(closed)}
        values = {}
        for path, typo in typos.items():
            place = values
            for name in path.split(".")[1:]:
                place = place.setdefault(name, {})
            place[typo] = 1
        told = refused("minimal", values=json.dumps(values))
        for path, typo in typos.items():
            self.assertRegex(told, rf"{path.rsplit('.', 1)[-1]}'?:.*\b{typo}\b", path)

    def test_one_typo_is_named_with_its_place(self):
        told = refused("minimal", sets=["router.replicsa=3"])
        self.assertIn("router", told)
        self.assertIn("replicsa", told)

    def test_a_typo_in_a_list_is_refused(self):
        for sets in ("systems[0].slog=x", "partners[0].fiel=x", "systems[0].network.egres=x", "router.tolerations[0].kay=x"):
            self.assertIn(sets.split("=")[0].rsplit(".", 1)[1], refused("minimal", sets=[sets]))

    def test_free_keys_are_free(self):
        render("minimal", sets=["global.anything.at=all", "api.podAnnotations.a=b", "extraEnv[0].name=A", "extraEnv[0].value=b"])

    def test_wrong_kinds_are_refused_with_their_place(self):
        cases = ("router.replicas=0", "router.replicas=two", "image.pullPolicy=Sometimes", "networkPolicy.store.port=70000",
                 "rabbitmq.mode=kafka", "image.digest=abc", "systems[0].slug=Not_A_Slug", "security.runAsUser=0")
        for sets in cases:
            place = sets.split("=")[0].replace("[0]", "")
            self.assertIn(place.rsplit(".", 1)[1], refused("minimal", sets=[sets]), sets)
        self.assertIn("adapters", refused("minimal", sets=["adapters.replicas=2"]), "there is one, always")


class Refusals(unittest.TestCase):
    def test_all_faults_at_once(self):
        done = helm("template", "hub", str(CHART))
        self.assertNotEqual(done.returncode, 0)
        for key in ("store.existingSecret.name", "rabbitmq.existingSecret.name", "keys.existingSecret.name", "systems"):
            self.assertIn(f"`{key}`", done.stderr)

    def test_what_cannot_work_is_refused(self):
        cases = {
            "drain: {gracePeriodSeconds: 30}": "at least 35",
            "drain: {preStopSeconds: 20}": "at least 50",
            "router: {autoscaling: {kind: hpa, minReplicas: 5, maxReplicas: 2}}": "`router.autoscaling.minReplicas`",
            "router: {autoscaling: {kind: keda}}": "`router.autoscaling.prometheusAddress`",
            "router: {autoscaling: {kind: hpa, externalMetric: '', cpuPercent: 0}}": "nothing to scale by",
            "deliver: {replicas: 2}": "ReadWriteMany",
            "rabbitmq: {operator: {replicas: 2}}": "odd number",
            "ingress: {enabled: true}": "`ingress.tlsSecret`",
            "systems: [{slug: a}, {slug: a}]": "there twice",
            "systems: [{slug: a, adapter: {files: {x.vrl: text}}}]": "no adapter.toml",
            "systems: [{slug: a, adapter: {}}]": "either `files` or `existingConfigMap`",
            "partners: [{slug: a}]": "either `file` or `existingConfigMap`",
            "{partnerFiles: image, partners: [{slug: a, file: x}]}": "comes from the image",
        }
        for values, told in cases.items():
            with self.subTest(values=values):
                self.assertIn(told, refused("minimal", values=values))

    def test_credentials_need_their_secret(self):
        self.assertIn("existingSecret", refused("minimal", values="systems: [{slug: a, credentials: {env: {A_URL: url}}}]"))


class Scenarios(unittest.TestCase):
    def test_names_are_valid_and_apart(self):
        for scenario in SCENARIOS:
            seen = set()
            for manifest in render(scenario):
                key = (manifest["kind"], manifest["metadata"]["name"])
                self.assertNotIn(key, seen, scenario)
                seen.add(key)
                self.assertRegex(key[1], r"^[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?$")

    def test_every_resource_of_the_chart_has_its_labels(self):
        for manifest in render("production"):
            self.assertEqual(manifest["metadata"]["labels"]["app.kubernetes.io/instance"], "hub", manifest["kind"])
            self.assertEqual(manifest["metadata"]["annotations"]["civil-affairs/owner"], "information-centre", manifest["kind"])

    def test_image_by_registry_tag_and_digest(self):
        def image(*sets, scenario="minimal"):
            found = [m for m in render(scenario, sets=sets) if m["kind"] == "Deployment"]
            return found[0]["spec"]["template"]["spec"]["containers"][0]["image"]

        self.assertEqual(image(), "civilhub:0.1.0")
        self.assertEqual(image("image.tag=v9", "image.registry=r.example"), "r.example/civilhub:v9")
        self.assertEqual(image("global.imageRegistry=g.example"), "g.example/civilhub:0.1.0")
        self.assertRegex(image(scenario="production"), r"^registry.example/civil-affairs/civilhub@sha256:")

    def test_extras_are_there(self):
        manifests = render("custom-adapters")
        for manifest in manifests:
            if manifest["kind"] == "Deployment":
                pod = manifest["spec"]["template"]["spec"]
                self.assertIn("codes", [volume["name"] for volume in pod["volumes"]])
        values = 'extraObjects: ["{apiVersion: v1, kind: ConfigMap, metadata: {name: {{ .Release.Name }}-more}}"]'
        self.assertIn("hub-more", [m["metadata"]["name"] for m in render("minimal", values=values)])


if __name__ == "__main__":
    unittest.main()
