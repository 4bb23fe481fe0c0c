"""How long tests wait for what should come: far longer than it takes anywhere, as nobody waits once it has come."""

from __future__ import annotations

import os

PATIENCE = float(os.environ.get("SVCPLANE_PATIENCE", "30"))  #: seconds; an emulated machine is slower than any real one
