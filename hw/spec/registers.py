# SPDX-License-Identifier: Apache-2.0
"""Register map: read-only 32-bit registers that identify a TSU and report its health."""

from dataclasses import dataclass
from enum import IntEnum

from .config import TsuConfig
from .digest import spec_id

ADDRESS_BITS = 4
"""Width of a register address, counted in 32-bit words."""


@dataclass(frozen=True)
class Register:
    """One 32-bit register."""

    address: int
    meaning: str


class Alarm(IntEnum):
    """Health tests of the noise; the value is the bit in HEALTH."""

    REPETITION = 0
    PROPORTION = 1
    KNOWN_ANSWER = 2
    LOCKUP = 3


ALARM_TEXT: dict[Alarm, str] = {
    Alarm.REPETITION: "one bit of the words did not change for a whole dwell (repetition count test)",
    Alarm.PROPORTION: "a window had too few or too many ones (adaptive proportion test)",
    Alarm.KNOWN_ANSWER: "the words after reset were not the known ones (start-up test)",
    Alarm.LOCKUP: "a generator met the all-zero state",
}
"""One line for each alarm."""

HEALTH_TESTING_BIT = 8
"""Bit of HEALTH that is 1 while the known-answer test runs."""

REGISTER_LANES = 32
"""Lanes that have a bit in a register of lanes; HEALTH knows the others too."""


REGISTERS: dict[str, Register] = {
    "SPEC_ID_LOW": Register(0, "low half of SPEC_ID; the host refuses a TSU whose SPEC_ID differs"),
    "SPEC_ID_HIGH": Register(1, "high half of SPEC_ID"),
    "K_MAX": Register(2, "capacity of the p-bit tree"),
    "VOCAB_MAX": Register(3, "largest vocabulary"),
    "LANES": Register(4, "parallel samplers of one group"),
    "WEIGHT_BITS": Register(5, "width of a weight"),
    "TOTAL_BITS": Register(6, "width of the total Z"),
    "UNIFORM_BITS": Register(7, "width of u and of every threshold"),
    "REFUSED_COUNT": Register(8, "commands refused since reset; stops at 2^32 - 1"),
    "NOISE_LOCKUP": Register(9, "bit l: a generator of lane l (0..31) met the all-zero state since the last SEED"),
    "HEALTH": Register(
        10,
        "alarms of any lane: bit 0 repetition, 1 proportion, 2 known answer, 3 lock-up; bit 8: known-answer test runs",
    ),
    "NOISE_REPETITION": Register(11, "bit l: lane l (0..31) failed the repetition count test since the last SEED"),
    "NOISE_PROPORTION": Register(12, "bit l: lane l (0..31) failed the adaptive proportion test since the last SEED"),
    "NOISE_KNOWN_ANSWER": Register(13, "bit l: lane l (0..31) failed the known-answer test after reset"),
    "GROUPS": Register(14, "groups of LANES samplers with a psi each; lane l of group g has bit g LANES + l above"),
}
"""Registers by name."""

LANE_REGISTERS: dict[Alarm, str] = {
    Alarm.REPETITION: "NOISE_REPETITION",
    Alarm.PROPORTION: "NOISE_PROPORTION",
    Alarm.KNOWN_ANSWER: "NOISE_KNOWN_ANSWER",
    Alarm.LOCKUP: "NOISE_LOCKUP",
}
"""The register that says which lanes raise an alarm."""


def constant_values(config: TsuConfig) -> dict[str, int]:
    """Values of the registers that follow from the configuration."""
    digest = spec_id(config)
    return {
        "SPEC_ID_LOW": digest & 0xFFFF_FFFF,
        "SPEC_ID_HIGH": digest >> 32,
        "K_MAX": config.k_max,
        "VOCAB_MAX": config.vocab_max,
        "LANES": config.lanes,
        "GROUPS": config.groups,
        "WEIGHT_BITS": config.weight_bits,
        "TOTAL_BITS": config.total_bits,
        "UNIFORM_BITS": config.uniform_bits,
    }
