# SPDX-License-Identifier: Apache-2.0
"""Backend `rtl`: the Amaranth TSU, compiled by Verilator and run in process."""

from pathlib import Path

from hw.spec.config import TsuConfig

from .base import Capabilities, TsuError
from .native_blocks import BlockNativeTsu

CAPABILITIES = Capabilities(name="rtl", exact=True, bit_true=True, counts_cycles=True, bound=0.0, blocks=True)
"""What the simulated hardware promises."""


def rtl_library_path(config: TsuConfig) -> Path:
    """The shared library of `config`, built if the cache has none.

    Raises
    ------
    TsuError
        Verilator or the C++ compiler is missing or failed.
    ImportError
        Amaranth is not installed.
    """
    from sim.native.build import NativeBuildError
    from sim.native.toolchain import ToolMissing
    from sim.verilated.library import rtl_library

    try:
        return rtl_library(config)
    except (NativeBuildError, ToolMissing) as error:
        raise TsuError(str(error)) from error


class RtlTsu(BlockNativeTsu):
    """The register-transfer level itself: every draw is clocked out of the gateware.

    Parameters
    ----------
    config : TsuConfig
    seed : int
        In [0, 2**64 - 1].
    mode : str or None
        "table" or "exp2"; None takes the table where the TSU has one.

    Raises
    ------
    SpecError, TsuError
        See `NativeTsu` and `rtl_library_path`.
    """

    def __init__(self, *, config: TsuConfig, seed: int = 0, mode: str | None = None) -> None:
        super().__init__(
            library=rtl_library_path(config), capabilities=CAPABILITIES, config=config, seed=seed, mode=mode
        )
