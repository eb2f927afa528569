# SPDX-License-Identifier: Apache-2.0
"""The runner of the cocotb benches: a failing, missing, empty or unbuildable bench is never a success."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from sim.bench_file import Bench, BenchError, find_benches, select_benches
from sim.benches import main, read_results

ROOT = Path(__file__).parents[3]
FAULTY = Path(__file__).parent / "faulty"


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """`python -m sim.benches` in a process of its own: it changes the environment."""
    command = [sys.executable, "-m", "sim.benches", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)


@pytest.mark.slow  # compiles three tops and the simulator's runtime: 25 s
def test_seeded_bugs_fail(tmp_path: Path) -> None:
    result = run("--dir", str(FAULTY), "--build", str(tmp_path))
    assert result.returncode == 1
    lines = result.stdout.splitlines()
    assert lines[-1] == "2 passed, 5 failed, in 4 benches"

    def line(start: str) -> str:
        (found,) = [text for text in lines if text.startswith(start)]
        return found

    # 1281 = rotl(1 + 4, 8) + 1, where 641 = rotl(1 + 4, 7) + 1 is the published word.
    assert f"{1281:08x}"[-3:] in line("FAIL rotation/xoshiro128pp.published_words")
    assert line("pass rotation/xoshiro128pp.one_payload_per_cycle")
    # This bug is seen only under stalls.
    assert line("pass impatient/xoshiro128pp.words_of_a_seed/stalls=none")
    assert "a stalled payload changed" in line("FAIL impatient/xoshiro128pp.words_of_a_seed/stalls=random")
    assert "a stalled payload changed" in line("FAIL impatient/xoshiro128pp.words_of_a_seed/stalls=bursts")
    assert "no test ran" in line("FAIL runner/skipped: ")
    log = re.fullmatch(r"FAIL runner/unbuildable: build failed, see (\S+)", line("FAIL runner/unbuildable: "))
    assert log is not None
    assert "module_that_does_not_exist" in Path(log[1]).read_text()


@pytest.mark.slow  # compiles a top with tracing: 12 s
def test_waves(tmp_path: Path) -> None:
    result = run("noise/lfsr", "--waves", "--build", str(tmp_path))
    assert result.returncode == 0, result.stdout
    text = (tmp_path / "waves" / "noise-lfsr.vcd").read_text()
    assert "o_words__payload" in text
    assert text.count("\n#") > 1000


def test_list_names_every_bench(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--list", "--dir", str(ROOT / "tests" / "benches")]) == 0
    listed = capsys.readouterr().out.splitlines()
    assert {"noise/xoshiro128pp", "noise/lfsr", "noise/lfsr-leap"} <= set(listed)
    files = {path.stem.removeprefix("bench_") for path in (ROOT / "tests" / "benches").glob("bench_*.py")}
    assert {name.partition("/")[0] for name in listed} == files


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--dir", "{tmp}"], "error: {tmp} holds no bench_*.py"),
        (
            ["nope", "--dir", str(FAULTY)],
            "error: bench 'nope' does not exist: expected one of impatient/xoshiro128pp, ",
        ),
    ],
)
def test_wrong_arguments(
    arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([argument.format(tmp=tmp_path) for argument in arguments]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith(message.format(tmp=tmp_path))
    assert printed.err.count("\n") == 1


def test_bench_file_without_toplevels(tmp_path: Path) -> None:
    (tmp_path / "bench_x.py").write_text("TOPLEVELS = {}\n")
    with pytest.raises(BenchError, match="declares no TOPLEVELS"):
        find_benches(tmp_path)


def test_selection() -> None:
    benches = [Bench(name, FAULTY, name.partition("/")[2], int) for name in ("a/x", "a/y", "b/x")]
    assert select_benches(benches, []) == benches
    assert select_benches(benches, ["b", "a/y"]) == [benches[2], benches[1]]
    assert select_benches(benches, ["a", "a/y"]) == benches[:2]


def results_xml(path: Path, cases: str, *, tests: int, failures: int) -> Path:
    """A results file in the layout of cocotb 2.1."""
    path.write_text(
        f'<testsuites><testsuite tests="{tests}" failures="{failures}" errors="0">{cases}</testsuite></testsuites>'
    )
    return path


def test_results(tmp_path: Path) -> None:
    cases = (
        '<testcase name="a" time="0.5"/><testcase name="b" time="1"><failure message="first&#10;second"/></testcase>'
        '<testcase name="c" time="0"><skipped/></testcase>'
    )
    good, bad = read_results(results_xml(tmp_path / "r.xml", cases, tests=3, failures=1))
    assert (good.name, good.seconds, good.message) == ("a", 0.5, "")
    assert (bad.name, bad.message) == ("b", "first")


@pytest.mark.parametrize(
    ("cases", "tests", "failures", "message"),
    [
        ("", 0, 0, "no test ran"),
        ('<testcase name="a" time="0"><skipped/></testcase>', 1, 0, "no test ran"),
        ('<testcase name="a" time="0"/>', 1, 1, "counts 1 tests and 1 failures, its cases differ"),
    ],
)
def test_results_that_are_no_success(cases: str, tests: int, failures: int, message: str, tmp_path: Path) -> None:
    with pytest.raises(BenchError, match=message):
        read_results(results_xml(tmp_path / "r.xml", cases, tests=tests, failures=failures))


def test_missing_and_broken_results(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match="ended without results"):
        read_results(tmp_path / "missing.xml")
    (tmp_path / "broken.xml").write_text("<testsuites><testsuite")
    with pytest.raises(BenchError, match="is broken"):
        read_results(tmp_path / "broken.xml")
