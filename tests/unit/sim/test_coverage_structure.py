# SPDX-License-Identifier: Apache-2.0
"""Marks in the Verilog, Verilator's data file, and the union of several runs."""

import importlib.util
from pathlib import Path

import pytest

from sim.coverage.declarations import COUNTING_OFF, hide_second_names, read_declarations
from sim.coverage.instrument import MARK, marked_verilog, source_name
from sim.coverage.structure import CoverageError, Signal, from_json, merge, read_structure, to_json

SOURCE = '''"""A component whose line numbers the test knows."""
from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out


class Thing(wiring.Component):
    a: In(2)
    b: Out(4)

    def elaborate(self, platform):
        m = Module()
        m.d.comb += self.b[3].eq(self.a[0])
        with m.If(self.a[0]):
            m.d.sync += self.b[:2].eq(self.a)
        with m.Elif(self.a[1]):
            m.d.sync += self.b[2].eq(1)
        with m.Else():
            m.d.sync += self.b[2].eq(0)
        return m
'''


@pytest.fixture
def thing(tmp_path: Path) -> tuple[object, Path]:
    """The component, in the folder `hw` of a root of its own."""
    path = tmp_path / "hw" / "thing.py"
    path.parent.mkdir()
    path.write_text(SOURCE)
    spec = importlib.util.spec_from_file_location("thing", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.Thing(), tmp_path


def test_every_block_has_a_mark_with_its_lines(thing: tuple[object, Path]) -> None:
    component, root = thing
    text = marked_verilog(component, name="top", root=root)
    marks = {what.marks for _, _, _, what in read_declarations(text) if what.name == MARK}
    assert marks == {"hw/thing.py:13", "hw/thing.py:14,15", "hw/thing.py:16,17", "hw/thing.py:18,19"}


def test_sources_outside_are_not_marked(thing: tuple[object, Path], tmp_path: Path) -> None:
    component, root = thing
    assert MARK not in marked_verilog(component, name="top", root=root / "elsewhere")
    assert source_name(str(tmp_path / "hw" / "x.py"), tmp_path) == "hw/x.py"
    assert source_name(str(tmp_path / "sim" / "x.py"), tmp_path) is None
    assert source_name("/usr/lib/x.py", tmp_path) is None


VERILOG = """\
(* src = "{root}/hw/tsu/lane.py:40" *)
(* generator = "Amaranth" *)
module top(clk, valid, word);
  reg \\$1 ;
  (* src = "{root}/hw/tsu/lane.py:30" *)
  input valid;
  wire valid;
  (* src = "{root}/hw/tsu/lane.py:31" *)
  output [3:0] word;
  reg [3:0] word = 4'h0;
  (* src = "{root}/hw/tsu/pbit.py:34" *)
  wire fires;
  wire [1:0] \\copy$7 ;
  reg [7:0] \\table  [255:0];
  (* src = "hw/tsu/lane.py:41,42" *)
  reg tsd_executed = 1'h0;
  (* src = "hw/tsu/lane.py:44" *)
  reg \\tsd_executed$3  = 1'h0;
  wire own;
  assign \\copy$7  = word[1:0];
  \\top.pbit  pbit (
    .fires(fires),
    .value(word)
  );
endmodule
""".format(root=Path(__file__).parents[3])


def test_second_names_are_not_counted() -> None:
    """Left are the ports, `own` and the marks: no alias, no wire to a component inside, no memory, nothing unnamed."""
    hidden = [line for line in hide_second_names(VERILOG, also=MARK).splitlines() if COUNTING_OFF in line]
    declared = [line.split("*/")[1].split("/*")[0].strip() for line in hidden]
    assert declared == ["reg \\$1 ;", "wire fires;", "wire [1:0] \\copy$7 ;", "reg [7:0] \\table  [255:0];"]


def data(*points: tuple[int, str, int]) -> str:
    """A data file of Verilator 5: line of the Verilog, toggle, count."""
    keys = "\x01f\x02top.v\x01l\x02{}\x01n\x023\x01t\x02toggle\x01page\x02v_toggle/top\x01o\x02{}\x01h\x02top"
    lines = [f"C '{keys.format(line, what)}' {count}" for line, what, count in points]
    return "\n".join(["# SystemC::Coverage-3", *lines]) + "\n"


def read(tmp_path: Path, text: str):
    (tmp_path / "coverage.dat").write_text(text)
    (tmp_path / "top.v").write_text(VERILOG)
    return read_structure(tmp_path / "coverage.dat", tmp_path / "top.v")


FIRST = data((16, "tsd_executed:0->1", 1), (16, "tsd_executed:1->0", 0), (18, "tsd_executed__0243:0->1", 0)) + data(
    (6, "valid:0->1", 4), (6, "valid:1->0", 3), (9, "word[0]:0->1", 1), (9, "word[0]:1->0", 0), (9, "word[3]:1->0", 2)
)
SECOND = data((18, "tsd_executed__0243:0->1", 7), (9, "word[0]:1->0", 5), (9, "word[2]:0->1", 1))


def test_data_file(tmp_path: Path) -> None:
    lane = read(tmp_path, FIRST)["hw/tsu/lane.py"]
    assert lane.lines == {41: True, 42: True, 44: False}
    assert lane.toggles == {"valid": Signal(width=1, rose=1, fell=1), "word": Signal(width=4, rose=1, fell=8)}
    assert (lane.toggles["word"].hit, lane.toggles["word"].total) == (2, 8)
    assert lane.toggles["word"].missing() == ["3 only fell", "2:1 constant", "0 only rose"]


def test_union(tmp_path: Path) -> None:
    first, second = read(tmp_path, FIRST), read(tmp_path, SECOND)
    union = merge([first, from_json(to_json(second))])["hw/tsu/lane.py"]
    assert union.lines == {41: True, 42: True, 44: True}
    assert union.toggles["word"] == Signal(width=4, rose=0b101, fell=0b1001)
    assert first["hw/tsu/lane.py"].lines[44] is False


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("C 'x\n", "holds the line"),
        (data((2, "valid:0->1", 1)), "names no signal"),
        (data((6, "valid", 1)), "names no signal"),
    ],
)
def test_broken_data(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(CoverageError, match=message):
        read(tmp_path, text)


def test_missing_data(tmp_path: Path) -> None:
    with pytest.raises(CoverageError, match="no coverage data"):
        read_structure(tmp_path / "coverage.dat", tmp_path / "top.v")
