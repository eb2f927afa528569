# SPDX-License-Identifier: Apache-2.0
"""One level of the p-bit tree: a threshold memory and one p-bit."""

from amaranth.hdl import Cat, Module, Signal, unsigned
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.spec.config import TsuConfig

from .layouts import candidate_signature, registered, tree_write_signature
from .memories import LUT_RAM_WORDS, exclusive_memory
from .pbit import PBit


class PBitLevel(wiring.Component):
    """Descend one level: read the threshold of the node reached so far, and let one p-bit choose the child.

    A node of level l covers 2**(depth - l) leaves; its threshold is the boundary in the middle of them. Boundary j
    therefore lives in level depth - 1 - ctz(j). The memory holds two banks (double buffer, behind the slots of the psi
    bank where there are contexts) of two trees each: the weight tree (thresholds c C_j - 1) and the rank tree of the
    tail (thresholds id_(j-1) - (j-1)).

    Parameters
    ----------
    config : TsuConfig
    level : int
        0 at the root.
    load_domain : str
        Clock domain of `i_write`; see `TsuCore`.

    Members
    -------
    i : In(candidate, path of `level` bits)
    o : Out(candidate, path of `level + 1` bits)
    i_write : In(tree_write)
    Latency      config.level_stages
    Throughput   one candidate per cycle
    """

    def __init__(self, *, config: TsuConfig, level: int, load_domain: str = "sync") -> None:
        self._config = config
        self._load_domain = load_domain
        self._level = level
        super().__init__(
            {
                "i": In(candidate_signature(config, path_bits=level)),
                "o": Out(candidate_signature(config, path_bits=level + 1)),
                "i_write": In(tree_write_signature(config)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config, level = self._config, self._level
        # Two LUT RAMs and the choice between them would be slower than block RAM with its output register.
        words = 2 * config.banks << level
        block_ram = config.block_ram or (config.pipelined and words > LUT_RAM_WORDS)
        memory = exclusive_memory(shape=unsigned(config.uniform_bits), depth=words, block_ram=block_ram)
        m.submodules.memory = memory

        # Boundary j = node * 2**h + 2**(h-1) belongs to this level: its low h bits are 10..0.
        write = memory.write_port(domain=self._load_domain)
        height = config.depth - level
        m.d.comb += [
            write.en.eq(self.i_write.stb & (self.i_write.boundary[:height] == 1 << (height - 1))),
            write.addr.eq(Cat(self.i_write.boundary[height:], self.i_write.rank, self.i_write.bank)),
            write.data.eq(self.i_write.threshold),
        ]

        asynchronous = config.level_stages == 1 and not config.block_ram
        read = memory.read_port(domain="comb" if asynchronous else "sync")
        m.d.comb += read.addr.eq(self.i.route.as_value()[: level + 1 + config.bank_bits])  # path, tail, bank
        threshold, at_pbit = read.data, self.i
        if not asynchronous:
            at_pbit = registered(m, self.i, name="at_memory")
        if config.level_stages == 3:
            threshold = Signal(config.uniform_bits, reset_less=True)  # a block RAM's own output register
            m.d.sync += threshold.eq(read.data)
            at_pbit = registered(m, at_pbit, name="at_threshold")

        split = config.level_stages == 3
        m.submodules.pbit = pbit = PBit(width=config.uniform_bits, latency_cycles=int(split))
        m.d.comb += [pbit.value.eq(at_pbit.value), pbit.threshold.eq(threshold)]
        if split:
            behind = registered(m, at_pbit, name="behind_pbit")
            m.d.comb += [self.o.value.eq(behind.value), self.o.route.eq(Cat(pbit.fires, behind.route))]
        else:
            domain = "sync" if asynchronous or config.level_stages == 2 else "comb"
            m.d[domain] += [self.o.value.eq(at_pbit.value), self.o.route.eq(Cat(pbit.fires, at_pbit.route))]
        return m
