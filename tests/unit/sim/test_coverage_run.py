# SPDX-License-Identifier: Apache-2.0
"""`python -m sim.coverage`: a bench with coverage, and benches with most of them left out, which must show.

Builds are kept in build/test-coverage, by content: a second run does not compile again.
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
CRIPPLED = Path(__file__).parent / "crippled"
BUILD = Path("build/test-coverage")


def run(*arguments: str, build: Path = BUILD) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own: it changes the environment."""
    command = [sys.executable, "-m", "sim.coverage", "--build", str(build), *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600)


@pytest.mark.slow  # two benches to compile
def test_whole_benches_cover_what_they_are_for() -> None:
    """Every line and toggle of the skid buffer, every class of candidate."""
    result = run("skid_buffer", "candidate_filter/small-1", "--of", "hw/tsu/skid_buffer.py|candidate")
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stderr == ""
    assert [line.partition(" (")[0] for line in result.stdout.splitlines()[:2]] == [
        "1/2 skid_buffer/default",
        "2/2 candidate_filter/small-1",
    ]
    report = json.loads((ROOT / BUILD / "report.json").read_text())
    hit, total = report["lines"]["hw/tsu/skid_buffer.py"]
    assert hit == total >= 5
    hit, total = report["toggles"]["hw/tsu/skid_buffer.py"]
    assert hit == total > 20
    assert list(report["counts"]) == ["candidate"]
    assert min(report["counts"]["candidate"].values()) > 0


def test_crippled_bench_leaves_bins_and_toggles() -> None:
    """Five tail tokens and no tail draw: the other classes are listed, and the exit status is 1."""
    result = run("--dir", str(CRIPPLED), "candidate_filter", "--of", "hw/tsu/candidate_filter.py|candidate")
    assert result.returncode == 1, result.stdout + result.stderr
    missing = [line for line in result.stderr.splitlines() if line.startswith("not covered, not explained: bin")]
    assert "not covered, not explained: bin candidate: tail / other" in missing
    assert "not covered, not explained: bin candidate: head / 0" in missing
    assert "not covered, not explained: bin candidate: rejected for u / power of two" in missing
    assert not any(line.endswith("head / other") for line in missing)
    assert "not covered, not explained: toggle hw/tsu/candidate_filter.py: reject_stb: 0 constant" in result.stderr


@pytest.mark.slow  # compiles a TSU: 40 s
def test_bench_with_one_id_only_leaves_the_other_sizes() -> None:
    """K = 1 in exp2 mode with every tail: 5 of 50 bins are filled, the other 45 are listed."""
    result = run("--dir", str(CRIPPLED), "tsu_classes", "--of", "psi")
    assert result.returncode == 1, result.stdout + result.stderr
    assert len(result.stderr.splitlines()) == 45
    assert "not covered, not explained: bin psi: k_max / V = K / table" in result.stderr
    of_one = [line for line in result.stderr.splitlines() if "bin psi: 1 / " in line]
    assert len(of_one) == 5
    assert all(line.endswith(" / table") for line in of_one)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nope"], "bench 'nope' does not exist: expected one of "),
        (["--of", "("], "--of '(' is no pattern: "),
        (["--dir", "/nonexistent"], "/nonexistent holds no bench_*.py"),
    ],
)
def test_wrong_arguments(arguments: list[str], message: str, tmp_path: Path) -> None:
    result = run(*arguments, build=tmp_path)
    assert result.returncode == 2
    assert result.stderr.startswith(message)
    assert result.stderr.count("\n") == 1
