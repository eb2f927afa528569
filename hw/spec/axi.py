# SPDX-License-Identifier: Apache-2.0
"""Register space and stream layouts of the AXI wrapper, for gateware, drivers and docs alike.

Registers are 32 bits wide and addressed in bytes. The ones of `hw.spec.registers` come first; those of the wrapper
follow from `WRAPPER_OFFSET` on. Reading never changes anything.
"""

from dataclasses import dataclass, field
from enum import Enum, IntEnum

from .commands import Field
from .config import TsuConfig
from .registers import ADDRESS_BITS as CORE_ADDRESS_BITS
from .registers import REGISTERS

APERTURE_BITS = 12
"""Address bits that are decoded: the wrapper fills 4 KiB, whatever base the interconnect gives it."""

BYTES_PER_REGISTER = 4
"""Width of a register in bytes; the two lowest address bits are ignored."""

CORE_SPACE_BYTES = BYTES_PER_REGISTER << CORE_ADDRESS_BITS
"""Bytes kept for the registers of the TSU."""

WRAPPER_OFFSET = 0x100
"""First byte of the wrapper's own registers."""

WRAPPER_ID = 0x5453_4401
"""Value of AXI_ID: `TSD` in ASCII, then the version of this register space."""

COMMAND_FIFO_WORDS = 16
"""Command words that may wait between the registers and the TSU; longer commands are written as room comes."""


class Response(IntEnum):
    """BRESP and RRESP of AXI4-Lite."""

    OKAY = 0
    SLVERR = 2
    DECERR = 3


RESPONSE_TEXT: dict[Response, str] = {
    Response.OKAY: "done",
    Response.SLVERR: (
        "nothing was done: a write to a read-only register, a read of a write-only one, a command word of fewer than "
        "four bytes or into a full FIFO, or a STATUS or DRAW register while none waits"
    ),
    Response.DECERR: "no register has this address",
}
"""One line for each response."""


class Access(Enum):
    """What a register may be used for."""

    READ = "read"
    WRITE = "write"
    READ_WRITE = "read, write"
    CLEAR = "read, write 1 to clear"


@dataclass(frozen=True)
class AxiRegister:
    """One register. `fields` names its bits where it is not one number."""

    offset: int
    access: Access
    meaning: str
    fields: dict[str, Field] = field(default_factory=dict)


def _bit(low: int, meaning: str) -> Field:
    return Field(0, low, 1, meaning)


ROUTE_FIELDS: dict[str, Field] = {
    "commands": _bit(0, "commands come from COMMAND_WORD and COMMAND_LAST, else from s_axis_command"),
    "statuses": _bit(1, "statuses go to the STATUS registers, else to m_axis_status"),
    "draws": _bit(2, "draws go to the DRAW registers, else to m_axis_draw"),
}
"""ROUTE: a change of `commands` waits for the end of a command; the others hold from the next status or beat on."""

IRQ_FIELDS: dict[str, Field] = {
    "status": _bit(0, "a status waits in the STATUS registers (clears when it is taken)"),
    "draw": _bit(1, "a draw waits in the DRAW registers (clears when it is taken)"),
    "room": _bit(2, "the command FIFO is empty (clears when a word is written)"),
    "refused": _bit(3, "a command was refused; stays until 1 is written to it"),
}
"""Interrupt causes."""

STATE_FIELDS: dict[str, Field] = {
    "busy": _bit(0, "a command is being taken or executed"),
    "status": _bit(1, "a status waits in the STATUS registers"),
    "draw": _bit(2, "a draw waits in the DRAW registers"),
    "room": Field(0, 16, 8, "words that the command FIFO has room for"),
}
"""STATE."""

STATUS_HEAD_FIELDS: dict[str, Field] = {
    "tag": Field(0, 0, 16, "of the command"),
    "opcode": Field(0, 16, 8, "`Opcode`"),
    "code": Field(0, 24, 8, "`Status`"),
}
"""STATUS_HEAD, and word 0 of a status on the stream."""

DRAW_HEAD_FIELDS: dict[str, Field] = {
    "tag": Field(0, 0, 16, "of the command"),
    "last": _bit(16, "last draw of the command"),
}
"""DRAW_HEAD."""

_POP_FIELD = {"take": _bit(0, "take it, so that the next one may come")}

