# SPDX-License-Identifier: Apache-2.0
"""Which TSU a board holds: the configuration whose registers and SPEC_ID are the board's."""

from collections.abc import Iterator
from itertools import product

from host.tsu.base import TsuError
from hw.spec.config import PRESETS, WEIGHT_SOURCES, TsuConfig, ceil_log2
from hw.spec.digest import spec_id
from hw.spec.errors import SpecError
from hw.spec.noise import GENERATORS, WORD_BITS

IDENTITY = (
    *("SPEC_ID_LOW", "SPEC_ID_HIGH"),
    *("K_MAX", "VOCAB_MAX", "LANES", "GROUPS", "WEIGHT_BITS", "TOTAL_BITS", "UNIFORM_BITS"),
)
"""Registers that say what a TSU is."""


def digest_of(registers: dict[str, int]) -> int:
    """SPEC_ID of the values of `IDENTITY`."""
    return registers["SPEC_ID_HIGH"] << 32 | registers["SPEC_ID_LOW"]


def identify(registers: dict[str, int], *, board: str) -> TsuConfig:
    """The configuration of a board: a preset, or any other that agrees with its registers and its SPEC_ID.

    The registers give the sizes; noise, weight source, pipeline and tail noise are tried until the digest agrees.

    Parameters
    ----------
    registers : dict of str to int
        Values of `IDENTITY`.
    board : str
        What the message calls it.

    Raises
    ------
    TsuError
        No configuration agrees: the board was built from another hw.spec, or is no TSU.
    """
    digest = digest_of(registers)
    for config in (*PRESETS.values(), *_candidates(registers)):
        if spec_id(config) == digest:
            return config
    sizes = ", ".join(f"{name} = {registers[name]}" for name in IDENTITY[2:])
    known = ", ".join(f"{name} {spec_id(config):#018x}" for name, config in PRESETS.items())
    raise TsuError(
        f"spec_id = {digest:#018x} of the board at {board} is not legal: expected that of a configuration of this "
        f"host's hw.spec ({known}, or another one with {sizes}); build the bitstream and the host from one version"
    )


def check_digest(digest: int, config: TsuConfig, *, board: str) -> None:
    """Refuse a board that is not `config`.

    Raises
    ------
    TsuError
        The SPEC_IDs differ.
    """
    expected = spec_id(config)
    if digest != expected:
        raise TsuError(
            f"spec_id = {digest:#018x} of the board at {board} is not legal: expected {expected:#018x}, the host's"
        )


def _candidates(registers: dict[str, int]) -> Iterator[TsuConfig]:
    """Every configuration with the sizes of the registers; none where the sizes themselves are illegal."""
    sizes = {
        "k_max": registers["K_MAX"],
        "vocab_max": registers["VOCAB_MAX"],
        "lanes": registers["LANES"],
        "groups": registers["GROUPS"],
        "weight_bits": registers["WEIGHT_BITS"],
        "headroom_bits": registers["TOTAL_BITS"] - registers["WEIGHT_BITS"],
        "guard_bits": registers["UNIFORM_BITS"] - registers["TOTAL_BITS"],
    }
    try:
        base = TsuConfig().with_fields(**sizes)
    except SpecError:
        return
    tail_widths = range(WORD_BITS, ceil_log2(base.vocab_max) - 1, -1)
    for noise, source, stages, block_ram, tail in product(
        GENERATORS, WEIGHT_SOURCES, (1, 2, 3), (False, True), tail_widths
    ):
        yield base.with_fields(
            noise=noise, weight_source=source, level_stages=stages, block_ram=block_ram, tail_noise_bits=tail
        )
