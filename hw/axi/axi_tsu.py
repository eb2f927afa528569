# SPDX-License-Identifier: Apache-2.0
"""The TSU with AXI ports."""

from amaranth.back import verilog
from amaranth.hdl import Cat, ClockDomain, Const, Module, Mux, ResetInserter, Signal
from amaranth.lib import fifo, wiring
from amaranth.lib.wiring import In, Out, connect

from hw.spec.axi import (
    COMMAND_FIFO_WORDS,
    DRAW_SLOT_BYTES,
    DRAW_SLOT_FIELDS,
    DRAW_USER_BITS,
    ROUTE_FIELDS,
    STATUS_STREAM_BYTES,
    STATUS_STREAM_FIELDS,
    draw_stream_bytes,
)
from hw.spec.commands import Status
from hw.spec.config import TsuConfig
from hw.tsu.core import TsuCore
from hw.tsu.layouts import command_layout, status_layout
from hw.tsu.stream_slice import StreamSlice

from .axi_lite import AxiLite, axi_lite_ports
from .axi_stream import AxiStreamInput, AxiStreamOutput, axi_stream_input_ports, axi_stream_output_ports, connect_flat
from .command_select import CommandSelect
from .draw_unpacker import DrawUnpacker
from .packing import packed
from .register_bank import RegisterBank

REGISTERS, COMMANDS, STATUSES, DRAWS = "s_axil", "s_axis_command", "m_axis_status", "m_axis_draw"
"""Prefixes of the ports."""


