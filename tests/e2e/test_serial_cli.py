# SPDX-License-Identifier: Apache-2.0
"""`python -m host.run_m0 --backend serial`: the run of `model`, the board's own facts, one line for a wrong option."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from host import run_m1
from host.run_m0 import main
from host.tsu.serial.statistics import LinkTiming
from hw.spec.config import PRESETS, TsuConfig
from sim.bench_file import load_module

_FAKE = load_module(Path(__file__).parents[1] / "reference" / "fake_board.py")
FakeBoard, FakeDevice, Line = _FAKE.FakeBoard, _FAKE.FakeDevice, _FAKE.Line

RUN = ["--steps", "3000", "--vocab", "300", "--K", "20", "--seed", "8"]


@pytest.fixture
def board() -> Iterator[FakeBoard]:
    with FakeBoard(FakeDevice(PRESETS["sim"]), down=Line(0.02, 1), up=Line(0.02, 2)) as board:
        yield board


def draws(*arguments: str) -> dict[str, np.ndarray]:
    assert main([*RUN, "--telemetry", "off", "--save-draws", "draws.npz", *arguments]) == 0
    with np.load("draws.npz") as saved:
        return dict(saved)


def test_draws_and_verdicts_are_those_of_the_model(
    board: FakeBoard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over a line that damages one frame in fifty."""
    monkeypatch.chdir(tmp_path)
    left, right = draws("--backend", "serial", "--port", board.port), draws("--backend", "model")
    assert left.keys() == right.keys()
    for name in left:
        assert (left[name] == right[name]).all(), name
    assert (draws("--backend", "model", "--seed", "9")["tokens"] != right["tokens"]).any()


def test_the_record_names_the_board(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    config = TsuConfig(lanes=2, noise="lfsr-leap")
    with FakeBoard(FakeDevice(config)) as board:
        assert main([*RUN, "--backend", "serial", "--port", board.port, "--baud", "115200", "--out", "run"]) == 0
        port = board.port
    record = json.loads(Path("run/config.json").read_text())
    assert record["tsu"] == config.as_dict()
    assert (record["lanes"], record["noise"]) == (2, "lfsr-leap")
    assert (record["options"]["port"], record["options"]["baud"]) == (port, 115200)
    assert json.loads(Path("run/summary.json").read_text())["backend"] == "serial"


@pytest.mark.parametrize(
    ("arguments", "start"),
    [
        (["--backend", "serial"], "port = None is not legal: expected the path of a serial port"),
        (["--port", "/dev/ttyUSB0"], "port = '/dev/ttyUSB0' is not legal: expected none with backend model"),
        (["--backend", "rtl", "--baud", "9600"], "baud = 9600 is not legal: expected none with backend rtl"),
        (
            ["--backend", "serial", "--port", "x", "--baud", "1"],
            "baud = 1 is not legal: expected an integer in ",
        ),
        (["--backend", "serial", "--port", "x", "--baud", "fast"], "baud = 'fast' is not legal: expected an integer"),
        (["--backend", "serial", "--port", "x", "--lanes", "1"], "lanes = 1 is not legal: expected none with backend"),
        (
            ["--backend", "serial", "--port", "x", "--groups", "2"],
            "groups = 2 is not legal: expected none with backend",
        ),
        (["--backend", "serial", "--port", "x", "--noise", "lfsr"], "noise = 'lfsr' is not legal: expected none with"),
        (["--backend", "serial", "--port", "/dev/none"], "port /dev/none cannot be opened: No such file"),
    ],
)
def test_wrong_options_are_one_line(arguments: list[str], start: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: " + start)
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "start"),
    [
        (["--K", "33", "--vocab", "90"], "K = 33 is not legal: expected an integer in [1, 32]"),
        (["--vocab", "70000", "--K", "9"], "vocab = 70000 is not legal: expected an integer in [1, 65536]"),
        (["--weights", "exp2", "--K", "9"], "mode = 'exp2' is not legal: expected one of table"),
    ],
)
def test_what_the_board_cannot_do_is_one_line(
    arguments: list[str], start: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with FakeBoard(FakeDevice(PRESETS["up5k"])) as board:
        assert main(["--backend", "serial", "--port", board.port, "--telemetry", "off", *arguments]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: " + start)
    assert error.count("\n") == 1


def test_a_board_that_dies_in_the_run_keeps_the_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    timing = LinkTiming(silence_s=0.05, tries=5, stall_s=1.0)
    monkeypatch.setattr(LinkTiming, "of_baud", classmethod(lambda cls, baud: timing))

    class Dying(FakeDevice):
        def execute(self, words: list[int]) -> None:
            super().execute(words)
            board.silent = len(self.log) > 20

    with FakeBoard(Dying(PRESETS["sim"])) as board:
        run = ["--backend", "serial", "--port", board.port, "--steps", "200000", "--telemetry", "step", "--out", "run"]
        assert main([*run, "--vocab", "300", "--K", "9"]) == 2
    assert "the board stopped answering" in capsys.readouterr().err
    assert not Path("run/summary.json").exists()


def test_m1_counts_are_those_of_the_model(board: FakeBoard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A psi for each of 20 contexts, over a line that damages one frame in fifty."""
    monkeypatch.chdir(tmp_path)
    arguments = ["--vocab", "20", "--K", "6", "--steps", "2000", "--texts", "400", "--seed", "8"]
    assert run_m1.main([*arguments, "--backend", "serial", "--port", board.port, "--out", "serial"]) == 0
    assert run_m1.main([*arguments, "--out", "model"]) == 0
    assert Path("serial/contexts.csv").read_text() == Path("model/contexts.csv").read_text()


def test_m1_on_a_board_that_is_too_small_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    with FakeBoard(FakeDevice(PRESETS["up5k"])) as board:
        run = ["--backend", "serial", "--port", board.port, "--weights", "table", "--K", "33"]
        assert run_m1.main(run) == 2
    assert capsys.readouterr().err.startswith("error: K = 33 is not legal: expected an integer in [1, 32]")
    assert not list(tmp_path.iterdir())
