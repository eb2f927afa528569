# SPDX-License-Identifier: Apache-2.0
"""AXI4-Stream ports with flat names, and the adapters between them and the streams of the TSU."""

from amaranth.hdl import Module, ResetInserter, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import Flow, In, Member, Out

from hw.spec.axi import COMMAND_STREAM_BYTES
from hw.spec.errors import check_int
from hw.tsu.layouts import command_layout
from hw.tsu.stream_slice import StreamSlice

TDATA_LIMIT_BYTES = 1024
"""Widest TDATA: 64 lanes."""


def axi_stream_layout(*, byte_count: int, user_bits: int = 0) -> data.StructLayout:
    """One transfer of an AXI4-Stream; TKEEP has one bit for each byte."""
    check_int("byte_count", byte_count, 1, TDATA_LIMIT_BYTES)
    check_int("user_bits", user_bits, 0, 8 * byte_count)
    return data.StructLayout({"data": 8 * byte_count, "keep": byte_count, "last": 1, "user": user_bits})


def axi_stream_output_ports(prefix: str, *, byte_count: int, user_bits: int = 0) -> dict[str, Member]:
    """Members of a stream that leaves: `<prefix>_tdata` and so on; TUSER where it has bits."""
    user = {"tuser": Out(user_bits)} if user_bits else {}
    signals = {"tdata": Out(8 * byte_count), "tkeep": Out(byte_count), "tlast": Out(1), **user}
    return {f"{prefix}_{name}": member for name, member in (signals | {"tvalid": Out(1), "tready": In(1)}).items()}


def axi_stream_input_ports(prefix: str) -> dict[str, Member]:
    """Members of a stream of whole words that arrives; it has no TKEEP, every byte counts."""
    signals = {"tdata": In(8 * COMMAND_STREAM_BYTES), "tlast": In(1), "tvalid": In(1), "tready": Out(1)}
    return {f"{prefix}_{name}": member for name, member in signals.items()}


def connect_flat(m: Module, outer: wiring.Component, inner: wiring.Component, prefix: str) -> None:
    """Connect the ports `<prefix>_*` of a component with those of its submodule, which have the same names."""
    for name, member in inner.signature.members.items():
        if name.startswith(f"{prefix}_"):
            own, port = getattr(outer, name), getattr(inner, name)
            m.d.comb += port.eq(own) if member.flow == Flow.In else own.eq(port)


class AxiStreamInput(wiring.Component):
    """Command words from an AXI4-Stream; TLAST ends a command.

    Parameters
    ----------
    prefix : str
        Begin of the port names.

    Members
    -------
    <prefix>_tdata, _tlast, _tvalid : In, <prefix>_tready : Out
    o_command : Out(stream(word, last))
    flush : In(1)       forget the words inside; of a command cut in two the rest is dropped up to TLAST
    Latency      1 cycle
    Throughput   one word per cycle
    Reset        empty, between two commands
    """

    def __init__(self, *, prefix: str = "s_axis_command") -> None:
        self._prefix = prefix
        ports = axi_stream_input_ports(prefix)
        super().__init__(ports | {"o_command": Out(stream.Signature(command_layout())), "flush": In(1)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        tdata, tlast, tvalid, tready = (
            getattr(self, f"{self._prefix}_{name}") for name in ("tdata", "tlast", "tvalid", "tready")
        )
        words = StreamSlice(shape=command_layout())
        m.submodules.words = ResetInserter(self.flush)(words)
        inside, dropping = Signal(), Signal()  # of a command, and whether the rest of it is not wanted
        m.d.comb += [
            words.i.payload.data.eq(tdata),
            words.i.payload.last.eq(tlast),
            words.i.valid.eq(tvalid & ~dropping & ~self.flush),
            tready.eq((words.i.ready | dropping) & ~self.flush),
        ]
        with m.If(tvalid & tready):
            m.d.sync += inside.eq(~tlast)
            with m.If(tlast):
                m.d.sync += dropping.eq(0)
        with m.If(self.flush):
            m.d.sync += dropping.eq(inside)
        wiring.connect(m, words.o, wiring.flipped(self.o_command))
        return m


class AxiStreamOutput(wiring.Component):
    """A stream of transfers as AXI4-Stream ports, all of them registers.

    Parameters
    ----------
    prefix : str
        Begin of the port names.
    byte_count : int
        Width of TDATA, in [1, 1024].
    user_bits : int
        Width of TUSER; 0 leaves it out.

    Members
    -------
    i : In(stream(axi_stream_layout))
    <prefix>_tdata, _tkeep, _tlast, _tuser, _tvalid : Out, <prefix>_tready : In
    Latency      1 cycle
    Throughput   one transfer per cycle
    Reset        empty
    Raises       SpecError: byte_count or user_bits outside its range
    """

    def __init__(self, *, prefix: str, byte_count: int, user_bits: int = 0) -> None:
        self._prefix = prefix
        self._layout = axi_stream_layout(byte_count=byte_count, user_bits=user_bits)
        ports = axi_stream_output_ports(prefix, byte_count=byte_count, user_bits=user_bits)
        super().__init__(ports | {"i": In(stream.Signature(self._layout))})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.transfers = transfers = StreamSlice(shape=self._layout)
        wiring.connect(m, wiring.flipped(self.i), transfers.i)
        for name, member in self.i.payload.shape():
            if member.width:
                m.d.comb += getattr(self, f"{self._prefix}_t{name}").eq(transfers.o.payload[name])
        m.d.comb += [
            getattr(self, f"{self._prefix}_tvalid").eq(transfers.o.valid),
            transfers.o.ready.eq(getattr(self, f"{self._prefix}_tready")),
        ]
        return m
