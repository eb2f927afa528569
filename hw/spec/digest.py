# SPDX-License-Identifier: Apache-2.0
"""SPEC_ID: a 64-bit digest of everything that host and hardware must agree on."""

import hashlib
from collections.abc import Iterator
from functools import cache

from . import commands, exp2
from .config import TsuConfig
from .noise import get_generator

SPEC_ID_BITS = 64
"""Width of the digest that the hardware reports."""


def _layout_lines(config: TsuConfig) -> Iterator[str]:
    yield f"command_version {commands.COMMAND_VERSION}"
    contexts = config.contexts
    for members in (commands.opcodes(contexts), commands.statuses(contexts), tuple(commands.WeightMode)):
        for member in members:
            yield f"{type(member).__name__} {member.name} {int(member)}"
    for group, layout in (
        ("common", commands.COMMON_FIELDS),
        ("load", commands.LOAD_FIELDS),
        ("entry", commands.ENTRY_FIELDS),
    ):
        for name, field in layout.items():
            yield f"field {group} {name} {field.word} {field.low} {field.width}"
    yield f"load_header_words {commands.LOAD_HEADER_WORDS}"
    yield f"draw_command_words {commands.DRAW_COMMAND_WORDS}"
    yield f"table {commands.TABLE_ENTRIES} {commands.TABLE_ENTRY_WORDS}"
    if contexts:
        yield f"block {commands.BLOCK_HEADER_WORDS} {commands.BLOCK_LENGTH_BITS}"
        for name, field in commands.BLOCK_FIELDS.items():
            yield f"field block {name} {field.word} {field.low} {field.width}"


def _law_lines(config: TsuConfig) -> Iterator[str]:
    for name, value in config.as_dict().items():
        if config.contexts or name not in ("contexts", "streams"):
            yield f"config {name} {value}"
    generator = get_generator(config.noise)
    yield f"generator {generator.name} {generator.jump_polynomial:#x}"
    for name in (
        "MANTISSA_FRACTION_BITS",
        "FRACTION_BITS",
        "SEGMENT_BITS",
        "OFFSET_BITS",
        "CURVE_OFFSET_BITS",
        "CURVE_SHIFT",
        "SLOPE_SHIFT",
        "RATIO_BITS",
    ):
        yield f"exp2 {name.lower()} {getattr(exp2, name)}"
    for row in zip(exp2.C0, exp2.C1, exp2.C2, strict=True):
        yield "exp2 row {} {} {}".format(*row)


def canonical_text(config: TsuConfig) -> str:
    """What SPEC_ID digests, one fact a line: the command layout, status codes, `config`, the exp2 unit.

    What only block drafting knows counts where the TSU has contexts: any other is what it was without.
    """
    return "".join(f"{line}\n" for line in (*_layout_lines(config), *_law_lines(config)))


@cache
def spec_id(config: TsuConfig) -> int:
    """SPEC_ID of one configuration: the first 8 bytes, big-endian, of the SHA-256 of `canonical_text`."""
    digest = hashlib.sha256(canonical_text(config).encode()).digest()
    return int.from_bytes(digest[: SPEC_ID_BITS // 8], "big")
