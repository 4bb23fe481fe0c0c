"""What is there without any Service: the fixed chains, and how packets get into them.

nat/KUBE-SERVICES              which frontend is it?  (PREROUTING, OUTPUT; node ports last)
nat/KUBE-POSTROUTING           what is marked is masqueraded
filter/KUBE-PROXY-FIREWALL     what a load balancer's source ranges keep out
filter/KUBE-SERVICES           cluster IPs that nobody serves
filter/KUBE-EXTERNAL-SERVICES  the same of other addresses and node ports
filter/KUBE-FORWARD            what belongs to a translated connection may pass
"""

from __future__ import annotations

from typing import NamedTuple

from dataplane.iptables import rules
from dataplane.iptables.chain import FILTER, MANGLE, NAT, Chain, Options, Rules, Setting
from dataplane.iptables.rules import NEW, comment, jump, rule
from dataplane.table import Family, ForwardingTable, Protocol

MARK_MASQUERADE = "KUBE-MARK-MASQ"
CANARY = "KUBE-PROXY-CANARY"

SERVICES = Chain(NAT, "KUBE-SERVICES")
NODE_PORTS = Chain(NAT, "KUBE-NODEPORTS")
POSTROUTING = Chain(NAT, "KUBE-POSTROUTING")
MARKING = Chain(NAT, MARK_MASQUERADE)
REFUSED = Chain(FILTER, "KUBE-SERVICES")
REFUSED_EXTERNAL = Chain(FILTER, "KUBE-EXTERNAL-SERVICES")
FORWARDING = Chain(FILTER, "KUBE-FORWARD")
HEALTH_CHECKS = Chain(FILTER, "KUBE-NODEPORTS")
SOURCE_LIMITS = Chain(FILTER, "KUBE-PROXY-FIREWALL")
CANARIES = tuple(Chain(table, CANARY) for table in (MANGLE, NAT, FILTER))

#: Chains that Services add rules to.
SHARED = (SERVICES, NODE_PORTS, REFUSED, REFUSED_EXTERNAL, SOURCE_LIMITS)

#: Every fixed chain that is ours alone.
FIXED = frozenset({*SHARED, POSTROUTING, MARKING, FORWARDING, HEALTH_CHECKS, *CANARIES})

#: Kubelet's too: rules are added, and nothing else is changed.
HOST_FIREWALL = Chain(FILTER, "KUBE-FIREWALL")


class Guest(NamedTuple):
    """A rule of ours in a chain that is not."""

    chain: Chain
    rule: str

    def __str__(self) -> str:
        return f"rule in chain {self.chain}: {self.rule}"


def fixed_chains(setting: Setting) -> dict[Chain, Rules]:
    """All fixed chains without what Services add; KUBE-SERVICES ends in `node_port_jumps`."""
    chains: dict[Chain, Rules] = dict.fromkeys((*CANARIES, *SHARED, HEALTH_CHECKS), ())
    chains[SERVICES] = node_port_jumps(setting)
    chains[FORWARDING] = _forwarding(setting.options)
    chains[MARKING] = (rules.set_mark(setting.options.mark),)
    chains[POSTROUTING] = _postrouting(setting.options.mark)
    return chains


def node_port_jumps(setting: Setting) -> Rules:
    """Addresses of their own come before node ports, so this ends the chain."""
    remark = comment("kubernetes service nodeports; NOTE: this must be the last rule in this chain")
    return tuple(
        rule(address, remark, match, jump(NODE_PORTS.name)) for address, match in setting.node_port_destinations()
    )


def health_checks(table: ForwardingTable, family: Family) -> Rules:
    """Load balancers that ask for health come in, whatever rules follow ours."""
    return tuple(
        rule(
            rules.to_port(Protocol.TCP, check.port, f"{check.service} health check node port"),
            rules.ACCEPT,
        )
        for check in sorted(table.health_check_ports)
        if check.family is family
    )


def _forwarding(options: Options) -> Rules:
    forwarding = comment("kubernetes forwarding rules")
    ours = rule(forwarding, rules.with_mark(options.mark), rules.ACCEPT)
    known = rule(
        comment("kubernetes forwarding conntrack rule"), "-m conntrack --ctstate RELATED,ESTABLISHED", rules.ACCEPT
    )
    invalid = rule("-m conntrack --ctstate INVALID", rules.DROP)
    return (invalid, ours, known) if options.drop_invalid else (ours, known)


def _postrouting(mark: int) -> Rules:
    # The mark is taken off again, so that a packet which meets the stack twice is not masqueraded twice.
    return (
        rule(rules.with_mark(mark, invert=True), rules.RETURN),
        rules.flip_mark(mark),
        rule(comment("kubernetes service traffic requiring SNAT"), "-j MASQUERADE --random-fully"),
    )


#: Kube-proxy does not write this one: where it is, the chains are ours. What this host sends to an address that nobody
#: serves is refused by it, as in other modes. What is for this host itself meets INPUT, and is refused there.
OUR_OWN = Guest(
    Chain(FILTER, "OUTPUT"),
    rule(
        NEW,
        "-m addrtype ! --dst-type LOCAL",
        comment("kubernetes externally-visible service portals"),
        jump(REFUSED_EXTERNAL.name),
    ),
)


def guests(setting: Setting) -> tuple[Guest, ...]:
    """Our rules in other chains. Each is put before what is there, in this order."""
    refuse = rule(NEW, comment("kubernetes service portals"), jump(REFUSED.name))
    refuse_external = rule(NEW, comment("kubernetes externally-visible service portals"), jump(REFUSED_EXTERNAL.name))
    limit = rule(NEW, comment("kubernetes load balancer firewall"), jump(SOURCE_LIMITS.name))
    translate = rule(comment("kubernetes service portals"), jump(SERVICES.name))
    found = [
        Guest(Chain(FILTER, "INPUT"), refuse_external),
        Guest(Chain(FILTER, "FORWARD"), refuse_external),
        OUR_OWN,
        Guest(Chain(FILTER, "INPUT"), rule(comment("kubernetes health check service ports"), jump(HEALTH_CHECKS.name))),
        Guest(Chain(FILTER, "FORWARD"), refuse),
        Guest(Chain(FILTER, "OUTPUT"), refuse),
        Guest(Chain(FILTER, "FORWARD"), rule(comment("kubernetes forwarding rules"), jump(FORWARDING.name))),
        *(Guest(Chain(FILTER, hook), limit) for hook in ("INPUT", "OUTPUT", "FORWARD")),
        Guest(Chain(NAT, "OUTPUT"), translate),
        Guest(Chain(NAT, "PREROUTING"), translate),
        Guest(Chain(NAT, "POSTROUTING"), rule(comment("kubernetes postrouting rules"), jump(POSTROUTING.name))),
    ]
    if setting.localhost:
        found += [Guest(Chain(FILTER, hook), jump(HOST_FIREWALL.name)) for hook in ("INPUT", "OUTPUT")]
        found.append(Guest(HOST_FIREWALL, _no_strangers_on_loopback()))
    return tuple(found)


def _no_strangers_on_loopback() -> str:
    """Routing to 127.0.0.0/8 is allowed for the sake of node ports, and for nobody from elsewhere (CVE-2020-8558)."""
    loopback = rules.LOOPBACK[Family.IPV4]
    return rule(
        f"! {rules.source(loopback)}",
        rules.destination(loopback),
        comment("block incoming localnet connections"),
        "-m conntrack ! --ctstate RELATED,ESTABLISHED,DNAT",
        rules.DROP,
    )
