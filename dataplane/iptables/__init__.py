"""The iptables dataplane, in kube-proxy's own chains.

Reading order: `names` and `rules` (the words), `chain` (what all speak of), `skeleton` (the fixed chains), `pools`
and `service_port` (what a Service adds), `tree` (a long list divided), `ruleset` (all of it, and how it changes),
`restore` and `saved` (as text, and back), `audit`, `leaving`, `where`; and on the edge `command`, `variant`, `watch`,
`sysctl`; `dataplane` joins them.
"""

from dataplane.iptables.dataplane import IptablesDataplane
from dataplane.iptables.variant import choose_variant

__all__ = ["IptablesDataplane", "choose_variant"]