_WRAPPER: tuple[tuple[str, AxiRegister], ...] = (
    ("AXI_ID", AxiRegister(0x100, Access.READ, f"{WRAPPER_ID:#010x}: version of this register space")),
    (
        "CONTROL",
        AxiRegister(
            0x104,
            Access.READ_WRITE,
            "reads 0",
            {
                "reset": _bit(
                    0,
                    "resets the TSU: no psi, no table, seed 0, counters 0; what waits in the registers is dropped, a "
                    "command cut in two on s_axis_command is dropped up to its TLAST. ROUTE and IRQ_ENABLE stay",
                )
            },
        ),
    ),
    ("STATE", AxiRegister(0x108, Access.READ, "what goes on", STATE_FIELDS)),
    ("ROUTE", AxiRegister(0x10C, Access.READ_WRITE, "registers or streams; 0 after reset", ROUTE_FIELDS)),
    ("IRQ_ENABLE", AxiRegister(0x110, Access.READ_WRITE, "causes that raise `irq`; 0 after reset", IRQ_FIELDS)),
    ("IRQ_PENDING", AxiRegister(0x114, Access.CLEAR, "causes that hold now, enabled or not", IRQ_FIELDS)),
    ("COMMAND_WORD", AxiRegister(0x118, Access.WRITE, "next word of a command, not its last")),
    ("COMMAND_LAST", AxiRegister(0x11C, Access.WRITE, "last word of a command")),
    ("STATUS_HEAD", AxiRegister(0x120, Access.READ, "the status that waits", STATUS_HEAD_FIELDS)),
    ("STATUS_TOTAL_LOW", AxiRegister(0x124, Access.READ, "its total Z, low half")),
    ("STATUS_TOTAL_HIGH", AxiRegister(0x128, Access.READ, "its total Z, high half")),
    ("STATUS_TAKE", AxiRegister(0x12C, Access.WRITE, "ends the status that waits", _POP_FIELD)),
    ("DRAW_HEAD", AxiRegister(0x140, Access.READ, "the draw that waits", DRAW_HEAD_FIELDS)),
    ("DRAW_TOKEN", AxiRegister(0x144, Access.READ, "its token")),
    ("DRAW_SPREAD", AxiRegister(0x148, Access.READ, "its spread: 1 for a top-K id, V - K for a tail token")),
    ("DRAW_WEIGHT_LOW", AxiRegister(0x14C, Access.READ, "its weight, low half")),
    ("DRAW_WEIGHT_HIGH", AxiRegister(0x150, Access.READ, "its weight, high half")),
    ("DRAW_TAKE", AxiRegister(0x154, Access.WRITE, "ends the draw that waits", _POP_FIELD)),
)

AXI_REGISTERS: dict[str, AxiRegister] = {
    **{
        name: AxiRegister(BYTES_PER_REGISTER * register.address, Access.READ, register.meaning)
        for name, register in REGISTERS.items()
    },
    **dict(_WRAPPER),
}
"""Every register by name, by ascending offset."""

STATUS_STREAM_FIELDS: dict[str, Field] = {**STATUS_HEAD_FIELDS, "total": Field(2, 0, 64, "Z, or 0")}
"""A transfer of m_axis_status, in 32-bit words; other bits are 0."""

STATUS_STREAM_BYTES = 16
"""TDATA of m_axis_status."""

DRAW_SLOT_FIELDS: dict[str, Field] = {
    "token": Field(0, 0, 31, "token id"),
    "tail": Field(0, 31, 1, "the token was drawn from the tail"),
    "spread": Field(1, 0, 32, "1, or V - K for a tail token"),
    "weight": Field(2, 0, 64, "integer weight; q = weight / (Z spread)"),
}
"""One draw in TDATA of m_axis_draw, in 32-bit words: as C, `struct { uint32_t token, spread; uint64_t weight; }`."""

DRAW_SLOT_BYTES = 16
"""Bytes of one draw in TDATA; the draw of lane l takes those from 16 l on."""

DRAW_USER_BITS = 16
"""TUSER of m_axis_draw: the tag of the command."""

COMMAND_STREAM_BYTES = 4
"""TDATA of s_axis_command: one word of a command."""


def draw_stream_bytes(config: TsuConfig) -> int:
    """TDATA of m_axis_draw in bytes."""
    return DRAW_SLOT_BYTES * config.lanes
