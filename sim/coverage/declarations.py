# SPDX-License-Identifier: Apache-2.0
"""What the marked Verilog declares, line by line, and which signals are left out of toggle coverage.

Left out are signals without a name in the source, memories, and second names of a signal that is counted elsewhere:
wires that only pass on another one, and wires between a component and one inside it, whose port is counted there.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

COUNTING_OFF, COUNTING_ON = "/*verilator coverage_off*/", "/*verilator coverage_on*/"

IDENTIFIER = r"(?:\\\S+|[A-Za-z_][A-Za-z0-9_$]*)"
"""A Verilog identifier, escaped or plain."""

UNNAMED = ("", "port", "clk", "rst")
"""Names that Amaranth gives to ports for what passes through a component, and the clock and reset of every one."""

_SOURCE = re.compile(r'^\s*\(\* src = "([^"]*):([0-9,]+)" \*\)$')
_MODULE = re.compile(rf"^module ({IDENTIFIER}) ?\(")
_DECLARATION = re.compile(
    rf"^  (?P<kind>input|output|wire|reg)(?: \[(?P<high>-?\d+):(?P<low>\d+)\])? (?P<name>{IDENTIFIER}) *"
    r"(?P<array>\[[^\]]*\])?(?: *= .*)?;"
)
_ALIAS = re.compile(rf"^  assign ({IDENTIFIER}) *= ({IDENTIFIER}) *(?:\[[\d:]+\])?;$")
_CONNECTION = re.compile(rf"^    \.{IDENTIFIER} *\(({IDENTIFIER}) *\),?$")
_COPY = re.compile(r"(\$\d+)+$")


@dataclass(frozen=True, kw_only=True)
class Declaration:
    """A signal as the Verilog declares it.

    Parameters
    ----------
    component : str
        File of the component (the module's `src`).
    name : str
        Name in the source; signals of one name in one component are counted as one.
    width : int
        Bits.
    is_port : bool
    is_array : bool
        A memory.
    marks : str
        `src` of the declaration: file, colon, lines.
    """

    component: str
    name: str
    width: int
    is_port: bool
    is_array: bool
    marks: str


def plain_name(identifier: str) -> str:
    """The source's name of a signal: without escape and without the number of a copy; empty where it has none."""
    return _COPY.sub("", identifier.removeprefix("\\"))


def read_declarations(text: str) -> Iterator[tuple[int, str, str, Declaration]]:
    """Each declaration of a Verilog text: line number from 1, module, identifier, what it declares."""
    component = module = marks = ""
    for number, line in enumerate(text.splitlines(), start=1):
        source = _SOURCE.match(line)
        if source:
            marks = f"{source[1]}:{source[2]}"
            continue
        opened = _MODULE.match(line)
        if opened:
            module, component = opened[1], marks.rpartition(":")[0]
        declared = _DECLARATION.match(line)
        if declared:
            high, low = declared["high"], declared["low"]
            yield (
                number,
                module,
                declared["name"],
                Declaration(
                    component=component,
                    name=plain_name(declared["name"]),
                    width=1 if high is None else int(high) - int(low) + 1,
                    is_port=declared["kind"] in ("input", "output"),
                    is_array=declared["array"] is not None,
                    marks=marks,
                ),
            )
        if not line.lstrip().startswith("(*") and (declared is None or declared["kind"] in ("wire", "reg")):
            marks = ""  # the line behind a port declares it again


def _second_names(text: str) -> set[tuple[str, str]]:
    """Module and identifier of wires that are another name of a signal."""
    found, module = set(), ""
    for line in text.splitlines():
        opened = _MODULE.match(line)
        if opened:
            module = opened[1]
        second = _ALIAS.match(line) or _CONNECTION.match(line)
        if second:
            found.add((module, second[1]))
    return found


def hide_second_names(text: str, *, also: str, uncounted: str | None = None) -> str:
    """Turn toggle coverage off for the signals that do not count.

    Parameters
    ----------
    text : str
        Verilog as Amaranth writes it, with `src` attributes.
    also : str
        Prefix of names that count wherever they are declared.
    uncounted : str, optional
        Begin of the names of files whose components do not count.
    """
    lines = text.splitlines()
    second = _second_names(text)
    declarations = list(read_declarations(text))
    ports = {(module, identifier) for _, module, identifier, what in declarations if what.is_port}
    for number, module, identifier, what in declarations:
        key = (module, identifier)
        hidden = what.name in UNNAMED or what.name.startswith("$") or what.is_array or what.width < 1
        hidden |= "." in what.name  # a member of a struct, which is counted as a whole
        hidden |= key in second and key not in ports
        hidden |= uncounted is not None and what.component.startswith(uncounted)
        if hidden and not what.name.startswith(also):
            lines[number - 1] = f"  {COUNTING_OFF} {lines[number - 1].strip()} {COUNTING_ON}"
    return "\n".join(lines) + "\n"
