# SPDX-License-Identifier: Apache-2.0
"""A wrapper that gives any stream component six pins, so that its area and clock can be measured on a real package."""

from amaranth.hdl import Cat, Module, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out


class SynthHarness(wiring.Component):
    """Carries every input of a core in through one pin and every output out through another.

    Pins and core inputs are registered, so that no path through a pin bounds the clock. Each output
    bit enters a shift chain at its own place: equal bits cannot cancel, and synthesis can remove nothing of the core.
    While an input stream waits for the core, the shift register stands still.

    Parameters
    ----------
    core : wiring.Component
        Its ports are streams, in either direction, and plain signals.
    register_outputs : bool
        A register between core and chain: at high clocks the way to the chain would bound the clock otherwise.

    Members
    -------
    data_bit : In(1)    next bit of the input shift register, first bit lowest
    shift_stb : In(1)   take `data_bit`; ignored while an input stream is valid
    word_stb : In(1)    make each input stream valid whose valid bit is set (`input_layout` names the bits)
    hold : In(1)        back-pressure on every output stream
    signature_bit : Out(1)   end of the chain: s[i] <= s[i-1] ^ output[i]

    Latency      an output reaches `signature_bit` after 1 to `output_bits` cycles, one more if registered
    Throughput   one transfer per cycle on every output stream while `hold` is low
    Reset        no input stream valid, chain zero
    """

    PIN_NAMES = ("data_bit", "shift_stb", "word_stb", "hold", "signature_bit")

    data_bit: In(1)
    shift_stb: In(1)
    word_stb: In(1)
    hold: In(1)
    signature_bit: Out(1)

    def __init__(self, core: wiring.Component, *, register_outputs: bool = False) -> None:
        super().__init__()
        self._register_outputs = register_outputs
        self.core = core
        self._inputs: dict[str, Value] = {}
        self._outputs: dict[str, Value] = {}
        self._taken: dict[str, Value] = {}  # name of a valid bit -> the ready that clears it
        self._holds: list[Value] = []  # readies of the output streams
        for name, member in sorted(core.signature.members.items()):
            port, inward = getattr(core, name), member.flow == In
            if member.is_port:
                (self._inputs if inward else self._outputs)[name] = Value.cast(port)
            elif inward:
                self._inputs |= {f"{name}.payload": Value.cast(port.payload), f"{name}.valid": port.valid}
                self._outputs[f"{name}.ready"] = port.ready
                self._taken[f"{name}.valid"] = port.ready
            else:
                self._outputs |= {f"{name}.payload": Value.cast(port.payload), f"{name}.valid": port.valid}
                self._holds.append(port.ready)

    @property
    def input_layout(self) -> dict[str, int]:
        """Names and widths in the input shift register, lowest first."""
        return {name: len(value) for name, value in self._inputs.items()}

    @property
    def output_bits(self) -> int:
        """Length of the output chain."""
        return sum(len(value) for value in self._outputs.values())

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.core = self.core

        pins = Signal(4)
        data_bit, shift_stb, word_stb, hold = pins
        m.d.sync += pins.eq(Cat(self.data_bit, self.shift_stb, self.word_stb, self.hold))
        for ready in self._holds:
            m.d.comb += ready.eq(~hold)

        shift = Signal(sum(self.input_layout.values()), reset_less=True)
        valids: list[Value] = []
        low = 0
        for name, port in self._inputs.items():
            bits = shift[low : low + len(port)]
            low += len(port)
            if name not in self._taken:
                m.d.comb += port.eq(bits)
                continue
            valid = Signal(name=name.replace(".", "_"))
            valids.append(valid)
            m.d.comb += port.eq(valid)
            with m.If(self._taken[name]):
                m.d.sync += valid.eq(0)
            with m.If(word_stb):
                m.d.sync += valid.eq(bits)
        with m.If(shift_stb & ~Cat(valids).any()):
            m.d.sync += shift.eq(Cat(shift[1:], data_bit))

        outputs, chain = (Signal(self.output_bits, reset_less=True) for _ in range(2))
        m.d["sync" if self._register_outputs else "comb"] += outputs.eq(Cat(self._outputs.values()))
        m.d.sync += chain.eq(outputs ^ (chain << 1))
        m.d.comb += self.signature_bit.eq(chain[-1])
        return m
