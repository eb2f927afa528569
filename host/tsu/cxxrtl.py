# SPDX-License-Identifier: Apache-2.0
"""Backend `cxxrtl`: the Amaranth TSU, compiled by Yosys' CXXRTL and run in process. It needs no Verilator."""

from pathlib import Path

from hw.spec.config import TsuConfig

from .base import Capabilities, TsuError
from .native_blocks import BlockNativeTsu

CAPABILITIES = Capabilities(name="cxxrtl", exact=True, bit_true=True, counts_cycles=True, blocks=True)
"""What the simulated hardware promises: what `rtl` does, by another simulator."""


def cxxrtl_library_path(config: TsuConfig) -> Path:
    """The shared library of `config`, built if the cache has none.

    Raises
    ------
    TsuError
        Yosys or the C++ compiler is missing or failed.
    ImportError
        Amaranth is not installed.
    """
    from sim.cxxrtl.library import cxxrtl_library
    from sim.native.build import NativeBuildError
    from sim.native.toolchain import ToolMissing

    try:
        return cxxrtl_library(config)
    except (NativeBuildError, ToolMissing) as error:
        raise TsuError(str(error)) from error


class CxxrtlTsu(BlockNativeTsu):
    """The register-transfer level in a second simulator: draws and cycles are those of `RtlTsu`.

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
        See `NativeTsu` and `cxxrtl_library_path`.
    """

    def __init__(self, *, config: TsuConfig, seed: int = 0, mode: str | None = None) -> None:
        super().__init__(
            library=cxxrtl_library_path(config), capabilities=CAPABILITIES, config=config, seed=seed, mode=mode
        )
