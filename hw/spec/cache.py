# SPDX-License-Identifier: Apache-2.0
"""Where built and fetched things are kept."""

import os
from pathlib import Path


def cache_folder(kind: str) -> Path:
    """Where things of one kind are kept.

    $TSD_CACHE/<kind> if that variable is set; build/<kind> in a checkout; else the user's cache folder
    ($XDG_CACHE_HOME or ~/.cache), tsd/<kind>.
    """
    chosen = os.environ.get("TSD_CACHE")
    if chosen:
        return Path(chosen).expanduser() / kind
    root = Path(__file__).resolve().parents[2]
    if (root / "pyproject.toml").is_file():
        return root / "build" / kind
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "tsd" / kind
