# SPDX-License-Identifier: Apache-2.0
"""Backends by name: what `--backend` accepts."""

import importlib
from collections.abc import Callable
from dataclasses import dataclass

from hw.spec.config import TsuConfig
from hw.spec.errors import SpecError

from .base import Tsu, TsuError

_PROJECT = "thermo-speculative-decoding"


@dataclass(frozen=True, kw_only=True)
class Backend:
    """How a backend is found; its module is imported only when it is opened.

    Parameters
    ----------
    summary : str
        One line for help texts.
    module : str
        Module that holds the class.
    factory : str
        The class, called with keywords config, seed and mode.
    extra : str or None
        Optional dependency group that the backend needs; None where the core suffices.
    """

    summary: str
    module: str
    factory: str
    extra: str | None


BACKENDS: dict[str, Backend] = {
    "model": Backend(
        summary="bit-true model, compiled C++ (fastest)", module="host.tsu.model", factory="ModelTsu", extra=None
    ),
    "rtl": Backend(
        summary="the Amaranth TSU, compiled by Verilator", module="host.tsu.rtl", factory="RtlTsu", extra="sim"
    ),
}
"""Every backend by name; `extra` names the optional dependencies of the package."""


def open_tsu(*, backend: str, config: TsuConfig, seed: int = 0, mode: str | None = None) -> Tsu:
    """Open a TSU and seed it.

    Parameters
    ----------
    backend : str
        A key of `BACKENDS`.
    config : TsuConfig
    seed : int
        In [0, 2**64 - 1].
    mode : str or None
        "table" or "exp2"; None takes the table where the TSU has one.

    Raises
    ------
    SpecError
        An argument is outside its legal range.
    TsuError
        A dependency of the backend is not installed, or the TSU cannot be built or opened.
    """
    entry = BACKENDS.get(backend)
    if entry is None:
        raise SpecError("backend", backend, "one of " + ", ".join(BACKENDS))
    try:
        factory: Callable[..., Tsu] = getattr(importlib.import_module(entry.module), entry.factory)
        return factory(config=config, seed=seed, mode=mode)
    except ImportError as error:
        missing = error.name or str(error)
        if entry.extra is None or missing.split(".")[0] in ("host", "sim", "hw"):
            raise
        raise TsuError(
            f"backend {backend} needs the package {missing}: pip install '{_PROJECT}[{entry.extra}]'"
        ) from error
