# SPDX-License-Identifier: Apache-2.0
"""Register map: read-only 32-bit registers that identify a TSU and report its health."""

from dataclasses import dataclass

from .config import TsuConfig
from .digest import spec_id

ADDRESS_BITS = 4
"""Width of a register address, counted in 32-bit words."""


@dataclass(frozen=True)
class Register:
    """One 32-bit register."""

    address: int
    meaning: str


REGISTERS: dict[str, Register] = {
    "SPEC_ID_LOW": Register(0, "low half of SPEC_ID; the host refuses a TSU whose SPEC_ID differs"),
    "SPEC_ID_HIGH": Register(1, "high half of SPEC_ID"),
    "K_MAX": Register(2, "capacity of the p-bit tree"),
    "VOCAB_MAX": Register(3, "largest vocabulary"),
    "LANES": Register(4, "parallel samplers"),
    "WEIGHT_BITS": Register(5, "width of a weight"),
    "TOTAL_BITS": Register(6, "width of the total Z"),
    "UNIFORM_BITS": Register(7, "width of u and of every threshold"),
    "REFUSED_COUNT": Register(8, "commands refused since reset; stops at 2^32 - 1"),
    "NOISE_LOCKUP": Register(9, "bit l: a generator of lane l (0..31) met the all-zero state since the last SEED"),
}
"""Registers by name."""


def constant_values(config: TsuConfig) -> dict[str, int]:
    """Values of the registers that follow from the configuration."""
    digest = spec_id(config)
    return {
        "SPEC_ID_LOW": digest & 0xFFFF_FFFF,
        "SPEC_ID_HIGH": digest >> 32,
        "K_MAX": config.k_max,
        "VOCAB_MAX": config.vocab_max,
        "LANES": config.lanes,
        "WEIGHT_BITS": config.weight_bits,
        "TOTAL_BITS": config.total_bits,
        "UNIFORM_BITS": config.uniform_bits,
    }
