#!/usr/bin/env python3
"""Checks the configuration that rendered manifests mount: what a pod would see is laid out in a folder, and `civilhub check`
reads it there. Then what only manifests and files together can show:

- every ${NAME} of a connected adapter has a variable in the pods that need it, and every file that is named is mounted;
- the network is open to each webhook partner, and to no other address than its file allows;
- there are no more routers than partitions.

Usage: helm template … | chart_config.py --civilhub BINARY [--sources FOLDER]      exit code 1 if anything is wrong
"""

import argparse
import base64
import ipaddress
import os
import re
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path
from urllib.parse import urlsplit

import yaml

# The loader in C where there is one: the same, and ten times as fast.
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
SHARE = "/usr/share/civilhub"
SECRETS = "/run/secrets/civilhub"
# A key of no hub: what a Secret would hold is not known here, only where it goes.
STAND_IN = {"URL": "postgres://u:p@store/db", "BUS": "amqp://u:p@bus/v"}


class Pod:
    """One container of the hub, with its variables and its files."""

    def __init__(self, manifest, manifests):
        self.name = manifest["metadata"]["name"]
        spec = manifest["spec"]["template"]["spec"] if "template" in manifest["spec"] else manifest["spec"]
        hub = [c for c in spec["containers"] if c.get("args", [""])[0] == "serve"]
        self.container = hub[0] if hub else None
        self.role = self.container["args"][1] if hub else None
        self.volumes = {volume["name"]: volume for volume in spec.get("volumes", [])}
        self.maps = {m["metadata"]["name"]: m.get("data") or {} for m in manifests if m["kind"] == "ConfigMap"}

    def variables(self):
        found = {}
        for entry in self.container["env"]:
            name = entry["name"]
            if "value" in entry:
                found[name] = re.sub(r"\$\((\w+)\)", lambda match: found.get(match[1], match[0]), entry["value"])
            else:
                found[name] = STAND_IN["URL" if "STORE" in name else "BUS"] if name.startswith("CIVILHUB__") else "stand-in"
        return found

    def files(self):
        """Path in the pod to text; None for a folder that is only there."""
        found = {}
        for mount in self.container["volumeMounts"]:
            volume = self.volumes[mount["name"]]
            found[mount["mountPath"]] = None
            for path, text in self.contents(volume):
                found[f"{mount['mountPath']}/{path}"] = text
        return found

    def contents(self, volume):
        sources = volume["projected"]["sources"] if "projected" in volume else [volume]
        for source in sources:
            if "configMap" in source:
                yield from self.config_map(source["configMap"])
            if "secret" in source:
                for item in source["secret"].get("items", []):
                    yield item["path"], secret(item["path"])

    def config_map(self, source):
        data = self.maps.get(source["name"])
        if data is None:
            if not source.get("optional"):
                print(f"note: ConfigMap {source['name']} is not among the manifests; it is not checked", file=sys.stderr)
            return
        items = source.get("items") or [{"key": key, "path": key} for key in data]
        for item in items:
            if item["key"] not in data:
                raise Wrong(f"{self.name}: ConfigMap {source['name']} has no key {item['key']}")
            yield item["path"], data[item["key"]]


class Wrong(Exception):
    pass


def secret(path):
    """A secret of the right form for where it is used."""
    if path.endswith("token"):
        return "stand-in-for-a-mailbox-token"
    if path.endswith(".toml"):
        return "".join(f'{name} = "{"07" * 32}"\n' for name in ("hmac", "aes", "ledger"))
    if path.endswith((".pem", ".crt")):
        return "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n"
    return "whsk_" + base64.b64encode(bytes([7] * 32)).decode()


