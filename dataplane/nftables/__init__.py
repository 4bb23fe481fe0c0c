"""The nftables dataplane.

Reading order: `dataplane.nft` (what a table is made of, and how it is sent), then `skeleton`, `shapes` and `affinity`
(the chains), `frontends` (what one frontend needs), `ruleset` (what a change needs), `dataplane` (all of it together).
Beside the way from table to kernel stand `remembering` (clients with affinity when backends change) and `where` (the
rules of one frontend, for people).
"""

from dataplane.nftables.dataplane import NftablesDataplane

__all__ = ["NftablesDataplane"]
