# SPDX-License-Identifier: Apache-2.0
"""Tables of the link for docs/reference/link.md, made from hw.spec.frames."""

from collections.abc import Callable

from hw.spec.config import PRESETS
from hw.spec.frames import (
    CRC_BYTES,
    DEVICE_BIT,
    FRAME_HEADER,
    FRAME_OVERHEAD_BYTES,
    FRAME_RULES,
    LINK_ERROR_TEXT,
    PAYLOAD_MAX_BYTES,
    WIRE_MAX_BYTES,
    DrawRecord,
    FrameRule,
)
from hw.spec.markdown import table


def layout_table() -> str:
    """Fields of a frame before COBS."""
    rows: list[tuple[object, ...]] = [(f.offset, f.size, f"`{n}`", f.meaning) for n, f in FRAME_HEADER.items()]
    end = FRAME_OVERHEAD_BYTES - CRC_BYTES
    rows += [
        (end, "length", "`payload`", "see the types"),
        (f"{end} + length", CRC_BYTES, "`crc`", "CRC-32 of all before"),
    ]
    limits = (
        f"A payload has up to {PAYLOAD_MAX_BYTES} bytes; a frame with COBS and its delimiter up to {WIRE_MAX_BYTES}.\n"
    )
    return table(["offset", "bytes", "field", "meaning"], rows) + "\n" + limits


def _length(rule: FrameRule) -> str:
    if rule.least == rule.most:
        return str(rule.least)
    return f"{rule.least}..{rule.most}" + (f" in steps of {rule.step}" if rule.step > 1 else "")


def types_table() -> str:
    """Frame types of both directions."""
    rows = []
    for t, rule in FRAME_RULES.items():
        sender = "device" if t & DEVICE_BIT else "host"
        rows.append((f"0x{t:02x}", f"`{t.name}`", sender, rule.tag, _length(rule), rule.payload))
    return table(["code", "type", "sent by", "tag", "payload bytes", "payload"], rows)


def errors_table() -> str:
    """Reasons in an ERROR frame."""
    return table(
        ["code", "error", "a frame is refused because"],
        [(int(e), f"`{e.name}`", t) for e, t in LINK_ERROR_TEXT.items()],
    )


def draws_table() -> str:
    """Bytes of one draw in each preset."""
    records = {name: DrawRecord(config=config) for name, config in PRESETS.items()}
    rows = [(f"`{n}`", r.token_bytes, r.weight_bytes, r.size, r.frame_draws) for n, r in records.items()]
    return table(["preset", "token and tail flag", "weight", "bytes of a draw", "draws of a frame"], rows)


RENDERERS: dict[str, Callable[[], str]] = {
    "link-layout": layout_table,
    "link-types": types_table,
    "link-errors": errors_table,
    "link-draws": draws_table,
}
"""Tables by the name that stands in a document's marker."""