def lay_out(pod, root, sources):
    """The places of the pod under `root`: those of the image are links to the sources, those of mounts are written."""
    adapters = root / SHARE[1:] / "adapters"
    adapters.mkdir(parents=True)
    # The other adapters of the image are nothing of this release, and reading them all takes seconds.
    for slug in pod.variables()["CIVILHUB__HUB__SYSTEMS"].split(","):
        if (sources / "adapters" / slug).is_dir():
            (adapters / slug).symlink_to(sources / "adapters" / slug)
    (root / SHARE[1:] / "schemas").symlink_to(sources / "schemas")
    (root / SHARE[1:] / "config").symlink_to(sources / "config")
    for path, text in pod.files().items():
        place = root / path[1:]
        if place.is_symlink():
            place.unlink()
        if text is None:
            place.mkdir(parents=True, exist_ok=True)
            continue
        place.parent.mkdir(parents=True, exist_ok=True)
        # Files name one another by their places in the pod.
        place.write_text(text.replace(SECRETS, str(root / SECRETS[1:])))


def moved(variables, root):
    """Variables that are places, as places under `root`."""
    places = ("/usr/share/", "/etc/civilhub", "/var/lib/civilhub", "/run/secrets/")
    return {name: f"{root}{value}" if value.startswith(places) else value for name, value in variables.items()}


def check(pod, root, binary):
    # `check` stands in for secrets that have no value, with one of the right form.
    known = {name: value for name, value in moved(pod.variables(), root).items() if value != "stand-in"}
    environment = {"PATH": os.environ["PATH"], **known}
    run = subprocess.run([binary, "check"], cwd=root / SHARE[1:], env=environment, capture_output=True, text=True, timeout=120)
    if run.returncode:
        yield f"{pod.name}: civilhub check: " + (run.stdout + run.stderr).replace(str(root), "").strip()


def names(path):
    """What ${…} and { file = … } and paths of mounted secrets a file asks for; comments ask for nothing."""
    text = re.sub(r"(?m)^\s*#.*$", "", path.read_text())
    return set(re.findall(r"\$\{(\w+)\}", text)), set(re.findall(r'"([^"\n]*/run/secrets/[^"\n]+)"', text))


def layers(pod, root, sources):
    """The built-in configuration and the file of the pod."""
    files = [sources / "config/civilhub.toml", Path(moved(pod.variables(), root)["CIVILHUB_CONFIG"])]
    return [tomllib.loads(file.read_text()) for file in files]


def partner_files(pod, root):
    return sorted(Path(moved(pod.variables(), root)["CIVILHUB__PATHS__PARTNERS"]).glob("*.toml"))


def credentials(pod, root, sources):
    """Whether what the files ask for is there, in the roles that read it."""
    variables, (defaults, file) = pod.variables(), layers(pod, root, sources)
    given = set(variables) | set(file.get("env", {}))
    for slug in variables["CIVILHUB__HUB__SYSTEMS"].split(","):
        adapter = root / SHARE[1:] / "adapters" / slug / "adapter.toml"
        if not adapter.exists():
            yield f"{pod.name}: there is no adapter `{slug}`"
            continue
        push = tomllib.loads(adapter.read_text()).get("source", {}).get("kind") == "http_push"
        if pod.role == "adapters" or (pod.role == "api" and push):
            yield from missing(pod, adapter, given, root, "set `push: true`" if pod.role == "api" else "see `credentials` of the system")
    # A hub that has `hub.partners` lets any other partner be without its address and secret.
    required = None if "partners" not in defaults["hub"] else file.get("hub", {}).get("partners", [])
    for partner in partner_files(pod, root):
        known = given if required is None or partner.stem in required else None
        yield from missing(pod, partner, known, root, "see `credentials` of the partner")


def missing(pod, file, given, root, hint):
    """`given` is None where no variable is needed."""
    wanted, paths = names(file)
    for name in sorted(wanted - given if given is not None else ()):
        yield f"{pod.name}: {file.relative_to(root)} needs the variable {name}: {hint}"
    for path in sorted(paths):
        if not Path(path).exists():
            yield f"{pod.name}: {file.relative_to(root)} needs the file {path.replace(str(root), '')}: {hint}"


