# SPDX-License-Identifier: Apache-2.0
"""What to install where an optional dependency is missing."""

PROJECT = "thermo-speculative-decoding"
"""Name of the distribution, as in pyproject.toml."""


def install_hint(*, user: str, package: str, extra: str) -> str:
    """One line for a missing package: who needs it, and the extra (a key of pyproject.toml) that brings it."""
    return f"{user} needs the package {package}: pip install '{PROJECT}[{extra}]'"
