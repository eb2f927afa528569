# SPDX-License-Identifier: Apache-2.0
"""Integer weights to scaled cumulative thresholds."""

from amaranth.hdl import Module, Mux, Signal, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hw.spec.config import TsuConfig

from .layouts import tree_write_signature
from .memories import exclusive_memory
from .multiplier import PipelinedMultiplier


class ThresholdBuilder(wiring.Component):
    """Write the thresholds c C_j - 1 of one psi into the trees, once Z and c are known.

    While weights arrive they are kept in a memory of their own. On `start_stb` they are read back, multiplied by c
    and accumulated from -1; the running sum after j weights is the threshold of boundary j. The sum after all
    weights is the tail threshold, and after the tail weight the reject threshold. On `fill_stb`, for each level and
    both trees, the one reachable boundary that lies at or behind leaf K is set to the largest threshold, so that
    leaves from K on are never reached; this needs K only, and is done while c is being computed.

    Parameters
    ----------
    config : TsuConfig

    Members
    -------
    i_weight : In(valid, index, weight)
    fill_stb, start_stb : In(1)      not while busy
    k_less_one, bank, scale, tail_weight : In      stable while busy
    o_write : Out(stb, bank, rank, boundary, threshold)
    tail_threshold, reject_threshold : Out(uniform_bits)               valid while not busy
    busy : Out(1)
    Latency      fill: 2 depth; build: k + multiplier latency + 5 cycles at most
    """

    def __init__(self, *, config: TsuConfig) -> None:
        self._config = config
        super().__init__(
            {
                "i_weight": In(data.StructLayout({"valid": 1, "index": config.depth, "weight": config.weight_bits})),
                "fill_stb": In(1),
                "start_stb": In(1),
                "k_less_one": In(config.depth),
                "bank": In(config.bank_bits),
                "scale": In(config.scale_bits),
                "tail_weight": In(config.total_bits),
                "o_write": Out(tree_write_signature(config)),
                "tail_threshold": Out(config.uniform_bits),
                "reject_threshold": Out(config.uniform_bits),
                "busy": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self._config
        m.submodules.weights = weights = exclusive_memory(shape=unsigned(config.weight_bits), depth=config.k_max)
        write, read = weights.write_port(), weights.read_port()
        m.d.comb += [
            write.en.eq(self.i_weight.valid),
            write.addr.eq(self.i_weight.index),
            write.data.eq(self.i_weight.weight),
        ]

        # Reading side: entries 0 .. K-1, then the tail weight.
        entry, reading, reading_tail = Signal(config.depth), Signal(), Signal()
        at_end = entry == self.k_less_one
        m.d.comb += read.addr.eq(entry)
        m.d.sync += [reading_tail.eq(reading & at_end), reading.eq(self.start_stb | (reading & ~at_end))]
        m.d.sync += entry.eq(Mux(reading, entry + 1, 0))

        # What travels beside an entry through memory and multiplier.
        flags = data.StructLayout({"head": 1, "last_head": 1, "tail": 1, "boundary": config.depth})
        flag = Signal(flags, name="flags_memory")
        m.d.sync += [
            flag.head.eq(reading),
            flag.last_head.eq(reading & at_end),
            flag.tail.eq(reading_tail),
            flag.boundary.eq(entry + 1),
        ]
        m.submodules.multiplier = multiplier = PipelinedMultiplier(
            a_bits=config.total_bits, b_bits=config.scale_bits, stages=config.multiply_stages
        )
        fetched = read.data
        if config.pipelined:  # a block RAM's output takes most of a cycle
            fetched = Signal(config.weight_bits, reset_less=True)
            m.d.sync += fetched.eq(read.data)
            flag_fetched = Signal(flags)
            m.d.sync += flag_fetched.eq(flag)
            flag = flag_fetched
        m.d.comb += [
            multiplier.a.eq(Mux(flag.tail, self.tail_weight, fetched)),
            multiplier.b.eq(self.scale),
        ]
        for index in range(multiplier.latency_cycles):
            following = Signal(flags, name=f"flags_{index}")
            m.d.sync += following.eq(flag)
            flag = following

        # Running sum from -1, so that it is a threshold as it stands.
        threshold, summed = Signal(config.uniform_bits, init=-1), Signal(config.uniform_bits)
        m.d.comb += summed.eq(threshold + multiplier.product)
        boundary_stb, boundary = Signal(), Signal(config.depth)
        m.d.sync += [boundary_stb.eq(flag.head & ~flag.last_head), boundary.eq(flag.boundary)]
        with m.If(self.start_stb):
            m.d.sync += threshold.eq(-1)
        with m.Elif(flag.head | flag.tail):
            m.d.sync += threshold.eq(summed)
        with m.If(flag.last_head):
            m.d.sync += self.tail_threshold.eq(summed)
        m.d.comb += self.reject_threshold.eq(threshold)

        fill = self._fill(m)
        building = Signal()
        m.d.sync += building.eq(self.start_stb | (building & ~flag.tail))
        m.d.comb += [
            self.busy.eq(building | fill.active),
            self.o_write.stb.eq(boundary_stb | fill.stb),
            self.o_write.bank.eq(self.bank),
            self.o_write.rank.eq(fill.active & fill.rank),
            self.o_write.boundary.eq(Mux(fill.active, fill.boundary, boundary)),
            self.o_write.threshold.eq(Mux(fill.active, -1, threshold)),
        ]
        return m

    def _fill(self, m: Module) -> data.View:
        """The writes of a fill: one level a cycle, root first, for the weight tree and then for the rank tree.

        A level whose node covers 2h leaves (h = `half`, `above` the bits above it) is reached by leaf K-1 through one
        node; its boundary lies behind leaf K-1 unless that one is in the upper half of the node.
        """
        depth = self._config.depth
        fill = Signal(data.StructLayout({"active": 1, "rank": 1, "stb": 1, "boundary": depth}))
        half, above = Signal(depth), Signal(depth)
        top = 1 << (depth - 1)
        with m.If(self.fill_stb):
            m.d.sync += [fill.active.eq(1), fill.rank.eq(0), half.eq(top), above.eq(0)]
        with m.Elif(fill.active):
            m.d.sync += [half.eq(half >> 1), above.eq(above | half)]
            with m.If(half[0]):
                m.d.sync += [half.eq(top), above.eq(0), fill.rank.eq(1), fill.active.eq(~fill.rank)]
        m.d.comb += [
            fill.stb.eq(fill.active & ~(self.k_less_one & half).any()),
            fill.boundary.eq((self.k_less_one & above) | half),
        ]
        return fill
