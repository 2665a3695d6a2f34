"""Renders the chart with a real Helm, for the tests beside this file. HELM names the program; `helm` otherwise."""

import functools
import os
import re
import subprocess
from pathlib import Path

import yaml

CHART = Path(__file__).resolve().parent.parent
SOURCES = CHART.parent.parent
SCENARIOS = sorted(path.stem for path in (CHART / "ci").glob("*.yaml"))
ROLES = ("adapters", "router", "deliver", "exchange", "api")


@functools.cache
def helm(*arguments, stdin=None):
    program = os.environ.get("HELM", "helm")
    return subprocess.run([program, *arguments], input=stdin, capture_output=True, text=True, timeout=60)


def run(scenario, sets=(), flags=(), values=""):
    """The finished process of `helm template`; `values` is YAML above the scenario."""
    arguments = ["template", "hub", str(CHART), "--namespace", "civil", "-f", str(CHART / "ci" / f"{scenario}.yaml")]
    if values:
        arguments += ["-f", "-"]
    for entry in sets:
        arguments += ["--set", entry]
    return helm(*arguments, *flags, stdin=values or None)


@functools.cache
def parse(text):
    return [manifest for manifest in yaml.load_all(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader)) if manifest]


def render(scenario, sets=(), flags=(), values=""):
    """All manifests as a list, not to be changed; the test fails where Helm does."""
    done = run(scenario, tuple(sets), tuple(flags), values)
    assert done.returncode == 0, done.stderr
    return parse(done.stdout)


def refused(scenario, sets=(), values=""):
    """What Helm says when it refuses; the test fails where it does not."""
    done = run(scenario, tuple(sets), (), values)
    assert done.returncode != 0, f"{sets} {values} was accepted"
    return done.stderr


def of_kind(manifests, kind):
    return {m["metadata"]["name"]: m for m in manifests if m["kind"] == kind}


def one(manifests, kind, name):
    found = of_kind(manifests, kind)
    assert name in found, f"no {kind} {name} among {sorted(found)}"
    return found[name]


def pod_specs(manifests):
    """Name and pod spec of everything that runs a pod of this chart."""
    for manifest in manifests:
        if manifest["kind"] in ("Deployment", "Job"):
            yield manifest["metadata"]["name"], manifest["spec"]["template"]["spec"]
        if manifest["kind"] == "Pod":
            yield manifest["metadata"]["name"], manifest["spec"]


def containers(spec):
    return spec.get("initContainers", []) + spec["containers"]


def container(manifests, role):
    return one(manifests, "Deployment", f"hub-civilhub-{role}")["spec"]["template"]["spec"]["containers"][0]


def metric_names():
    """Every metric that the hub has, from the table that is made from its code."""
    table = (SOURCES / "docs/telemetry.md").read_text().split("<!-- metrics -->")[1]
    return set(re.findall(r"^\| `(\w+)` \|", table, re.M))


def metrics_in(expression):
    """Metrics of the hub that an expression names, histograms without their endings."""
    found = re.findall(r"\b(?:civilhub|process)_\w+", expression)
    return {re.sub(r"_(bucket|sum|count)$", "", name) for name in found}
