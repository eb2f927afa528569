# SPDX-License-Identifier: Apache-2.0
"""The pipelined p-bit tree."""

from amaranth.hdl import Module
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hw.spec.config import TsuConfig

from .layouts import candidate_layout, tree_write_layout
from .pbit_level import PBitLevel


class PBitTree(wiring.Component):
    """Binary descent of log2(k_max) p-bits: finds the leaf k with C_k <= u / c < C_(k+1), or the rank of a tail index.

    Given the path so far, each p-bit is an exact Bernoulli draw of its two subtree weights: the tree is a directed
    p-bit network sampled in one pass, without equilibration. Leaves from K on are out of reach because the
    boundaries on the way to them hold the largest threshold, which never fires.

    Parameters
    ----------
    config : TsuConfig

    Members
    -------
    i : In(candidate)
    o : Out(candidate, path)      path: the leaf, MSB decided first
    i_write : In(tree_write_layout)
    Latency      config.depth * config.level_stages
    Throughput   one candidate per cycle
    Golden       host.golden.exact.draft_law (law), docs/DESIGN_TSD.md section 5 (draw)
    """

    def __init__(self, *, config: TsuConfig) -> None:
        self._config = config
        self.latency_cycles = config.depth * config.level_stages
        super().__init__(
            {
                "i": In(candidate_layout(config)),
                "o": Out(data.StructLayout({"candidate": candidate_layout(config), "path": config.depth})),
                "i_write": In(tree_write_layout(config)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        previous = None
        for index in range(self._config.depth):
            level = PBitLevel(config=self._config, level=index)
            m.submodules[f"level_{index}"] = level
            m.d.comb += level.i_write.eq(self.i_write)
            m.d.comb += level.i.eq(previous) if previous is not None else level.i.candidate.eq(self.i)
            previous = level.o
        m.d.comb += self.o.eq(previous)
        return m
