# SPDX-License-Identifier: Apache-2.0
"""`make formal`: the fast proofs with their seeded bugs, all of them in a slow test, the command line and the table."""

import re
from pathlib import Path

import pytest
from amaranth.hdl import Cover, Fragment, Signal
from typer.testing import CliRunner

from hw.formal import proof as proof_list
from hw.formal.__main__ import app
from hw.formal.bench import Bench, Opened
from hw.formal.bugs import Bug, seeded
from hw.formal.proof import Proof, all_proofs
from hw.formal.sby import FAIL, PASS, TIMEOUT, UNKNOWN, FormalError, find_tool, run_task, task_file
from hw.formal.table import formal_table
from hw.formal.tasks import PROBLEMS, Task, run, select, tasks_of
from hw.spec.errors import SpecError
from hw.tsu.credit_fifo import CreditFifo

ROOT = Path(__file__).parents[3]
RUNNER = CliRunner()
QUICK = [task.name for task in select([], quick=True)]


@pytest.mark.parametrize("name", QUICK)
def test_quick_proofs_pass_and_their_bugs_are_found(name: str, tmp_path: Path) -> None:
    assert run(select([name])[0], build=tmp_path, limit_s=300).problem == ""


@pytest.mark.slow
def test_every_proof_passes_and_every_bug_is_found(tmp_path: Path) -> None:
    result = RUNNER.invoke(app, ["--build", str(tmp_path)])
    assert [line for line in result.stdout.splitlines() if line.startswith("FAIL")] == []
    assert result.exit_code == 0


def counting(b: Bench, *, bits: int, limit: int) -> None:
    """A counter that stays below 2**bits; claimed is less than `limit`."""
    count = Signal(bits)
    b.m.d.sync += count.eq(count + 1)
    b.claim(count < limit)
    b.m.d.comb += Cover(count == 5)


@pytest.mark.parametrize(
    ("limit", "mode", "depth", "expected"),
    [
        (8, "prove", 1, PASS),
        (7, "bmc", 12, FAIL),
        (7, "bmc", 7, PASS),  # 7 is reached in the eighth cycle
        (7, "prove", 2, UNKNOWN),
        (8, "cover", 6, PASS),
        (8, "cover", 5, FAIL),  # 5 is reached in the sixth cycle
    ],
)
def test_solver_says_what_is_known(limit: int, mode: str, depth: int, expected: str, tmp_path: Path) -> None:
    rtlil = Bench(lambda b: counting(b, bits=3, limit=limit)).rtlil()
    text = task_file(mode=mode, depth=depth, map_memories=True)
    assert run_task(text, rtlil, folder=tmp_path / "task", limit_s=300).status == expected


def test_task_stops_at_its_time_limit(tmp_path: Path) -> None:
    task = Task(all_proofs()["credit_fifo/depth-4"])
    assert run(task, build=tmp_path, limit_s=0.01).problem.startswith(PROBLEMS[TIMEOUT])


def test_bug_that_is_not_there_is_reported(tmp_path: Path) -> None:
    bug = Bug(name="none", where="pbit", old="class PBit(", new="class PBit (", depth=3)
    proof = all_proofs()["pbit/whole-9"]
    assert run(Task(proof, bug=bug), build=tmp_path, limit_s=300).problem.startswith(PROBLEMS[PASS])


def test_bug_whose_text_is_gone_is_reported(tmp_path: Path) -> None:
    bug = Bug(name="old", where="pbit", old="no such text", new="", depth=3)
    assert (
        "holds once, not 0 times"
        in run(Task(all_proofs()["pbit/whole-9"], bug=bug), build=tmp_path, limit_s=300).problem
    )


def test_seeded_bug_is_gone_afterwards() -> None:
    bug = select(["credit_fifo/depth-4+loses-an-entry"])[0].bug
    before = Bench(all_proofs()["credit_fifo/depth-4"].fill).rtlil()
    with seeded(bug):
        inside = Bench(all_proofs()["credit_fifo/depth-4"].fill).rtlil()
    assert len(inside) != len(before)
    assert Bench(all_proofs()["credit_fifo/depth-4"].fill).rtlil() == before


def test_every_bug_fits_the_sources() -> None:
    for proof in all_proofs().values():
        for bug in proof.bugs:
            text = (ROOT / (bug.module.replace(".", "/") + ".py")).read_text()
            assert text.count(bug.old) == 1, f"{proof.name}+{bug.name}"


def test_every_proof_has_a_bug_and_a_cover() -> None:
    for proof in all_proofs().values():
        assert proof.bugs, proof.name
        assert '"cover"' in Bench(proof.fill).rtlil(), proof.name


def test_every_property_file_is_listed() -> None:
    files = {path.stem for path in (ROOT / "hw/formal/properties").glob("*.py")} - {"__init__"}
    assert files == set(proof_list.MODULES)


def test_table_of_the_document_is_current() -> None:
    assert formal_table() in (ROOT / "docs/reference/formal.md").read_text()


def test_table_has_a_row_for_each_proof() -> None:
    rows = formal_table().splitlines()[2:]
    assert [row.split(" | ")[0].removeprefix("| ") for row in rows] == list(all_proofs())


def test_inside_of_a_component_is_found_by_name() -> None:
    fifo = CreditFifo(fields={"word": 2}, depth=4, pipelined=True)
    design = Opened(fifo)
    Fragment.get(fifo, None)  # Amaranth warns of a component that is part of nothing
    assert len(design.written) == 3
    assert len(design.of("_register_pointers", "valids")) == 2
    assert design.signal("word_1").shape().width == 2
    for ask in (lambda: design.nothing, lambda: design.of("elaborate", "nothing"), lambda: design.signal("nothing")):
        with pytest.raises(SpecError, match="nothing"):
            ask()


def test_list_names_every_task_and_select_takes_each() -> None:
    listed = [line.split()[0] for line in RUNNER.invoke(app, ["--list"]).stdout.splitlines()]
    assert listed == [task.name for proof in all_proofs().values() for task in tasks_of(proof)]
    for name in ("credit_fifo", "credit_fifo/depth-4", "credit_fifo/depth-4:cover"):
        assert select([name])


@pytest.mark.parametrize("arguments", [["nothing"], ["--jobs", "0"], ["--limit-s", "0"]])
def test_wrong_argument_is_one_line(arguments: list[str]) -> None:
    result = RUNNER.invoke(app, arguments)
    assert result.exit_code == 2
    assert re.fullmatch(r"error: .*\n", result.stderr)


def test_command_prints_results_and_fails_on_a_failed_proof(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = ["pbit/whole-9", "--build", str(tmp_path)]
    passed = RUNNER.invoke(app, arguments)
    assert passed.exit_code == 0
    assert "3 passed, 0 failed" in passed.stdout

    def broken(b: Bench) -> None:
        counting(b, bits=3, limit=4)

    proof = Proof(name="pbit/whole-9", claims="", configuration="", fill=broken, depth=8, cover_depth=8, bugs=())
    monkeypatch.setattr("hw.formal.tasks.all_proofs", lambda: {proof.name: proof})
    failed = RUNNER.invoke(app, arguments)
    assert failed.exit_code == 1
    assert f"{PROBLEMS[FAIL]} (see" in failed.stdout


def test_missing_tool_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("YICES", "no-such-solver")
    with pytest.raises(FormalError, match="no-such-solver is not installed"):
        find_tool("YICES")
    assert RUNNER.invoke(app, ["pbit"]).exit_code == 2
