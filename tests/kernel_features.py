"""What the kernel at hand may lack."""

from __future__ import annotations

import errno

from dataplane.interface import DataplaneError
from dataplane.ipvs.kernel import Ipvs
from dataplane.netlink.napi import Deferral, NapiSettings


def lacks_ipvs() -> str:
    """Why there is no IPVS here, in words; "" if there is."""
    try:
        Ipvs().close()
    except DataplaneError as error:
        return str(error)
    return ""


def lacks_napi_settings() -> str:
    """Why the kernel cannot be told how it serves one queue, in words; "" if it can (Linux 6.13)."""
    try:
        settings = NapiSettings()
    except OSError as error:
        return f"no family netdev of generic netlink: {error}"
    try:
        # Nothing has the number 1: who knows the command says so, and who does not, that it is none.
        settings.set(Deferral(1, 0, 0))
    except OSError as error:
        return "" if error.errno == errno.ENOENT else f"no napi-set: {error}"
    finally:
        settings.close()
    return ""
