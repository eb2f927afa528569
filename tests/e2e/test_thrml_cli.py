# SPDX-License-Identifier: Apache-2.0
"""Runs on backend thrml: sound, and they say that its law is not exact; what it does not have cannot be asked for."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("thrml", reason="thrml is not installed: make setup-thrml")

from host import run_lm, run_m0, run_m1
from tests.reference.tiny_lm import write_llama

MODERATE = ["--vocab", "100", "--K", "16", "--seed", "3"]


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def call(
    capsys: pytest.CaptureFixture[str], main: Callable[[list[str]], int], *arguments: str
) -> tuple[int, dict[str, str], str]:
    """Exit status, name=value lines, standard error."""
    status = main(["--backend", "thrml", *arguments])
    captured = capsys.readouterr()
    return status, dict(line.split("=", 1) for line in captured.out.splitlines() if "=" in line), captured.err


def test_a_run_says_that_its_law_is_not_exact(capsys: pytest.CaptureFixture[str]) -> None:
    status, lines, errors = call(capsys, run_m0.main, *MODERATE, "--steps", "900", "--out", "here")
    assert (status, errors) == (0, "")
    assert list(lines)[1:5] == ["backend", "exact", "law_bound", "noise"]
    assert [lines[name] for name in ("exact", "law_bound", "noise")] == ["no", "9.53674e-07", "threefry2x32"]
    for name in ("config.json", "summary.json"):
        record = json.loads((Path("here") / name).read_text())
        assert (record["exact"], record["law_bound"], record["noise"]) == (False, 2.0**-20, "threefry2x32")


def test_an_exact_run_has_no_such_lines(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_m0.main(["--backend", "model", *MODERATE, "--steps", "900", "--out", "here"]) == 0
    assert "exact=" not in capsys.readouterr().out
    record = json.loads((Path("here") / "config.json").read_text())
    assert (record["exact"], record["law_bound"]) == (True, 0.0)


def test_the_seed_decides_the_run(capsys: pytest.CaptureFixture[str]) -> None:
    first, again = (call(capsys, run_m0.main, *MODERATE, "--steps", "900")[1] for _ in range(2))
    other = call(capsys, run_m0.main, *MODERATE[:-1], "4", "--steps", "900")[1]
    assert first["chi2_stat"] == again["chi2_stat"] != other["chi2_stat"]


@pytest.mark.parametrize("option", [("--noise", "lfsr"), ("--lanes", "4"), ("--groups", "2")])
@pytest.mark.parametrize("main", [run_m0.main, run_m1.main], ids=["m0", "m1"])
def test_gateware_options_are_refused(
    capsys: pytest.CaptureFixture[str], main: Callable[[list[str]], int], option: tuple[str, str]
) -> None:
    status, _, errors = call(capsys, main, *option)
    assert status == 2
    assert errors.startswith(f"error: {option[0][2:]} = ")
    assert errors.endswith("expected none with backend thrml: it draws from threefry2x32\n")
    assert errors.count("\n") == 1
    assert not Path("runs").exists()


@pytest.mark.slow
@pytest.mark.parametrize("main", [run_m0.main, run_m1.main], ids=["m0", "m1"])
def test_a_million_draws_are_sound(capsys: pytest.CaptureFixture[str], main: Callable[[list[str]], int]) -> None:
    status, lines, errors = call(capsys, main, "--steps", "1000000", "--seed", "11")
    assert (status, lines["sound"], errors) == (0, "yes", "")


@pytest.mark.slow
def test_a_language_model_is_drafted_for(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    folder = write_llama(tmp_path / "llama")
    status, lines, _ = call(
        capsys, run_lm.main, "--target", str(folder), "--tokens", "200", "--K", "16", "--ignore-end"
    )
    assert (status, lines["exact"], lines["sound"]) == (0, "no", "yes")