def calls(partner, given):
    """Networks and ports that the hub may call for a partner; what has no address yet is not called."""
    networks, ports = set(map(ipaddress.ip_network, partner.get("endpoint_networks", []))), set()
    for endpoint in (partner.get("transport", {}), partner.get("query", {})):
        url = endpoint.get("url", "")
        wanted = set(re.findall(r"\$\{(\w+)\}", url))
        if not url or not wanted <= given:
            continue
        networks |= {ipaddress.ip_network(network) for network in endpoint.get("allow", [])}
        if not wanted:
            ports.add(urlsplit(url).port or {"https": 443, "http": 80}[urlsplit(url).scheme])
    return {network for network in networks if not network.is_loopback}, ports


def openings(pod, root, manifests):
    """The network beside the partner files: open to whom they allow, and to nobody else."""
    policies = {m["metadata"]["name"]: m["spec"] for m in manifests if m["kind"] == "NetworkPolicy"}
    if not policies:
        return
    for file in partner_files(pod, root):
        allowed, ports = calls(tomllib.loads(file.read_text()), set(pod.variables()))
        opened = [spec for name, spec in policies.items() if name.endswith(f"partner-{file.stem}-out")]
        rules = [rule for spec in opened for rule in spec["egress"]]
        cidrs = {ipaddress.ip_network(to["ipBlock"]["cidr"]) for rule in rules for to in rule["to"]}
        for network in sorted(allowed - cidrs, key=str):
            yield f"{file.stem}: `allow` names {network}, which no network policy opens: see `network.egress` of the partner"
        for network in sorted(cidrs - allowed, key=str):
            yield f"{file.stem}: the network is open to {network}, which `allow` of its file does not name"
        for port in sorted(ports - {port["port"] for rule in rules for port in rule["ports"]} if rules else ()):
            yield f"{file.stem}: port {port} of its address is not open"


def routers(pod, root, manifests, sources):
    """A partition has one active router: more routers than partitions stand idle for ever."""
    partitions = [layer.get("bus", {}).get("partitions") for layer in layers(pod, root, sources)]
    partitions = [number for number in partitions if number][-1]
    most = 0
    for manifest in manifests:
        spec = manifest.get("spec") or {}
        target = spec.get("scaleTargetRef", {}).get("name", manifest["metadata"]["name"])
        if target.endswith("-router"):
            most = max(most, spec.get("replicas", 0), spec.get("maxReplicas", 0), spec.get("maxReplicaCount", 0))
    if most > partitions:
        yield f"up to {most} routers, but `bus.partitions` is {partitions}: the others would never work"


def examine(manifests, binary, sources):
    """All faults of one release, and the number of pods that were looked at."""
    pods = [Pod(m, manifests) for m in manifests if m["kind"] == "Deployment"]
    pods = [pod for pod in pods if pod.container]
    faults = []
    for pod in pods:
        with tempfile.TemporaryDirectory(prefix="chart-config-") as folder:
            root = Path(folder)
            try:
                lay_out(pod, root, sources)
                # The files are the same in every role: one reading is enough.
                if binary and pod.role == "adapters":
                    faults.extend(check(pod, root, binary))
                faults.extend(credentials(pod, root, sources))
                if pod.role == "deliver":
                    faults.extend(openings(pod, root, manifests))
                if pod.role == "router":
                    faults.extend(routers(pod, root, manifests, sources))
            except Wrong as wrong:
                faults.append(str(wrong))
    return faults, len(pods)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--civilhub", help="the program; without it the files are compared only")
    parser.add_argument("--sources", type=Path, default=Path(__file__).resolve().parent.parent)
    options = parser.parse_args()
    manifests = [manifest for manifest in yaml.load_all(sys.stdin, LOADER) if manifest]
    faults, pods = examine(manifests, options.civilhub, options.sources.resolve())
    for fault in faults:
        print(fault)
    if not faults:
        print(f"good: {pods} pods")
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
