"""What the kernel at hand may lack."""

from __future__ import annotations

from dataplane.interface import DataplaneError
from dataplane.ipvs.kernel import Ipvs


def lacks_ipvs() -> str:
    """Why there is no IPVS here, in words; "" if there is."""
    try:
        Ipvs().close()
    except DataplaneError as error:
        return str(error)
    return ""
