"""The two things about the build that pyproject.toml has no key for."""

from setuptools import setup

setup(
    cffi_modules=["native/build_ffi.py:ffibuilder"],
    # One wheel for Python 3.11 and everything later.
    options={"bdist_wheel": {"py_limited_api": "cp311"}},
)
