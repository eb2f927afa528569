# SPDX-License-Identifier: Apache-2.0
"""The work of a campaign: everything a host can ask of a TSU, short segments first, with the model's answers.

It gives the commands of tests/equiv (random commands with defects, refusals, psi of every K, switches) and of the
cocotb benches of the whole TSU (stalls, blocked draws, resets, throughput and latency) to one port-level bench.
"""

from hw.spec.config import TsuConfig
from hw.spec.errors import SpecError
from sim.mutants.script import Segment

from . import command_work, draw_work
from .asker import Asker

PARTS = (
    command_work.after_reset,
    command_work.all_sizes,
    command_work.refusals,
    command_work.seeds,
    draw_work.counts,
    draw_work.blocked,
    draw_work.rates,
    draw_work.uneven,
    command_work.fuzz,
    command_work.resets,
    draw_work.long_jobs,
)
"""In the order in which they are given."""


class Workload:
    """Segments for one configuration.

    Parameters
    ----------
    config : TsuConfig
        With table and exp2 unit.
    seed : int
        Of the random choices.
    pipeline_cycles : int
        Cycles from a noise word to its draw.

    Raises
    ------
    SpecError
        The TSU lacks the table or the exp2 unit.
    """

    def __init__(self, *, config: TsuConfig, seed: int, pipeline_cycles: int) -> None:
        if config.weight_source != "both":
            raise SpecError("weight_source", config.weight_source, "both")
        self._ask = Asker(config=config, seed=seed, pipeline_cycles=pipeline_cycles)

    def segments(self) -> list[Segment]:
        """All segments, in order."""
        try:
            for part in PARTS:
                part(self._ask)
        finally:
            self._ask.out.close()
        return self._ask.out.segments
