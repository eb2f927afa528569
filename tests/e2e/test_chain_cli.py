# SPDX-License-Identifier: Apache-2.0
"""`python -m host.chain` from outside: lines, files, one line for bad input."""

import importlib.util
import json
import re
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest

from host.chain import __main__ as chain


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_a_small_study(capsys: pytest.CaptureFixture[str]) -> None:
    """The measured total variation is the law's where it is large, and that of exact draws where the law's is small."""
    pytest.importorskip("thrml", reason="thrml is not installed: make setup-thrml")
    arguments = ["--length", "3", "--K", "4", "--strengths", "0.5,4", "--sweeps", "9", "--chains", "50000"]
    assert chain.main([*arguments, "--json", "chain.json", "--plot", "chain.png"]) == 0
    lines = capsys.readouterr().out.splitlines()
    points = [
        match for line in lines if (match := re.fullmatch(r"strength=(\S+) sweeps=(\d+) tv=(\S+) tv_law=(\S+)", line))
    ]
    assert [match.group(2) for match in points] == ["1", "2", "4", "8"] * 2
    assert Path("chain.png").read_bytes().startswith(b"\x89PNG")
    record = json.loads(Path("chain.json").read_text())
    assert (record["length"], record["k"], record["chains"], record["seed"]) == (3, 4, 50_000, 1)
    weak, strong = record["mixing"]
    assert (weak["strength"], strong["strength"]) == (0.5, 4.0)
    assert abs(weak["points"][-1]["measured"] - weak["exact"]) < 0.01
    assert weak["points"][-1]["law"] < 1e-6
    assert abs(strong["points"][0]["measured"] - strong["points"][0]["law"]) < 0.01
    assert strong["points"][0]["law"] > 0.3
    assert weak["needed"] == sorted(weak["needed"])
    assert weak["needed"][0] < strong["needed"][0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--length", "5"], "length = 5"),
        (["--K", "9"], "K = 9"),
        (["--K", "x"], "K = 'x' is not legal: expected an integer"),
        (["--strengths", "1,,2"], "strengths = '1,,2'"),
        (["--strengths", "1,99"], "strengths = 99.0"),
        (["--strengths", "nan"], "strengths = nan"),
        (["--sweeps", "0"], "sweeps = 0"),
        (["--chains", "10"], "chains = 10"),
        (["--seed", "-1"], "seed = -1"),
        (["--sweeps", "4096", "--chains", "1000000"], "sweeps * chains = 4096000000"),
        (["--plot", "chain.png", "--json", "chain.png"], "json = 'chain.png'"),
        (["--corpus", "nowhere.txt"], "text = 'nowhere.txt' cannot be read"),
        (["--plot", "chain.txt"], "plot = 'chain.txt'"),
        (["--json", "nowhere/chain.json"], "json = 'nowhere/chain.json'"),
    ],
)
def test_bad_input_is_one_line_and_writes_nothing(
    capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    pytest.importorskip("thrml", reason="thrml is not installed: make setup-thrml")
    assert chain.main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith(f"error: {message}")
    assert (captured.err.count("\n"), captured.out, list(Path().iterdir())) == (1, "", [])


def test_the_missing_extra_is_one_line(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def without_thrml(name: str) -> ModuleSpec | None:
        return None if name == "thrml" else importlib.util.find_spec(name)

    monkeypatch.setattr(chain, "find_spec", without_thrml)
    assert chain.main([]) == 2
    assert capsys.readouterr().err == (
        "error: host.chain needs the package thrml: pip install 'thermo-speculative-decoding[thrml]'\n"
    )
