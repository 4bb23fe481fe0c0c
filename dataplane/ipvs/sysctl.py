"""What IPVS must do besides, in the calling thread's network namespace."""

from __future__ import annotations

import platform
from pathlib import Path

from dataplane.interface import DataplaneError

_IPVS = Path("/proc/sys/net/ipv4/vs")

#: In the order in which they are written.
SETTINGS = {
    "conntrack": "1",  # connections stay tracked, so that they can be masqueraded
    "expire_nodest_conn": "1",  # a real server that is deleted takes its flows with it
    "expire_quiescent_template": "1",  # who stays with a real server of weight 0 gets another
}


def set_up() -> None:
    """DataplaneError if something is refused."""
    settings = dict(SETTINGS)
    if _reuses_connections_slowly():
        settings["conn_reuse_mode"] = "0"
    for name, value in settings.items():
        path = _IPVS / name
        try:
            if path.read_text().strip() != value:
                path.write_text(value)
        except OSError as error:
            raise DataplaneError(f"ipvs: cannot set {path} to {value}: {error.strerror}") from error


def _reuses_connections_slowly() -> bool:
    """Linux 4.1 to 5.8: a client that takes the same port again waits a second."""
    version = tuple(int(part) for part in platform.release().split("-")[0].split(".")[:2])
    return (4, 1) <= version < (5, 9)
