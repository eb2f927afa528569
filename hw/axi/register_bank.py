# SPDX-License-Identifier: Apache-2.0
"""The registers of hw.spec.axi: identification, control, interrupts, and commands, statuses and draws one by one."""

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from hw.spec.axi import (
    AXI_REGISTERS,
    BYTES_PER_REGISTER,
    COMMAND_FIFO_WORDS,
    CORE_SPACE_BYTES,
    DRAW_HEAD_FIELDS,
    IRQ_FIELDS,
    ROUTE_FIELDS,
    STATE_FIELDS,
    STATUS_HEAD_FIELDS,
    WRAPPER_ID,
    Access,
    Response,
)
from hw.spec.config import TsuConfig
from hw.spec.registers import ADDRESS_BITS
from hw.tsu.layouts import command_layout, status_layout

from .axi_lite import BUS_BITS, REGISTER_ADDRESS_BITS
from .draw_unpacker import single_draw_layout
from .packing import packed


class RegisterBank(wiring.Component):
    """Answer reads and writes of the register port of `AxiLite`.

    Parameters
    ----------
    config : TsuConfig

    Members
    -------
    write_stb, write_address, write_data, write_strobe : In, write_response : Out      see `AxiLite`
    read_address : In, read_data, read_response : Out
    core_address : Out(4), core_data : In(32)      registers of the TSU
    o_command : Out(stream(word, last))            never waits: `command_room` words have a place
    command_room : In(8)
    i_status : In(stream(status)), i_draw : In(stream(single draw))
    busy, refused_stb : In(1)                      of the TSU
    use_registers : Out(commands, statuses, draws)      ROUTE
    soft_reset : Out(1)                            for one cycle
    irq : Out(1)
    Latency      a read takes one cycle, for the registers of the TSU
    Reset        streams, no interrupt enabled
    """

    def __init__(self, *, config: TsuConfig) -> None:
        super().__init__(
            {
                "write_stb": In(1),
                "write_address": In(REGISTER_ADDRESS_BITS),
                "write_data": In(BUS_BITS),
                "write_strobe": In(BUS_BITS // 8),
                "write_response": Out(2),
                "read_address": In(REGISTER_ADDRESS_BITS),
                "read_data": Out(BUS_BITS),
                "read_response": Out(2),
                "core_address": Out(ADDRESS_BITS),
                "core_data": In(BUS_BITS),
                "o_command": Out(stream.Signature(command_layout())),
                "command_room": In(8),
                "i_status": In(stream.Signature(status_layout())),
                "i_draw": In(stream.Signature(single_draw_layout(config))),
                "busy": In(1),
                "refused_stb": In(1),
                "use_registers": Out(len(ROUTE_FIELDS)),
                "soft_reset": Out(1),
                "irq": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        enable, refused = Signal(len(IRQ_FIELDS)), Signal()
        levels = {
            "status": self.i_status.valid,
            "draw": self.i_draw.valid,
            "room": self.command_room == COMMAND_FIFO_WORDS,
        }
        pending = Signal(len(IRQ_FIELDS))
        m.d.comb += pending.eq(packed(IRQ_FIELDS, levels | {"refused": refused}))
        m.d.sync += [self.irq.eq((pending & enable).any()), self.soft_reset.eq(0)]
        self._write(m, enable=enable, refused=refused)
        with m.If(self.refused_stb):  # a cause that comes while it is cleared is kept
            m.d.sync += refused.eq(1)
        with m.If(self.soft_reset):
            m.d.sync += refused.eq(0)
        self._read(m, enable=enable, pending=pending)
        return m

    def _write(self, m: Module, *, enable: Signal, refused: Signal) -> None:
        """What a write does and how it is answered; a byte whose strobe is low counts as not written."""
        word, strobe = self.write_data, self.write_strobe
        written = Cat(bit & strobe[index // 8] for index, bit in enumerate(word))
        mask = Cat(strobe[index // 8] for index in range(BUS_BITS))
        whole = strobe.all()
        word_fits, take = Signal(), Signal()
        m.d.comb += [
            word_fits.eq(whole & (self.command_room != 0)),
            take.eq(self.write_stb & written[0]),
            self.o_command.payload.data.eq(word),
        ]
        with m.Switch(self.write_address):
            for name, register in AXI_REGISTERS.items():
                with m.Case(register.offset // BYTES_PER_REGISTER):
                    response: Value | Response = Response.OKAY
                    match name:
                        case "CONTROL":
                            m.d.sync += self.soft_reset.eq(take)
                        case "ROUTE" | "IRQ_ENABLE":
                            target = self.use_registers if name == "ROUTE" else enable
                            with m.If(self.write_stb):
                                m.d.sync += target.eq((target & ~mask) | written)
                        case "IRQ_PENDING":
                            with m.If(self.write_stb & written[IRQ_FIELDS["refused"].low]):
                                m.d.sync += refused.eq(0)
                        case "COMMAND_WORD" | "COMMAND_LAST":
                            m.d.comb += [
                                self.o_command.valid.eq(self.write_stb & word_fits),
                                self.o_command.payload.last.eq(name == "COMMAND_LAST"),
                            ]
                            response = Mux(word_fits | ~strobe.any(), Response.OKAY, Response.SLVERR)
                        case "STATUS_TAKE":
                            m.d.comb += self.i_status.ready.eq(take)
                            response = Mux(self.i_status.valid, Response.OKAY, Response.SLVERR)
                        case "DRAW_TAKE":
                            m.d.comb += self.i_draw.ready.eq(take)
                            response = Mux(self.i_draw.valid, Response.OKAY, Response.SLVERR)
                        case _:
                            response = Response.SLVERR
                    m.d.comb += self.write_response.eq(response)
            with m.Default():
                m.d.comb += self.write_response.eq(Response.DECERR)

    def _read(self, m: Module, *, enable: Signal, pending: Signal) -> None:
        """Value and answer of every register."""
        status, draw = self.i_status.payload, self.i_draw.payload
        state = {
            "busy": self.busy,
            "status": self.i_status.valid,
            "draw": self.i_draw.valid,
            "room": self.command_room,
        }
        values: dict[str, Value | int] = {
            "AXI_ID": WRAPPER_ID,
            "CONTROL": 0,
            "STATE": packed(STATE_FIELDS, state),
            "ROUTE": self.use_registers,
            "IRQ_ENABLE": enable,
            "IRQ_PENDING": pending,
            "STATUS_HEAD": packed(STATUS_HEAD_FIELDS, {name: status[name] for name in STATUS_HEAD_FIELDS}),
            "STATUS_TOTAL_LOW": status.total[:BUS_BITS],
            "STATUS_TOTAL_HIGH": status.total[BUS_BITS:],
            "DRAW_HEAD": packed(DRAW_HEAD_FIELDS, {name: draw[name] for name in DRAW_HEAD_FIELDS}),
            "DRAW_TOKEN": draw.token,
            "DRAW_SPREAD": draw.spread,
            "DRAW_WEIGHT_LOW": draw.weight[:BUS_BITS],
            "DRAW_WEIGHT_HIGH": draw.weight[BUS_BITS:],
        }
        m.d.comb += self.core_address.eq(self.read_address)
        with m.Switch(self.read_address):
            for name, register in AXI_REGISTERS.items():
                with m.Case(register.offset // BYTES_PER_REGISTER):
                    response: Value | Response = Response.OKAY
                    value = self.core_data if register.offset < CORE_SPACE_BYTES else values.get(name, 0)
                    if register.access == Access.WRITE:
                        response = Response.SLVERR
                    elif name.startswith(("STATUS_", "DRAW_")):
                        waits = self.i_status.valid if name.startswith("STATUS_") else self.i_draw.valid
                        response, value = Mux(waits, Response.OKAY, Response.SLVERR), Mux(waits, value, 0)
                    m.d.comb += [self.read_response.eq(response), self.read_data.eq(value)]
            with m.Default():
                m.d.comb += self.read_response.eq(Response.DECERR)
