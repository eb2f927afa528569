# SPDX-License-Identifier: Apache-2.0
"""Backend `model`: the bit-true TSU as a compiled C++ kernel, built once for each configuration."""

from pathlib import Path

from hw.spec.config import TsuConfig

from .base import Capabilities, TsuError
from .native_blocks import BlockNativeTsu

_KERNEL = Path(__file__).with_name("kernel")

CAPABILITIES = Capabilities(name="model", exact=True, bit_true=True, counts_cycles=False, bound=0.0, blocks=True)
"""What the model promises."""


def model_library(config: TsuConfig) -> Path:
    """The shared library of `config`, compiled if the cache has none.

    Raises
    ------
    TsuError
        There is no C++ compiler, or it failed.
    """
    # The one thing that host takes from sim: how native code is compiled, and the header that hw.spec generates.
    from sim.native.build import NativeBuildError, build_library
    from sim.native.header import ABI_HEADER, CONFIG_HEADER_NAME, EXP2_HEADER_NAME, config_header, exp2_header
    from sim.native.toolchain import ToolMissing

    try:
        return build_library(
            name="tsd_model",
            source=_KERNEL / "model.cpp",
            headers=[ABI_HEADER, *(_KERNEL / f"{name}.hpp" for name in ("noise", "sampler", "blocks"))],
            generated={CONFIG_HEADER_NAME: config_header(config), EXP2_HEADER_NAME: exp2_header()},
        )
    except (NativeBuildError, ToolMissing) as error:
        raise TsuError(str(error)) from error


class ModelTsu(BlockNativeTsu):
    """The bit-true model; draws are made when they are taken, straight into the caller's arrays.

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
        See `NativeTsu` and `model_library`.
    """

    def __init__(self, *, config: TsuConfig, seed: int = 0, mode: str | None = None) -> None:
        super().__init__(library=model_library(config), capabilities=CAPABILITIES, config=config, seed=seed, mode=mode)
