# SPDX-License-Identifier: Apache-2.0
"""Line and toggle coverage: what one simulation executed and moved, and the union of many."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .declarations import Declaration, read_declarations
from .instrument import MARK, source_name

_POINT = re.compile(r"^C '(.*)' (\d+)$")
_TOGGLE = re.compile(r"(?:\[(\d+)\])?:(0->1|1->0)$")


class CoverageError(RuntimeError):
    """Coverage data are missing, broken or contradict the Verilog; the message is one line."""


@dataclass(kw_only=True)
class Signal:
    """Toggles of a signal: bit i of `rose` and `fell` is set where bit i did."""

    width: int = 0
    rose: int = 0
    fell: int = 0

    @property
    def total(self) -> int:
        """Toggles that can be seen: two for each bit."""
        return 2 * self.width

    @property
    def hit(self) -> int:
        """Toggles that were seen."""
        return self.rose.bit_count() + self.fell.bit_count()

    def missing(self) -> list[str]:
        """Bits that lack a toggle, as ranges, with what they did: `7:4 constant`, `3 only rose`."""
        states = ["constant", "only rose", "only fell", ""]
        kinds = [states[(self.rose >> bit & 1) + 2 * (self.fell >> bit & 1)] for bit in range(self.width)]
        ranges: list[str] = []
        bit = self.width - 1
        while bit >= 0:
            low = bit
            while low and kinds[low - 1] == kinds[bit]:
                low -= 1
            if kinds[bit]:
                ranges.append(f"{f'{bit}:{low}' if low < bit else bit} {kinds[bit]}")
            bit = low - 1
        return ranges


@dataclass(kw_only=True)
class Component:
    """Coverage of one file of the gateware: executed or not by line, toggles by the name of the signal."""

    lines: dict[int, bool] = field(default_factory=dict)
    toggles: dict[str, Signal] = field(default_factory=dict)

    def signal(self, name: str) -> Signal:
        """The toggles of a signal, begun at none."""
        return self.toggles.setdefault(name, Signal())


Structure = dict[str, Component]
"""Components by the name of their file, `hw/tsu/lane.py`."""


def note(structure: Structure, declared: Declaration, *, bit: int, edge: str, count: int) -> None:
    """Enter one toggle point of Verilator, which is a mark of executed lines or a toggle of a signal."""
    if declared.name.startswith(MARK):
        if edge == "0->1":
            name, _, numbers = declared.marks.rpartition(":")
            lines = structure.setdefault(name, Component()).lines
            for number in map(int, numbers.split(",")):
                lines[number] = lines.get(number, False) or count > 0
        return
    name = source_name(declared.component) or ""
    if not name:
        return
    signal = structure.setdefault(name, Component()).signal(declared.name)
    signal.width = max(signal.width, declared.width)
    seen = int(count > 0) << bit
    if edge == "0->1":
        signal.rose |= seen
    else:
        signal.fell |= seen


def read_structure(data: Path, verilog: Path) -> Structure:
    """Coverage of one simulation from Verilator's data file and the marked Verilog.

    Raises
    ------
    CoverageError
        A file is missing, a line of the data is broken, or names no signal of the Verilog.
    """
    try:
        points, text = data.read_text(encoding="utf-8").splitlines(), verilog.read_text(encoding="utf-8")
    except OSError as error:
        raise CoverageError(f"no coverage data: {error}") from error
    declared = {number: what for number, _, _, what in read_declarations(text)}
    structure: Structure = {}
    for line in points:
        if line.startswith("#"):
            continue
        point = _POINT.match(line)
        if point is None:
            raise CoverageError(f"{data} holds the line {line!r}")
        keys = dict(part.split("\x02", 1) for part in point[1].split("\x01") if part)
        toggle = _TOGGLE.search(keys.get("o", ""))
        what = declared.get(int(keys.get("l", "0")))
        if toggle is None or what is None:
            raise CoverageError(f"{data} names no signal of {verilog}: {line!r}")
        note(structure, what, bit=int(toggle[1] or 0), edge=toggle[2], count=int(point[2]))
    return structure


def merge(structures: Iterable[Structure]) -> Structure:
    """The union: a line was executed, a bit toggled, where it did in any."""
    union: Structure = {}
    for structure in structures:
        for name, component in structure.items():
            into = union.setdefault(name, Component())
            for line, executed in component.lines.items():
                into.lines[line] = into.lines.get(line, False) or executed
            for label, signal in component.toggles.items():
                both = into.signal(label)
                both.width = max(both.width, signal.width)
                both.rose |= signal.rose
                both.fell |= signal.fell
    return dict(sorted(union.items()))


def to_json(structure: Structure) -> dict[str, Any]:
    """As JSON types: lines as two lists, toggles as width and two masks in hexadecimal digits."""
    return {
        name: {
            "executed": sorted(line for line, executed in component.lines.items() if executed),
            "missed": sorted(line for line, executed in component.lines.items() if not executed),
            "toggles": {
                label: [signal.width, f"{signal.rose:x}", f"{signal.fell:x}"]
                for label, signal in sorted(component.toggles.items())
            },
        }
        for name, component in sorted(structure.items())
    }


def from_json(fields: dict[str, Any]) -> Structure:
    """What `to_json` wrote."""
    return {
        name: Component(
            lines={**dict.fromkeys(entry["missed"], False), **dict.fromkeys(entry["executed"], True)},
            toggles={
                label: Signal(width=width, rose=int(rose, 16), fell=int(fell, 16))
                for label, (width, rose, fell) in entry["toggles"].items()
            },
        )
        for name, entry in fields.items()
    }
