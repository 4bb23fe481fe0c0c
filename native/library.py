"""The C library as it is: one Python name for one C name, no layer between.

`lib` holds the functions, enums and constants that the .cdef files declare, `ffi` makes and reads the structures.
What they mean is written in the headers. Whoever wants objects uses `dataplane.userspace`.
"""

from __future__ import annotations

from native._native import ffi, lib

__all__ = ["ffi", "lib"]
