# SPDX-License-Identifier: Apache-2.0
"""C headers generated from hw.spec: the layouts, the configuration and the exp2 tables as the native code sees them."""

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

from hw.spec import commands, exp2
from hw.spec.config import TsuConfig
from hw.spec.digest import spec_id
from hw.spec.noise import GENERATORS, STATE_WORDS, WORD_BITS, stream_states
from hw.spec.registers import LANE_REGISTERS, REGISTERS, Alarm

ABI_HEADER = Path(__file__).with_name("tsd_abi.h")
"""The hand-written prototypes that every native TSU implements."""

CONFIG_HEADER_NAME = "tsd_config.h"
"""File name under which native sources include `config_header`."""

EXP2_HEADER_NAME = "tsd_exp2.h"
"""File name under which native sources include `exp2_header`."""

_LICENSE = "/* SPDX-License-Identifier: Apache-2.0 */"


def macro_name(*parts: str) -> str:
    """Parts joined to an upper-case macro name under the prefix TSD."""
    return "_".join(["TSD", *parts]).upper().replace("-", "_")


def _literal(value: int) -> str:
    return f"UINT64_C({value})" if value >> 31 else str(value)


def _array(kind: str, name: str, values: Sequence[int]) -> list[str]:
    rows = [", ".join(_literal(value) for value in values[i : i + 4]) for i in range(0, len(values), 4)]
    return [f"static const {kind} {name}[{len(values)}] = {{", *(f"    {row}," for row in rows), "};", ""]


def _field_macros(group: str, layout: Mapping[str, commands.Field]) -> dict[str, int]:
    macros = {}
    for name, field in layout.items():
        for part in ("word", "low", "width"):
            macros[macro_name(group, name, part)] = getattr(field, part)
    return macros


def layout_macros() -> dict[str, int]:
    """Macro names and values of the command layout: opcodes, statuses, modes, field positions, lengths."""
    macros = {macro_name("opcode", member.name): int(member) for member in commands.Opcode}
    macros |= {macro_name("status", member.name): int(member) for member in commands.Status}
    macros |= {macro_name("mode", member.name): int(member) for member in commands.WeightMode}
    macros |= _field_macros("common", commands.COMMON_FIELDS)
    macros |= _field_macros("load", commands.LOAD_FIELDS)
    macros |= _field_macros("entry", commands.ENTRY_FIELDS)
    macros |= _field_macros("block", commands.BLOCK_FIELDS)
    macros |= {macro_name("register", name): register.address for name, register in REGISTERS.items()}
    macros |= {
        macro_name("command_version"): commands.COMMAND_VERSION,
        macro_name("load_header_words"): commands.LOAD_HEADER_WORDS,
        macro_name("draw_command_words"): commands.DRAW_COMMAND_WORDS,
        macro_name("table_command_words"): commands.TABLE_COMMAND_WORDS,
        macro_name("block_header_words"): commands.BLOCK_HEADER_WORDS,
        macro_name("block_length_bits"): commands.BLOCK_LENGTH_BITS,
        macro_name("table_entries"): commands.TABLE_ENTRIES,
        macro_name("table_entry_words"): commands.TABLE_ENTRY_WORDS,
        macro_name("alarms"): len(Alarm),
    }
    return macros


def config_macros(config: TsuConfig) -> dict[str, int]:
    """Macro names and values of one configuration, derived widths included."""
    macros = {macro_name(name): value for name, value in config.as_dict().items() if isinstance(value, int)}
    macros |= {macro_name("generator", name): number for number, name in enumerate(GENERATORS)}
    for name in (
        "depth",
        "id_bits",
        "total_bits",
        "uniform_bits",
        "total_min",
        "total_max",
        "noise_words",
        "noise_streams",
        "has_table",
        "has_exp2",
    ):
        macros[macro_name(name)] = int(getattr(config, name))
    macros |= {
        macro_name("noise"): list(GENERATORS).index(config.noise),
        macro_name("noise_word_bits"): WORD_BITS,
        macro_name("state_words"): STATE_WORDS,
        macro_name("seed_command_words"): commands.seed_word_count(config.noise_streams, STATE_WORDS),
        macro_name("spec_id"): spec_id(config),
    }
    return macros


@cache
def config_header(config: TsuConfig) -> str:
    """Text of `tsd_config.h`: every constant that native code needs of hw.spec and of one configuration.

    Beside the macros it holds `tsd_reset_states`, the words of every noise stream of seed 0, and `tsd_lane_registers`,
    for each alarm the address of the register that says which lanes raise it.
    """
    macros = layout_macros() | config_macros(config)
    states = stream_states(config.noise, 0, config.noise_streams)
    lines = [_LICENSE, "/* Generated from hw/spec; do not edit. */", "#ifndef TSD_CONFIG_H", "#define TSD_CONFIG_H", ""]
    lines += ["#include <stdint.h>", ""]
    lines += [f"#define {name} {_literal(value)}" for name, value in macros.items()]
    lines += ["", *_array("uint32_t", "tsd_reset_states", [word for state in states for word in state])]
    lines += _array("uint32_t", "tsd_lane_registers", [REGISTERS[LANE_REGISTERS[alarm]].address for alarm in Alarm])
    return "\n".join([*lines, "#endif", ""])


@cache
def exp2_header() -> str:
    """Text of `tsd_exp2.h`: the formats and coefficient tables of the exp2 unit."""
    formats = {
        name: getattr(exp2, name)
        for name in (
            "MANTISSA_FRACTION_BITS",
            "FRACTION_BITS",
            "SEGMENT_BITS",
            "OFFSET_BITS",
            "DROPPED_BITS",
            "CURVE_OFFSET_BITS",
            "CURVE_SHIFT",
            "SLOPE_SHIFT",
            "RATIO_BITS",
        )
    }
    lines = [_LICENSE, "/* Generated from hw/spec; do not edit. */", "#ifndef TSD_EXP2_H", "#define TSD_EXP2_H", ""]
    lines += ["#include <stdint.h>", ""]
    lines += [f"#define {macro_name('exp2', name)} {value}" for name, value in formats.items()]
    lines += [""]
    for name, table in (("tsd_exp2_c0", exp2.C0), ("tsd_exp2_c1", exp2.C1), ("tsd_exp2_c2", exp2.C2)):
        lines += _array("uint64_t", name, table)
    return "\n".join([*lines, "#endif", ""])
