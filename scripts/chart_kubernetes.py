#!/usr/bin/env python3
"""Renders every scenario of the chart for several versions of Kubernetes and holds each manifest against the schemas of that
version, strictly and off line. Custom resources are held against charts/civilhub/tests/custom_resources.json.
Where two Helms are given, both must render the same.

Usage: chart_kubernetes.py [VERSION…]      HELM and HELM3 name the programs; needs PyYAML and kubernetes-validate
"""

import concurrent.futures
import functools
import json
import os
import subprocess
import sys
from pathlib import Path

import jsonschema
import yaml
from kubernetes_validate import utils

CHART = Path(__file__).resolve().parent.parent / "charts/civilhub"
VERSIONS = ("1.28", "1.31", "1.34", "1.37")
CUSTOM = json.loads((CHART / "tests/custom_resources.json").read_text())
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
# The schemas of a version are megabytes: read once.
utils.schema_contents = functools.cache(utils.schema_contents)
utils.all_versions = functools.cache(utils.all_versions)


def helm(program, scenario, version):
    arguments = ["template", "hub", str(CHART), "--namespace", "civil", "--kube-version", f"{version}.0", "-f", str(scenario)]
    done = subprocess.run([program, *arguments], capture_output=True, text=True, timeout=60)
    if done.returncode:
        sys.exit(f"{scenario.name} for {version}: {done.stderr}")
    return done.stdout


def render(case):
    """Text of one scenario for one version, and whether the second Helm says the same."""
    scenario, version = case
    text = helm(os.environ.get("HELM", "helm"), scenario, version)
    second = os.environ.get("HELM3")
    same = not second or manifests(helm(second, scenario, version)) == manifests(text)
    return scenario.stem, version, text, same


def manifests(text):
    return [manifest for manifest in yaml.load_all(text, LOADER) if manifest]


def fault(manifest, version):
    """What is wrong with one manifest, or None."""
    try:
        if manifest["kind"] in CUSTOM:
            jsonschema.validate(manifest, CUSTOM[manifest["kind"]])
        else:
            utils.validate(manifest, version, strict=True)
    except jsonschema.ValidationError as error:
        return f"{'.'.join(map(str, error.path))}: {error.message}"
    except utils.SchemaNotFoundError as error:
        return error.message


def must_be_able_to_fail(version):
    """A wrong key of a pod is found; otherwise all that follows would prove nothing."""
    pod = {"containers": [{"name": "a", "image": "a", "readinesProbe": {}}]}
    manifest = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}, "spec": pod}
    if "readinesProbe" not in (fault(manifest, version) or ""):
        sys.exit(f"the schemas for {version} let a wrong key pass")


def main():
    versions = sys.argv[1:] or VERSIONS
    for version in versions:
        must_be_able_to_fail(version)
    scenarios = sorted((CHART / "ci").glob("*.yaml"))
    cases = [(scenario, version) for version in versions for scenario in scenarios]
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        rendered = list(pool.map(render, cases))
    faults, seen, custom = [], {}, 0
    for scenario, version, text, same in rendered:
        if not same:
            faults.append(f"{scenario} for {version}: the two Helms render differently")
        for manifest in manifests(text):
            key = (version, json.dumps(manifest, sort_keys=True))
            if key in seen:
                continue
            seen[key] = fault(manifest, version)
            custom += manifest["kind"] in CUSTOM
            if seen[key]:
                faults.append(f"{scenario} for {version}: {manifest['kind']} {manifest['metadata']['name']}: {seen[key]}")
    print("\n".join(faults) or f"good: {len(scenarios)} scenarios for Kubernetes {', '.join(versions)}: {len(seen)} manifests, {custom} of them custom resources")
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
