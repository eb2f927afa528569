# SPDX-License-Identifier: Apache-2.0
"""Loading a board, with a program on PATH that only notes how it was called."""

from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from hw import prog


def run_prog(*arguments: str) -> tuple[int, str]:
    app = typer.Typer()
    app.command()(prog.main)
    result = CliRunner().invoke(app, arguments)
    return result.exit_code, result.output


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a bitstream for every board, and nothing on PATH but what a test puts into bin/."""
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}")
    monkeypatch.delenv("OPENFPGALOADER", raising=False)
    for board in prog.BOARDS.values():
        for name in prog.BOARDS:
            (tmp_path / "synth" / name).mkdir(parents=True, exist_ok=True)
            (tmp_path / "synth" / name / board.bitstream).write_bytes(b"bits")
    return tmp_path


def put_loader(folder: Path, name: str, status: int = 0) -> Path:
    loader = folder / "bin" / name
    loader.write_text(f'#!/bin/sh\necho "$0 $@" > {folder / "called"}\nexit {status}\n')
    loader.chmod(0o755)
    return loader


@pytest.mark.parametrize(
    ("board", "options"),
    [
        ("ulx3s", "-b ulx3s {out}/ulx3s/top.bit"),
        ("ulx3s-25f", "-b ulx3s {out}/ulx3s-25f/top.bit"),
        ("icebreaker", "-b ice40_generic {out}/icebreaker/top.bin"),
    ],
)
def test_the_loader_is_called(bench: Path, board: str, options: str) -> None:
    loader, out = put_loader(bench, "openFPGALoader"), bench / "synth"
    assert run_prog("--board", board, "--out", str(out)) == (0, "")
    assert (bench / "called").read_text() == f"{loader} {options.format(out=out)}\n"


def test_dry_run_calls_nothing(bench: Path) -> None:
    put_loader(bench, "openFPGALoader")
    status, output = run_prog("--board", "ulx3s", "--dry-run")
    assert (status, output) == (0, "openFPGALoader -b ulx3s build/synth/ulx3s/top.bit\n")
    assert not (bench / "called").exists()


def test_the_other_name_and_the_variable(bench: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other, named = put_loader(bench, "yowasp-openfpgaloader"), put_loader(bench, "mine")
    for loader in (other, named):
        assert run_prog("--out", str(bench / "synth"))[0] == 0
        assert (bench / "called").read_text().startswith(f"{loader} -b ulx3s")
        monkeypatch.setenv("OPENFPGALOADER", str(named))


def test_failures_give_one_line(bench: Path) -> None:
    out = str(bench / "synth")
    status, output = run_prog("--out", out)
    assert (status, output) == (
        2,
        "error: OPENFPGALOADER = '' is not legal: expected a program: install openFPGALoader, or name one\n",
    )
    put_loader(bench, "openFPGALoader", status=7)
    assert run_prog("--out", out) == (1, "error: openFPGALoader ended with status 7\n")
    status, output = run_prog("--out", str(bench / "none"))
    assert (status, output.count("\n")) == (2, 1)
    assert "run `python -m hw.build --board ulx3s`" in output
    assert run_prog("--board", "up5k")[0] == 2
