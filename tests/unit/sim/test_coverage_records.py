# SPDX-License-Identifier: Apache-2.0
"""Records of single benches: a bench that failed covers nothing and is run again."""

import json
from dataclasses import asdict
from pathlib import Path

import pytest
from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.link.crc32 import Crc32
from hw.tsu.pbit import PBit
from sim.bench_file import Bench
from sim.coverage.instrument import marked_verilog
from sim.coverage.runner import Record, merge_records, read_record, record_path


class Both(wiring.Component):
    """A component of the link and one of the core."""

    a: In(4)
    b: Out(1)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.pbit = pbit = PBit(width=4)
        m.submodules.crc = Crc32()
        m.d.comb += [pbit.value.eq(self.a), self.b.eq(pbit.fires)]
        return m


BENCH = Bench("lane/tiny-1", Path("bench_lane.py"), "tiny-1", int)


def record(*, failures: list[str], line: int) -> Record:
    structure = {"hw/tsu/lane.py": {"executed": [line], "missed": [9], "toggles": {"valid": [1, "1", "0"]}}}
    functional = {"reset": {"idle": 2}}
    return Record(bench=BENCH.name, build="x", failures=failures, structure=structure, functional=functional)


def test_only_benches_that_passed_are_merged() -> None:
    structure, functional = merge_records([record(failures=[], line=4), record(failures=["a: b"], line=5)])
    assert structure["hw/tsu/lane.py"].lines == {4: True, 9: False}
    assert functional.counts["reset"]["idle"] == 2


@pytest.mark.parametrize(("failures", "kept"), [([], True), (["a: b"], False)])
def test_only_benches_that_passed_are_kept(failures: list[str], kept: bool, tmp_path: Path) -> None:
    assert read_record(BENCH, tmp_path) is None
    path = record_path(BENCH, tmp_path)
    path.parent.mkdir()
    path.write_text(json.dumps(asdict(record(failures=failures, line=4))))
    assert (read_record(BENCH, tmp_path) is not None) == kept
    path.write_text(path.read_text()[:-20])
    assert read_record(BENCH, tmp_path) is None


def test_the_core_is_not_counted_inside_a_link() -> None:
    """A p-bit is counted by itself, and not beside a component of hw/link."""
    alone = marked_verilog(PBit(width=4), name="top")
    assert '"hw/tsu/pbit.py:' in alone
    text = marked_verilog(Both(), name="top")
    assert '"hw/link/crc32.py:' in text
    assert '"hw/tsu/pbit.py:' not in text
