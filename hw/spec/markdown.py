# SPDX-License-Identifier: Apache-2.0
"""Tables of this package as Markdown; `python -m hw.docgen` puts them into the documents."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from fractions import Fraction

from . import commands, health, noise, psi_layout, registers
from .config import PRESETS
from .digest import spec_id

DERIVED_WIDTHS = (
    "depth",
    "id_bits",
    "total_bits",
    "uniform_bits",
    "slack_bits",
    "scale_bits",
    "noise_words",
    "noise_streams",
)
"""Properties of `TsuConfig` that the preset table shows below the fields."""


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A Markdown table; a `|` inside a cell is escaped."""
    lines = [header, ["---"] * len(header), *rows]
    return "".join("| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |\n" for line in lines)


def presets_table() -> str:
    """Fields, derived widths and SPEC_ID of each preset."""
    rows: list[list[object]] = [[f"`{name}`"] for name in next(iter(PRESETS.values())).as_dict()]
    rows += [[f"{name} (derived)"] for name in DERIVED_WIDTHS]
    rows.append(["SPEC_ID"])
    for config in PRESETS.values():
        values: list[object] = [*config.as_dict().values(), *(getattr(config, name) for name in DERIVED_WIDTHS)]
        values.append(f"{spec_id(config):016x}")
        for row, value in zip(rows, values, strict=True):
            row.append(value)
    return table(["field", *(f"`{name}`" for name in PRESETS)], rows)


def _field_rows(layout: Mapping[str, commands.Field]) -> Iterable[Sequence[object]]:
    for name, field in layout.items():
        last_word = field.word + (field.low + field.width - 1) // 32
        words = str(field.word) if last_word == field.word else f"{field.word}-{last_word}"
        high = field.low + field.width - 1
        yield words, f"{high}:{field.low}" if field.width > 1 else str(field.low), f"`{name}`", field.meaning


def commands_table() -> str:
    """Layout of the command words, and the words that each opcode takes."""
    header = ["word", "bits", "field", "meaning"]
    load_words = commands.LOAD_HEADER_WORDS
    lengths = [
        ("LOAD", f"{load_words} + K"),
        ("DRAW", commands.DRAW_COMMAND_WORDS),
        ("TABLE", commands.TABLE_COMMAND_WORDS),
        ("SEED", f"1 + {noise.STATE_WORDS} x noise_streams"),
        ("CONTEXT", f"{load_words} + K"),
        ("BLOCK", f"{commands.BLOCK_HEADER_WORDS} + streams"),
    ]
    return (
        "\n".join(
            (
                "Every command:\n",
                table(header, _field_rows(commands.COMMON_FIELDS)),
                "LOAD goes on with:\n",
                table(header, _field_rows(commands.LOAD_FIELDS)),
                f"and from word {load_words} on with one word for each entry:\n",
                table(header, _field_rows(commands.ENTRY_FIELDS)),
                f"CONTEXT (with contexts) has the words of LOAD; BLOCK (with contexts) has from word "
                f"{commands.BLOCK_HEADER_WORDS} on one word for each stream:\n",
                table(header, _field_rows(commands.BLOCK_FIELDS)),
                "Opcodes:\n",
                table(
                    ["code", "opcode", "words"],
                    [(commands.Opcode[name].value, f"`{name}`", words) for name, words in lengths],
                ),
                "Weight modes:\n",
                table(["code", "mode"], [(mode.value, f"`{mode.name}`") for mode in commands.WeightMode]),
            )
        ).rstrip("\n")
        + "\n"
    )


def status_table() -> str:
    """Status codes and what they mean."""
    return table(
        ["code", "status", "meaning"],
        [(status.value, f"`{status.name}`", commands.STATUS_TEXT[status]) for status in commands.Status],
    )


def psi_table() -> str:
    """Header fields and sections of a psi on the wire."""
    kinds = {"u": "unsigned", "i": "two's complement", "f": "binary32"}
    fields = [(f.offset, f.size, f"`{f.name}`", kinds[f.kind], f.legal, f.meaning) for f in psi_layout.PSI_HEADER]
    return "\n".join(
        (
            table(["offset", "bytes", "field", "kind", "legal", "meaning"], fields),
            "Sections, in this order:\n",
            table(["section", "size", "content"], psi_layout.PSI_SECTIONS),
        )
    )


def registers_table() -> str:
    """Registers of 32 bits, read-only."""
    return table(
        ["address", "register", "meaning"],
        [(register.address, f"`{name}`", register.meaning) for name, register in registers.REGISTERS.items()],
    )


def noise_table() -> str:
    """Noise generators that `--noise` names."""
    return table(
        ["name", "state bits", "what it is"],
        [(f"`{g.name}`", noise.STATE_BITS, g.summary) for g in noise.GENERATORS.values()],
    )


def _power_of_two(probability: Fraction) -> str:
    """A tiny probability as a power of two, to one decimal."""
    bits = math.log2(probability.numerator) - math.log2(probability.denominator)
    return f"2^{bits:.1f}"


def health_table() -> str:
    """Constants of the noise's health tests, and exact probabilities of independent bits."""
    schedule, fair, biased = health.SCHEDULE, Fraction(1, 2), Fraction(3, 5)
    return table(
        ["quantity", "value"],
        [
            ("samples of a dwell", schedule.dwell_words),
            ("samples of a window", schedule.window_words),
            ("ones of a window that pass", f"{schedule.ones_low} to {schedule.ones_high}"),
            ("false alarm of a dwell (repetition)", _power_of_two(health.repetition_alarm(fair))),
            ("false alarm of a window (proportion)", _power_of_two(health.proportion_alarm(fair))),
            ("false alarm of a window, all tests (bound)", _power_of_two(health.false_alarm())),
            ("a window of 60 % or 40 % ones is missed", _power_of_two(1 - health.proportion_alarm(biased))),
        ],
    )


RENDERERS: dict[str, Callable[[], str]] = {
    "presets": presets_table,
    "commands": commands_table,
    "status": status_table,
    "psi": psi_table,
    "registers": registers_table,
    "noise": noise_table,
    "health": health_table,
}
"""Tables by the name that stands in a document's marker."""
