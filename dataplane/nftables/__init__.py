"""The nftables dataplane.

Reading order: `layer3` and `fields` (what a packet has), `statements` (what a rule does), `objects` and `elements`
(what a table is made of), `skeleton`, `shapes` and `affinity` (the chains), `frontends` (what one frontend needs),
`ruleset` and `plan` (what a change needs), `transaction` (how it is sent), `dataplane` (all of it together). Beside
the way from table to kernel stand `dump` and `audit` (what is really there), `watch` (who else writes), `remembering`
(clients with affinity when backends change) and `where` (the rules of one frontend, for people).
"""

from dataplane.nftables.dataplane import NftablesDataplane

__all__ = ["NftablesDataplane"]
