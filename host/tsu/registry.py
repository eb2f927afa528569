# SPDX-License-Identifier: Apache-2.0
"""Backends by name: what `--backend` accepts."""

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from host.extras import install_hint
from hw.spec.config import TsuConfig
from hw.spec.errors import SpecError

from .base import Tsu, TsuError
from .serial.address import BAUD_DEFAULT, PORT_LEGAL, check_baud, check_port


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
        The class, called with keywords config, seed and mode, and with port and baud where it has a port.
    extra : str or None
        Optional dependency group that the backend needs; None where the core suffices.
    has_port : bool
        Whether it is a board at a port, which brings its own configuration.
    generator : str or None
        Of a backend without gateware: what it draws from. Lanes, groups and noise cannot be chosen then.
    """

    summary: str
    module: str
    factory: str
    extra: str | None
    has_port: bool = False
    generator: str | None = None


BACKENDS: dict[str, Backend] = {
    "model": Backend(
        summary="bit-true model, compiled C++ (fastest)", module="host.tsu.model", factory="ModelTsu", extra=None
    ),
    "rtl": Backend(
        summary="the Amaranth TSU, compiled by Verilator", module="host.tsu.rtl", factory="RtlTsu", extra="sim"
    ),
    "cxxrtl": Backend(
        summary="the same, compiled by Yosys' CXXRTL (no Verilator)",
        module="host.tsu.cxxrtl",
        factory="CxxrtlTsu",
        extra="hw",
    ),
    "thrml": Backend(
        summary="Extropic's thrml on JAX (float32: not exact)",
        module="host.tsu.thrml",
        factory="ThrmlTsu",
        extra="thrml",
        generator="threefry2x32",
    ),
    "serial": Backend(
        summary="a board on a serial port (--port)",
        module="host.tsu.serial.tsu",
        factory="SerialTsu",
        extra="serial",
        has_port=True,
    ),
}
"""Every backend by name; `extra` names the optional dependencies of the package."""


def check_location(backend: str, port: object, baud: object) -> None:
    """Refuse a port or rate that the backend does not have, and a backend without the port that it needs.

    Parameters
    ----------
    backend : str
        A key of `BACKENDS`.
    port, baud : object
        As given; None where nothing was given.

    Raises
    ------
    SpecError
        See above, or `port` or `baud` is not legal.
    """
    if BACKENDS[backend].has_port:
        if port is None:
            raise SpecError("port", None, f"{PORT_LEGAL}, for backend {backend}")
        check_port(port)
        if baud is not None:
            check_baud(baud)
        return
    boards = ", ".join(name for name, entry in BACKENDS.items() if entry.has_port)
    for name, value in (("port", port), ("baud", baud)):
        if value is not None:
            raise SpecError(name, value, f"none with backend {backend}; it belongs to backend {boards}")


def open_tsu(
    *,
    backend: str,
    config: TsuConfig | None,
    seed: int = 0,
    mode: str | None = None,
    port: str | None = None,
    baud: int | None = None,
) -> Tsu:
    """Open a TSU and seed it.

    Parameters
    ----------
    backend : str
        A key of `BACKENDS`.
    config : TsuConfig or None
        None takes that of the board, for a backend with a port.
    seed : int
        In [0, 2**64 - 1].
    mode : str or None
        "table" or "exp2"; None takes the table where the TSU has one.
    port : str or None
        Where the board is: a path, a URL of pyserial, or unix:PATH of a shared board.
    baud : int or None
        Bits per second; None takes 3,000,000.

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
    check_location(backend, port, baud)
    arguments: dict[str, Any] = {"config": config, "seed": seed, "mode": mode}
    if entry.has_port:
        arguments |= {"port": port, "baud": BAUD_DEFAULT if baud is None else baud}
    elif config is None:
        raise SpecError("config", None, f"a TsuConfig, for backend {backend}")
    try:
        factory: Callable[..., Tsu] = getattr(importlib.import_module(entry.module), entry.factory)
        return factory(**arguments)
    except ImportError as error:
        raise missing_dependency(backend, error) from error


def missing_dependency(backend: str, error: ImportError) -> Exception:
    """What to raise for an import that failed: one line that names the extra, or `error` itself where it is a bug."""
    extra, missing = BACKENDS[backend].extra, error.name or str(error)
    if extra is None or missing.split(".")[0] in ("host", "sim", "hw"):
        return error
    return TsuError(install_hint(user=f"backend {backend}", package=missing, extra=extra))
