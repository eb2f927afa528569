# SPDX-License-Identifier: Apache-2.0
"""Which slots of the psi bank hold a psi."""

from amaranth.hdl import Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hw.spec.commands import BLOCK_FIELDS, COMMON_FIELDS
from hw.spec.config import TsuConfig


def block_entry_layout(config: TsuConfig) -> data.StructLayout:
    """One stream of a BLOCK: its number, and the context in which it starts."""
    context = {name: field.width for name, field in BLOCK_FIELDS.items()}
    return data.StructLayout({"stb": 1, "stream": config.stream_bits, **context})


class ContextTable(wiring.Component):
    """One bit for each slot; judges the slot of a CONTEXT and the contexts of a BLOCK.

    Parameters
    ----------
    config : TsuConfig
        With contexts.

    Members
    -------
    slot : In(32)                    as a CONTEXT gives it
    slot_ok : Out(1)                 it is below `contexts`; one cycle later
    empty_stb, fill_stb : In(1)      the slot holds no psi any more, or holds one now; nothing happens unless `slot_ok`
    entry : In(block_entry_layout)   streams of a BLOCK, number 0 first
    bad_start : Out(1)               one of them starts in a slot without psi; one cycle later
    streams : Out(stream_bits + 1)   how many they are; one cycle later
    loaded : Out(contexts)
    Reset        no slot holds a psi
    """

    def __init__(self, *, config: TsuConfig) -> None:
        self._config = config
        super().__init__(
            {
                "slot": In(COMMON_FIELDS["count"].width),
                "slot_ok": Out(1),
                "empty_stb": In(1),
                "fill_stb": In(1),
                "entry": In(block_entry_layout(config)),
                "bad_start": Out(1),
                "streams": Out(config.stream_bits + 1),
                "loaded": Out(config.contexts),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        bits = self._config.context_bits
        m.d.sync += self.slot_ok.eq(self._is_slot(self.slot))
        with m.If(self.slot_ok & (self.empty_stb | self.fill_stb)):
            m.d.sync += self.loaded.bit_select(self.slot[:bits], 1).eq(self.fill_stb)
        context, bad = self.entry.context, Signal()
        m.d.comb += bad.eq(~(self._is_slot(context) & self.loaded.bit_select(context[:bits], 1)))
        with m.If(self.entry.stb):
            m.d.sync += [
                self.streams.eq(self.entry.stream + 1),
                self.bad_start.eq(bad | Mux(self.entry.stream == 0, 0, self.bad_start)),
            ]
        return m

    def _is_slot(self, number: Value) -> Value:
        return ~number[self._config.context_bits :].any()
