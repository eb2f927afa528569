# SPDX-License-Identifier: Apache-2.0
"""What is mutated: three small TSUs that together have every part, each where its bits can be seen in answers."""

from dataclasses import dataclass

from hw.spec.config import TsuConfig


@dataclass(frozen=True, kw_only=True)
class MutationTarget:
    """One configuration and the part of its netlist that is mutated.

    Parameters
    ----------
    name : str
    config : TsuConfig
    tries : int
        Mutants asked for.
    within : str
        Pattern of the paths and source lines of cells that are mutated.
    meaning : str
        One line for the table.
    """

    name: str
    config: TsuConfig
    tries: int
    within: str
    meaning: str


_WEIGHTS = r"(loader\.weights|weight_engine\.py|exp2_unit\.py|ratio)"

_MONITOR = r"health_monitor\.py|\.monitor"
"""Health tests of the noise: no command of a host makes them speak, and they have benches of their own."""

_NARROW = TsuConfig(k_max=8, vocab_max=32, weight_bits=8, headroom_bits=2, guard_bits=3, tail_noise_bits=6)

TARGETS = {
    target.name: target
    for target in (
        MutationTarget(
            name="array",
            config=_NARROW.with_fields(lanes=4),
            tries=420,
            within=rf"^(?!.*({_WEIGHTS}|{_MONITOR}))",
            meaning="4 lanes, one register a level, xoshiro128++; all but the weight engine",
        ),
        MutationTarget(
            name="deep",
            config=_NARROW.with_fields(k_max=4, vocab_max=20, lanes=2, level_stages=3, noise="lfsr-leap"),
            tries=700,
            within=rf"^(?!.*({_WEIGHTS}|{_MONITOR}))",
            meaning="2 lanes, pipelined as for an FPGA, LFSR; all but the weight engine",
        ),
        MutationTarget(
            name="weights",
            config=TsuConfig(
                k_max=4,
                vocab_max=32,
                weight_bits=48,
                headroom_bits=2,
                guard_bits=2,
                tail_noise_bits=8,
                level_stages=3,
            ),
            tries=2000,
            within=_WEIGHTS,
            meaning="weights of 48 bits, whose every bit shows in Z; the weight engine with table and exp2 unit",
        ),
    )
}
"""In weights of 8 bits most bits of the exp2 unit are rounded away; of 48 bits, thresholds have bits that decide one
draw in 2^40. Hence the weight engine is mutated in a wide TSU, the rest in narrow ones."""
