"""Python's reader of TOML, which Python 3.9 and 3.10 do not have: `from chapters.toml import
tomllib`."""
import sys

if sys.version_info >= (3, 11):
    import tomllib  # noqa: F401
else:
    import tomli as tomllib  # noqa: F401
