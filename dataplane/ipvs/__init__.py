"""The IPVS dataplane.

Reading order: `marks` (how rules tell IPVS what to do), `servers` (which virtual servers a table needs), `rules` and
`ruleset` (who gets which mark), `delivery` (how packets come to IPVS at all), `kernel` and `programmed` (how virtual
servers come to be what they should be, and go without breaking connections), `dataplane` (all of it together); beside
it `sysctl` and `where`.
"""

from dataplane.ipvs.dataplane import IpvsDataplane, Timeouts
from dataplane.ipvs.kernel import ipvs_is_there

__all__ = ["IpvsDataplane", "Timeouts", "ipvs_is_there"]
