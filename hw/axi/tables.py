# SPDX-License-Identifier: Apache-2.0
"""Tables of the register space and the stream layouts; `python -m hw.docgen` puts them into docs/reference/axi.md."""

from collections.abc import Callable, Iterable, Mapping

from hw.spec import axi
from hw.spec.commands import Field
from hw.spec.config import PRESETS
from hw.spec.markdown import table


def _bits(field: Field) -> str:
    """Bits of a field, counted from bit 0 of word 0."""
    low = 32 * field.word + field.low
    return f"{low + field.width - 1}:{low}" if field.width > 1 else str(low)


def axi_registers_table() -> str:
    """Every register."""
    rows = [
        (f"0x{register.offset:03X}", f"`{name}`", register.access.value, register.meaning)
        for name, register in axi.AXI_REGISTERS.items()
    ]
    return table(["offset", "register", "access", "meaning"], rows)


def axi_fields_table() -> str:
    """The bits of the registers that are not one number."""
    rows = [
        (f"`{name}`", _bits(field), f"`{field_name}`", field.meaning)
        for name, register in axi.AXI_REGISTERS.items()
        for field_name, field in register.fields.items()
    ]
    return table(["register", "bits", "field", "meaning"], rows)


def axi_responses_table() -> str:
    """BRESP and RRESP."""
    return table(
        ["code", "response", "when"],
        [(response.value, f"`{response.name}`", axi.RESPONSE_TEXT[response]) for response in axi.Response],
    )


def _stream_rows(fields: Mapping[str, Field]) -> Iterable[tuple[object, ...]]:
    for name, field in fields.items():
        yield _bits(field), f"`{name}`", field.meaning


def axi_streams_table() -> str:
    """TDATA and the side signals of the streams."""
    header = ["bits", "field", "meaning"]
    widths = [(f"`{name}`", config.lanes, 8 * axi.draw_stream_bytes(config)) for name, config in PRESETS.items()]
    return "\n".join(
        (
            table(
                ["stream", "TDATA bits", "TKEEP", "TLAST", "TUSER"],
                [
                    ("`s_axis_command`", 8 * axi.COMMAND_STREAM_BYTES, "none: all bytes count", "ends a command", "-"),
                    ("`m_axis_status`", 8 * axi.STATUS_STREAM_BYTES, "all ones", "always 1", "-"),
                    (
                        "`m_axis_draw`",
                        f"{8 * axi.DRAW_SLOT_BYTES} x lanes",
                        "1 for the bytes of each lane that holds a draw",
                        "last beat of a command",
                        f"{axi.DRAW_USER_BITS} bits: tag of the command",
                    ),
                ],
            ),
            "TDATA of `m_axis_status`; bits without a field are 0:\n",
            table(header, _stream_rows(axi.STATUS_STREAM_FIELDS)),
            f"The {axi.DRAW_SLOT_BYTES} bytes of one lane in TDATA of `m_axis_draw`, lane 0 lowest:\n",
            table(header, _stream_rows(axi.DRAW_SLOT_FIELDS)),
            "TDATA of `m_axis_draw` by preset:\n",
            table(["preset", "lanes", "TDATA bits"], widths),
        )
    )


AXI_RENDERERS: dict[str, Callable[[], str]] = {
    "axi-registers": axi_registers_table,
    "axi-fields": axi_fields_table,
    "axi-responses": axi_responses_table,
    "axi-streams": axi_streams_table,
}
"""Tables by the name that stands in a document's marker."""
