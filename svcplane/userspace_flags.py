"""What is said of mode userspace beside the configuration."""

from __future__ import annotations

from typing import NamedTuple

from dataplane.errors import InputError
from dataplane.userspace.queue_reader import package
from dataplane.userspace.xdp.options import XdpOptions, xdp_options

_NFQUEUE, _AF_XDP, _PYTHON = PORTS = "nfqueue", "af_xdp", "nfqueue_python"


class UserspaceFlags(NamedTuple):
    """`port` is how packets come in; the others are about AF_XDP, see docs/af-xdp.md."""

    port: str = _NFQUEUE
    interfaces: tuple[str, ...] = ()
    xdp_mode: str = "auto"
    busy_poll: int = 0

    def xdp(self) -> XdpOptions | None:
        """How AF_XDP is to be used, or None if it is not. InputError if the flags make no sense."""
        if self.port not in (_NFQUEUE, _AF_XDP, _PYTHON):
            raise InputError(f"--userspace-port {self.port!r}: expected {_NFQUEUE}, {_AF_XDP} or {_PYTHON}")
        if self.port == _AF_XDP:
            return xdp_options(self.interfaces, self.xdp_mode, self.busy_poll)
        if self != UserspaceFlags(self.port):
            raise InputError(
                f"--xdp-interfaces, --xdp-mode and --xdp-busy-poll: expected with --userspace-port={_AF_XDP}"
            )
        return None

    def check_here(self) -> None:
        """InputError if this machine lacks what they need, and that can be known before anything is changed."""
        if self.in_python:
            package()

    @property
    def in_python(self) -> bool:
        """Whether packets are to be read one at a time in Python."""
        return self.port == _PYTHON
