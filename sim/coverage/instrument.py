# SPDX-License-Identifier: Apache-2.0
"""Marks every statement of a component before it becomes Verilog, so that a simulation tells which were executed.

Verilog made from Amaranth has other lines than its source. So each block of statements (the body of a component, or of
an `If`, `Case` or `State` in it) gets a register of its own, which is set by an active clock edge, without reset, at
which the block is in force. The register's `src` attribute names the source lines that it stands for.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from amaranth.back import verilog
from amaranth.hdl import Fragment, ResetSignal, Signal, ValueCastable
from amaranth.hdl._ast import Assign, Switch
from amaranth.hdl._ir import PortDirection
from amaranth.lib.wiring import In

from .declarations import hide_second_names

MARK = "tsd_executed"
"""Name of the registers, with `$` and a number behind it in the Verilog."""

ROOT = Path(__file__).parents[2]
"""Where `hw` lies; files are named relative to it."""

SOURCES = ("hw",)
"""Folders below `ROOT` whose statements are marked."""

AROUND, CORE = ("hw/axi/", "hw/boards/", "hw/link/"), "hw/tsu/"
"""In a top that holds a component of `AROUND`, those of `CORE` are not counted: they have benches of their own."""

Location = tuple[str, int]
"""File and line, as Amaranth keeps them."""


def source_name(path: str, root: Path = ROOT) -> str | None:
    """Name of a source file relative to `root`; None where it lies outside of `SOURCES`."""
    try:
        name = Path(path).resolve().relative_to(root)
    except ValueError:
        return None
    return name.as_posix() if name.parts and name.parts[0] in SOURCES else None


def _holds_around(fragment: Any, root: Path) -> bool:
    """Whether a component of `AROUND` is inside."""
    name = source_name(fragment.src_loc[0], root) if getattr(fragment, "src_loc", None) else None
    inside = [inner for inner, _, _ in fragment.subfragments]
    return (name or "").startswith(AROUND) or any(_holds_around(inner, root) for inner in inside)


def _mark(lines: Iterable[Location], root: Path) -> list[Any]:
    """Statements that note that `lines` were executed: one register for each file."""
    files: dict[str, set[int]] = {}
    for path, line in lines:
        name = source_name(path, root)
        if name is not None:
            files.setdefault(name, set()).add(line)
    marks = []
    for name, numbers in files.items():
        register = Signal(name=MARK, reset_less=True)
        register.src_loc = (name, ",".join(map(str, sorted(numbers))))
        marks.append(register.eq(1))
    return marks


def _mirror(statements: Iterable[Any], case: Location | None, root: Path) -> list[Any]:
    """The same decisions, with marks in the place of the statements. `case` is where the block begins."""
    statements = list(statements)
    lines = [statement.src_loc for statement in statements if isinstance(statement, Assign)]
    marks = _mark([*([case] if case else []), *lines], root)
    for statement in statements:
        if isinstance(statement, Switch):
            cases = [(patterns, _mirror(body, where, root), where) for patterns, body, where in statement.cases]
            marks.append(Switch(statement.test, cases, src_loc=statement.src_loc))
    return marks


def mark_fragment(fragment: Any, *, domain: str = "sync", root: Path = ROOT, uncounted: str | None = None) -> None:
    """Mark all statements of a fragment and of those inside, in place.

    Parameters
    ----------
    fragment : Fragment
    domain : str
        Clock domain for combinational statements of a fragment that has no clocked one.
    root : Path
        Where `SOURCES` lie.
    uncounted : str, optional
        Begin of the names of files whose components are left as they are.
    """
    clocked = [name for name in fragment.statements if name != "comb"]
    if clocked:
        domain = "sync" if "sync" in clocked else clocked[0]
    source = source_name(fragment.src_loc[0], root) if fragment.src_loc else None
    left_out = uncounted is not None and (source or "").startswith(uncounted)
    for name, statements in [] if left_out else list(fragment.statements.items()):
        clock = domain if name == "comb" else name
        mirror = _mirror(statements, None, root)
        if mirror:
            reset = ResetSignal(clock, allow_reset_less=True)
            fragment.add_statements(clock, Switch(reset, [(0, mirror, None)]))
    for inner, _, _ in fragment.subfragments:
        if type(inner) is Fragment:  # instances and memories hold no statements
            mark_fragment(inner, domain=domain, root=root, uncounted=uncounted)


def marked_verilog(component: Any, *, name: str, root: Path = ROOT) -> str:
    """Verilog of a component with `src` attributes and marks, ready for toggle coverage."""
    ports = {}
    for path, member, value in component.signature.flatten(component):
        plain = value.as_value() if isinstance(value, ValueCastable) else value
        direction = PortDirection.Input if member.flow == In else PortDirection.Output
        ports["__".join(map(str, path))] = (plain, direction)
    fragment = Fragment.get(component, None)
    uncounted = CORE if _holds_around(fragment, root) else None
    mark_fragment(fragment, root=root, uncounted=uncounted)
    text = verilog.convert(fragment, name=name, ports=ports, emit_src=True)
    return hide_second_names(text, also=MARK, uncounted=None if uncounted is None else str(root / uncounted))