class AxiTsu(wiring.Component):
    """A `TsuCore` behind AXI4-Lite registers and AXI4-Streams of commands, statuses and draws.

    docs/reference/axi.md has the registers and the layouts of the streams. One clock; the reset is low-active and
    synchronous. A reset by register leaves the AXI rules intact: what is on offer stays on offer until it is taken.

    Parameters
    ----------
    config : TsuConfig

    Members
    -------
    aclk, aresetn : In(1)
    s_axil_* : AXI4-Lite slave, 32 bits
    s_axis_command_* : AXI4-Stream in, 32 bits       words of commands; TLAST ends a command
    m_axis_status_* : AXI4-Stream out, 128 bits      one status each transfer
    m_axis_draw_* : AXI4-Stream out, 128 bits a lane      TKEEP marks the lanes that hold a draw, TUSER is the tag
    irq : Out(1)                                     level
    Latency      2 cycles more than the core: one register before it, one behind it
    Throughput   that of the core: `lanes` candidates per cycle
    Reset        no psi, no table, the noise streams of seed 0
    Golden       host.golden.exact.draft_law (law), host.tsu.model.ModelTsu (stream, bit-exact)
    """

    NAME = "tsu_axi"
    """Name of the Verilog module."""

    def __init__(self, *, config: TsuConfig) -> None:
        self._config = config
        self._status_output = AxiStreamOutput(prefix=STATUSES, byte_count=STATUS_STREAM_BYTES)
        byte_count = draw_stream_bytes(config)
        self._draw_output = AxiStreamOutput(prefix=DRAWS, byte_count=byte_count, user_bits=DRAW_USER_BITS)
        super().__init__(
            {"aclk": In(1), "aresetn": In(1)}
            | axi_lite_ports(REGISTERS)
            | axi_stream_input_ports(COMMANDS)
            | axi_stream_output_ports(STATUSES, byte_count=STATUS_STREAM_BYTES)
            | axi_stream_output_ports(DRAWS, byte_count=byte_count, user_bits=DRAW_USER_BITS)
            | {"irq": Out(1)}
        )
        # Vivado groups the other ports by their names; which clock they belong to has to be said.
        buses = ":".join((REGISTERS, COMMANDS, STATUSES, DRAWS))
        self.aclk.attrs["X_INTERFACE_PARAMETER"] = f"ASSOCIATED_BUSIF {buses}, ASSOCIATED_RESET aresetn"
        self.aresetn.attrs["X_INTERFACE_PARAMETER"] = "POLARITY ACTIVE_LOW"
        self.irq.attrs["X_INTERFACE_PARAMETER"] = "SENSITIVITY LEVEL_HIGH"

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.domains.sync = sync = ClockDomain(local=True)
        m.d.comb += [sync.clk.eq(self.aclk), sync.rst.eq(~self.aresetn)]

        m.submodules.bus = bus = AxiLite(prefix=REGISTERS)
        m.submodules.registers = registers = RegisterBank(config=self._config)
        soft_reset = registers.soft_reset
        core = TsuCore(config=self._config)
        m.submodules.core = ResetInserter(soft_reset)(core)
        for inner, prefix in (
            (bus, REGISTERS),
            (self._status_output, STATUSES),
            (self._draw_output, DRAWS),
        ):
            connect_flat(m, self, inner, prefix)
        for name in ("write_stb", "write_address", "write_data", "write_strobe", "read_address"):
            m.d.comb += getattr(registers, name).eq(getattr(bus, name))
        for name in ("write_response", "read_data", "read_response"):
            m.d.comb += getattr(bus, name).eq(getattr(registers, name))
        m.d.comb += [
            core.register_address.eq(registers.core_address),
            registers.core_data.eq(core.register_data),
            registers.busy.eq(core.busy),
            self.irq.eq(registers.irq),
        ]
        routes = {name: registers.use_registers[field.low] for name, field in ROUTE_FIELDS.items()}
        self._commands(m, registers, core, use_registers=routes["commands"])
        self._statuses(m, registers, core, use_registers=routes["statuses"])
        self._draws(m, registers, core, use_registers=routes["draws"])
        return m

    def _commands(self, m: Module, registers: RegisterBank, core: TsuCore, *, use_registers: Signal) -> None:
        """From stream or registers to the core."""
        m.submodules.command_input = words = AxiStreamInput(prefix=COMMANDS)
        connect_flat(m, self, words, COMMANDS)
        waiting = fifo.SyncFIFOBuffered(width=command_layout().size, depth=COMMAND_FIFO_WORDS)
        m.submodules.command_fifo = ResetInserter(registers.soft_reset)(waiting)
        m.submodules.select = select = CommandSelect()
        connect(m, words.o_command, select.i_stream)
        connect(m, select.o_command, core.i_command)
        m.d.comb += [
            words.flush.eq(registers.soft_reset),
            select.flush.eq(registers.soft_reset),
            select.use_registers.eq(use_registers),
            waiting.w_data.eq(registers.o_command.payload),
            waiting.w_en.eq(registers.o_command.valid),
            registers.o_command.ready.eq(waiting.w_rdy),
            registers.command_room.eq(COMMAND_FIFO_WORDS - waiting.level),
            select.i_registers.payload.eq(waiting.r_data),
            select.i_registers.valid.eq(waiting.r_rdy),
            waiting.r_en.eq(select.i_registers.ready),
        ]

    def _statuses(self, m: Module, registers: RegisterBank, core: TsuCore, *, use_registers: Signal) -> None:
        """From the core to stream or registers."""
        m.submodules.status_output = output = self._status_output
        kept = StreamSlice(shape=status_layout())
        m.submodules.status_kept = ResetInserter(registers.soft_reset)(kept)
        status = core.o_status.payload
        fields = {name: status[name] for name in STATUS_STREAM_FIELDS}
        m.d.comb += [
            output.i.payload.data.eq(packed(STATUS_STREAM_FIELDS, fields)),
            output.i.payload.keep.eq(~0),
            output.i.payload.last.eq(1),
            kept.i.payload.eq(status),
            output.i.valid.eq(core.o_status.valid & ~use_registers),
            kept.i.valid.eq(core.o_status.valid & use_registers),
            core.o_status.ready.eq(Mux(use_registers, kept.i.ready, output.i.ready)),
        ]
        refused = core.o_status.valid & core.o_status.ready & (status.code != Status.OK)
        m.d.sync += registers.refused_stb.eq(refused & ~registers.soft_reset)
        connect(m, kept.o, registers.i_status)

    def _draws(self, m: Module, registers: RegisterBank, core: TsuCore, *, use_registers: Signal) -> None:
        """From the core to stream or registers."""
        m.submodules.draw_output = output = self._draw_output
        unpacker = DrawUnpacker(config=self._config)
        m.submodules.unpacker = ResetInserter(registers.soft_reset)(unpacker)
        beat = core.o_draw.payload
        slots = []
        for draw in beat.draws:
            spread = Mux(draw.tail, beat.spread, 1)
            values = {"token": draw.token, "tail": draw.tail, "spread": spread, "weight": draw.weight}
            slot = packed(DRAW_SLOT_FIELDS, values)
            slots.append(Cat(slot, Const(0, 8 * DRAW_SLOT_BYTES - len(slot))))
        m.d.comb += [
            output.i.payload.data.eq(Cat(slots)),
            output.i.payload.keep.eq(Cat(kept.replicate(DRAW_SLOT_BYTES) for kept in beat.keep)),
            output.i.payload.last.eq(beat.last),
            output.i.payload.user.eq(beat.tag),
            unpacker.i_beat.payload.eq(beat),
            output.i.valid.eq(core.o_draw.valid & ~use_registers),
            unpacker.i_beat.valid.eq(core.o_draw.valid & use_registers),
            core.o_draw.ready.eq(Mux(use_registers, unpacker.i_beat.ready, output.i.ready)),
        ]
        connect(m, unpacker.o_draw, registers.i_draw)

    def to_verilog(self) -> str:
        """The whole design as Verilog, without names of source files."""
        return str(verilog.convert(self, name=self.NAME, emit_src=False, strip_internal_attrs=True))
