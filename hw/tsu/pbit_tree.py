# SPDX-License-Identifier: Apache-2.0
"""The pipelined p-bit tree."""

from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out, connect

from hw.spec.config import TsuConfig

from .layouts import candidate_signature, tree_write_signature
from .pbit_level import PBitLevel


class PBitTree(wiring.Component):
    """Binary descent of log2(k_max) p-bits: finds the leaf k with C_k <= u / c < C_(k+1), or the rank of a tail index.

    Given the path so far, each p-bit is an exact Bernoulli draw of its two subtree weights: the tree is a directed
    p-bit network sampled in one pass, without equilibration. Leaves from K on are out of reach because the
    boundaries on the way to them hold the largest threshold, which never fires.

    Parameters
    ----------
    config : TsuConfig
    load_domain : str
        Clock domain of `i_write`; see `TsuCore`.

    Members
    -------
    i : In(candidate)
    o : Out(candidate, path)      path: the leaf, MSB decided first
    i_write : In(tree_write)
    Latency      config.depth * config.level_stages
    Throughput   one candidate per cycle
    Golden       host.golden.exact.draft_law (law), docs/DESIGN_TSD.md section 5 (draw)
    """

    def __init__(self, *, config: TsuConfig, load_domain: str = "sync") -> None:
        self._config = config
        self._load_domain = load_domain
        self.latency_cycles = config.depth * config.level_stages
        super().__init__(
            {
                "i": In(candidate_signature(config)),
                "o": Out(candidate_signature(config, path_bits=config.depth)),
                "i_write": In(tree_write_signature(config)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        at_level = wiring.flipped(self.i)
        for index in range(self._config.depth):
            level = PBitLevel(config=self._config, level=index, load_domain=self._load_domain)
            m.submodules[f"level_{index}"] = level
            connect(m, wiring.flipped(self.i_write), level.i_write)
            connect(m, at_level, level.i)
            at_level = level.o
        connect(m, at_level, wiring.flipped(self.o))
        return m
