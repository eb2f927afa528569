# SPDX-License-Identifier: Apache-2.0
"""Code distance to integer weight."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hw.spec import exp2
from hw.spec.commands import LOAD_FIELDS, TABLE_ENTRIES
from hw.spec.config import TsuConfig

from .exp2_unit import Exp2Unit
from .layouts import DISTANCE_BITS
from .memories import exclusive_memory

SHIFT_BITS = LOAD_FIELDS["shift"].width


class WeightEngine(wiring.Component):
    """w = max(1, round(mantissa * 2**-(e + h) * 2**(weight_bits - 1))), halves rounded up.

    In table mode the mantissa is an entry of a 256-entry table that the host loads, and e = 0; in exp2 mode both
    come from `Exp2Unit`. One shifter rounds once for both.

    Parameters
    ----------
    config : TsuConfig

    Members
    -------
    i : In(valid, distance)
    use_exp2 : In(1), ratio : In(50), shift : In(6)      stable while distances are inside
    i_table : In(stb, index, entry)                      write of one table entry
    o : Out(valid, weight)
    Latency      `latency_cycles`
    Throughput   one weight per cycle
    Golden       host.golden.exact.draft_law (bit-exact)
    """

    def __init__(self, *, config: TsuConfig) -> None:
        self._config = config
        self._exp2 = Exp2Unit(stages=config.multiply_stages) if config.has_exp2 else None
        self._source_cycles = self._exp2.latency_cycles if self._exp2 is not None else 1
        self.latency_cycles = self._source_cycles + 4
        super().__init__(
            {
                "i": In(data.StructLayout({"valid": 1, "distance": DISTANCE_BITS})),
                "use_exp2": In(1),
                "ratio": In(exp2.RATIO_BITS),
                "shift": In(SHIFT_BITS),
                "i_table": In(data.StructLayout({"stb": 1, "index": DISTANCE_BITS, "entry": config.weight_bits})),
                "o": Out(data.StructLayout({"valid": 1, "weight": config.weight_bits})),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self._config
        mantissa, exponent = Const(0, exp2.MANTISSA_BITS), Const(0, 1)
        if self._exp2 is not None:
            m.submodules.exp2 = self._exp2
            m.d.comb += [self._exp2.distance.eq(self.i.distance), self._exp2.ratio.eq(self.ratio)]
            mantissa, exponent = self._exp2.mantissa, self._exp2.exponent
        if config.has_table:
            entry = self._table(m)
            padded = Cat(Const(0, exp2.MANTISSA_BITS - config.weight_bits), entry)
            mantissa = Mux(self.use_exp2, mantissa, padded) if config.has_exp2 else padded
            exponent = Mux(self.use_exp2, exponent, 0) if config.has_exp2 else exponent

        valid = self.i.valid
        for index in range(self._source_cycles):
            delayed = Signal(name=f"valid_{index}")
            m.d.sync += delayed.eq(valid)
            valid = delayed
        self._round(m, valid, mantissa, exponent)
        return m

    def _table(self, m: Module) -> Signal:
        """The table and its entry for the distance that enters the shifter now."""
        m.submodules.table = table = exclusive_memory(shape=unsigned(self._config.weight_bits), depth=TABLE_ENTRIES)
        write, read = table.write_port(), table.read_port()
        m.d.comb += [
            write.en.eq(self.i_table.stb),
            write.addr.eq(self.i_table.index),
            write.data.eq(self.i_table.entry),
            read.addr.eq(self.i.distance),
        ]
        entry = read.data
        for index in range(self._source_cycles - 1):
            delayed = Signal.like(entry, name=f"entry_{index}", reset_less=True)
            m.d.sync += delayed.eq(entry)
            entry = delayed
        return entry

    def _round(self, m: Module, valid: Signal, mantissa: Signal, exponent: Signal) -> None:
        """Shift right by 51 - weight_bits + e + h in two steps, keeping the last bit shifted out; then round."""
        base = exp2.MANTISSA_BITS - self._config.weight_bits
        offset = Signal(range(base + (1 << SHIFT_BITS)))
        amount, vanishes = Signal(6), Signal()
        widened, valid_amount = Signal(exp2.MANTISSA_BITS + 1), Signal()
        total = Signal(range((1 << len(exponent)) + (1 << SHIFT_BITS) + base))
        m.d.sync += [
            total.eq(exponent + offset),  # the exponent is one cycle ahead of its mantissa
            offset.eq(self.shift + base),
            amount.eq(total),
            vanishes.eq(total[len(amount) :].any()),
            widened.eq(Cat(Const(0, 1), mantissa)),
            valid_amount.eq(valid),
        ]
        coarse, fine_amount, valid_coarse = Signal.like(widened), Signal(3), Signal()
        m.d.sync += [
            coarse.eq(Mux(vanishes, 0, widened >> Cat(Const(0, 3), amount[3:]))),
            fine_amount.eq(amount[:3]),
            valid_coarse.eq(valid_amount),
        ]
        fine, valid_fine = Signal(self._config.weight_bits + 1), Signal()
        m.d.sync += [fine.eq(coarse >> fine_amount), valid_fine.eq(valid_coarse)]
        rounded = Signal(self._config.weight_bits)
        m.d.comb += rounded.eq(fine[1:] + fine[0])
        # A weight is at least 1: `rounded` is 0 only where `fine` is.
        m.d.sync += [self.o.weight.eq(rounded | (fine == 0)), self.o.valid.eq(valid_fine)]
