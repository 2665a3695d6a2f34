"""Default deny, opened for whom the values name."""

import unittest

from render import SCENARIOS, of_kind, one, render


def selects(policy, labels):
    selector = policy["spec"]["podSelector"]
    fits = selector.get("matchLabels", {}).items() <= labels.items()
    return fits and all(labels.get(e["key"]) in e["values"] for e in selector.get("matchExpressions", []))


def pods(manifests):
    found = {n: d["spec"]["template"]["metadata"]["labels"] for n, d in of_kind(manifests, "Deployment").items()}
    found |= {n: d["spec"]["template"]["metadata"]["labels"] for n, d in of_kind(manifests, "Job").items()}
    return found | {n: d["metadata"]["labels"] for n, d in of_kind(manifests, "Pod").items()}


def reach(manifests, direction, side):
    """What pods of each name may reach, or be reached by: (peer, ports) as text."""
    found = {}
    for name, labels in pods(manifests).items():
        rules = [r for p in of_kind(manifests, "NetworkPolicy").values() if selects(p, labels) for r in p["spec"].get(direction) or []]
        found[name.removeprefix("hub-civilhub-")] = [(str(peer), [p["port"] for p in r["ports"]]) for r in rules for peer in r[side]]
    return found


class Network(unittest.TestCase):
    def test_every_pod_is_closed_in_both_directions(self):
        for scenario in SCENARIOS:
            manifests = render(scenario)
            deny = one(manifests, "NetworkPolicy", "hub-civilhub-deny")
            self.assertEqual(deny["spec"]["policyTypes"], ["Ingress", "Egress"])
            self.assertFalse({"ingress", "egress"} & set(deny["spec"]))
            for name, labels in pods(manifests).items():
                self.assertTrue(selects(deny, labels), f"{scenario}: {name}")

    def test_no_rule_opens_to_everybody(self):
        for scenario in SCENARIOS:
            for name, policy in of_kind(render(scenario), "NetworkPolicy").items():
                for direction, side in (("ingress", "from"), ("egress", "to")):
                    for rule in policy["spec"].get(direction) or []:
                        self.assertTrue(rule.get(side), f"{scenario}: {name}: a rule without peers is open to all")
                        self.assertTrue(rule.get("ports"), f"{scenario}: {name}: a rule without ports")
                        self.assertNotIn("0.0.0.0/0", str(rule))

    def test_deliver_and_exchange_reach_partners_and_only_adapters_reach_systems(self):
        out = reach(render("production"), "egress", "to")
        holds = lambda text: sorted(name for name, peers in out.items() if any(text in peer for peer, _ in peers))
        self.assertEqual(holds("10.1.0.0/16"), ["deliver", "exchange"])
        self.assertEqual(holds("10.2.4.17/32"), ["adapters"])
        self.assertEqual(holds("10.2.7.0/28"), ["adapters"])
        self.assertTrue(holds("tracing"))
        self.assertEqual(holds("10.2.1.0/28"), ["adapters", "api", "deliver", "exchange", "migrate", "router", "test"], "the database")

    def test_the_exchange_reaches_partners_too(self):
        out = reach(render("production", sets=["exchange.enabled=true"]), "egress", "to")
        for role, reached in (("deliver", True), ("exchange", True), ("router", False), ("adapters", False)):
            self.assertEqual(any("10.1.0.0/16" in peer for peer, _ in out[role]), reached, role)

    def test_partners_and_systems_come_in_where_they_are_served(self):
        into = reach(render("production"), "ingress", "from")
        holds = lambda text: sorted(name for name, peers in into.items() if any(text in peer for peer, _ in peers))
        self.assertEqual(holds("10.3.0.0/24"), ["api"])
        self.assertEqual(holds("10.2.9.0/24"), ["adapters"])
        self.assertEqual(holds("ingress-nginx"), ["adapters", "api"])
        self.assertEqual(holds("monitoring"), ["adapters", "api", "deliver", "exchange", "router"])

    def test_one_policy_per_partner_and_direction(self):
        names = [name for name in of_kind(render("production"), "NetworkPolicy") if "-partner-" in name]
        self.assertEqual(sorted(names), ["hub-civilhub-partner-bank-jlbank-out", "hub-civilhub-partner-internet-plus-in"])

    def test_the_broker_of_the_operator_is_reached_by_its_label(self):
        out = reach(render("operator"), "egress", "to")
        self.assertIn(("{'podSelector': {'matchLabels': {'app.kubernetes.io/name': 'hub-civilhub-rabbitmq'}}}", [5672]), out["router"])

    def test_the_broker_of_the_operator_is_closed_to_others(self):
        policy = one(render("operator"), "NetworkPolicy", "hub-civilhub-rabbitmq")["spec"]
        self.assertEqual(policy["podSelector"], {"matchLabels": {"app.kubernetes.io/name": "hub-civilhub-rabbitmq"}})
        hub = policy["ingress"][0]
        self.assertEqual([port["port"] for port in hub["ports"]], [5672])
        self.assertEqual(hub["from"][0]["podSelector"]["matchLabels"]["app.kubernetes.io/instance"], "hub")

    def test_ports_of_store_and_bus(self):
        out = reach(render("existing-broker"), "egress", "to")["router"]
        self.assertEqual(sorted(port for _, ports in out for port in ports), [53, 53, 5671, 6432])

    def test_it_can_be_switched_off(self):
        self.assertEqual(of_kind(render("production", sets=["networkPolicy.enabled=false"]), "NetworkPolicy"), {})

    def test_long_names_stay_within_the_limit_and_apart(self):
        slug = "a" * 60
        values = f"systems: [{{slug: {slug}x, network: {{ingress: [10.0.0.0/8]}}}}, {{slug: {slug}y, network: {{ingress: [10.0.0.0/8]}}}}]"
        names = [n for n in of_kind(render("minimal", values=values), "NetworkPolicy") if "system" in n]
        self.assertEqual(len(set(names)), 2)
        self.assertLessEqual(max(map(len, names)), 63)


if __name__ == "__main__":
    unittest.main()
