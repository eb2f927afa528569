# SPDX-License-Identifier: Apache-2.0
"""`python -m host.contract`, and what docs/how-to/adapter.md shows: its adapter, its pytest file, its lines."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from host.contract import CHECKS
from host.contract.__main__ import main

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "docs" / "how-to" / "adapter.md").read_text()


def block(name: str) -> str:
    """The code block behind a marker of the guide."""
    found = re.search(rf"^<!-- test: {name} -->\n```\w+\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL)
    assert found is not None, name
    return found[1]


def run(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """A program in `folder`, with the interpreter of the suite."""
    environment = os.environ | {"PYTHONPATH": f"{folder}:{ROOT}"}
    command = [sys.executable, *arguments]
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=900
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where a reader of the guide has saved what it shows."""
    (tmp_path / "my_tsu.py").write_text(block("adapter"))
    (tmp_path / "test_my_tsu.py").write_text(block("pytest"))
    return tmp_path


# --- the guide --------------------------------------------------------------------------------------------------------


def test_adapter_of_the_guide_keeps_the_contract(folder: Path) -> None:
    done = run("-m", "host.contract", "--adapter", "my_tsu:MyTsu", folder=folder)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    lines = done.stdout.splitlines()
    assert [line.split()[:2] for line in lines[:-1]] == [
        ["skipped" if name in ("bit-true", "blocks") else "kept", name] for name in CHECKS
    ]
    assert lines[-1] == "contract=kept"


def test_one_generator_for_both_depends_on_calls_as_the_guide_says(folder: Path) -> None:
    text, two = block("adapter"), "self.head, self.tail = (np.random.default_rng(child) for child in root.spawn(2))"
    assert text.count(two) == 1
    (folder / "my_tsu.py").write_text(text.replace(two, "self.head = self.tail = np.random.default_rng(root)"))
    done = run("-m", "host.contract", "--adapter", "my_tsu:MyTsu", "--check", "batches", folder=folder)
    assert done.returncode == 1
    assert re.match(r"broken  batches +reproducible is True, and draw \d+ depends on how", done.stdout), done.stdout


def test_pytest_file_of_the_guide_passes_and_fails(folder: Path) -> None:
    """As it stands, and on an adapter whose tail misses its last rank."""
    names = " or ".join(("shapes", "integers", "tail"))
    command = ("-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", names, "test_my_tsu.py")
    done = run(*command, folder=folder)
    assert done.returncode == 0, done.stdout
    assert "3 passed" in done.stdout
    text = block("adapter")
    assert text.count("max(law.spread, 1)") == 1
    (folder / "my_tsu.py").write_text(text.replace("max(law.spread, 1)", "max(law.spread - 1, 1)"))
    done = run(*command, folder=folder)
    assert done.returncode == 1
    assert "1 failed, 2 passed" in done.stdout
    assert re.search(r"ContractError: tail: the tail is not uniform: tail token \d+ came 0 times of", done.stdout)


def test_lines_of_the_guide_are_those_of_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    command, *lines = block("model").splitlines()
    prefix = "$ python -m host.contract "
    assert command.startswith(prefix)
    assert main(command.removeprefix(prefix).split()) == 0
    assert capsys.readouterr().out.splitlines() == lines


def test_the_guide_names_every_check() -> None:
    table = re.findall(r"^\| `([\w-]+)` \|", GUIDE, re.MULTILINE)
    assert table == list(CHECKS)


# --- the command ------------------------------------------------------------------------------------------------------


def test_a_broken_check_is_a_line_and_exit_status_1(capsys: pytest.CaptureFixture[str]) -> None:
    """The plain shift register: one shift a word, so that one draw follows from the other."""
    arguments = ["--backend", "model", "--noise", "lfsr", "--check", "independence", "--check", "shapes"]
    assert main(arguments) == 1
    out = capsys.readouterr().out.splitlines()
    assert re.fullmatch(
        r"broken  independence  pairs of draws that are 1 apart do not follow q\(a\) q\(b\): .*", out[0]
    )
    assert out[1].split()[:2] == ["kept", "shapes"]
    assert out[2] == "contract=broken"


def test_fewer_draws_detect_less_and_say_so(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--backend", "model", "--lanes", "4", "--check", "law", "--check", "rare-events"]
    assert main([*arguments, "--max-draws", "50000"]) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[0].endswith("4 x 50,000 draws; a total variation of 0.026 is seen with probability 0.99")
    assert out[1].startswith("skipped rare-events   50,000 draws do not tell a rare token that never comes: 4,7")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "backend = None is not legal: expected one of model, "),
        (["--backend", "gpu"], "backend = 'gpu' is not legal: expected one of model, "),
        (["--backend", "serial"], "port = None is not legal: expected the path of a serial port"),
        (["--backend", "model", "--check", "laws"], "check = 'laws' is not legal: expected one of capabilities, "),
        (["--backend", "model", "--max-draws", "9"], "max_draws = 9 is not legal: expected an integer in [4096, "),
        (["--backend", "model", "--max-draws", "x"], "max-draws = 'x' is not legal: expected an integer"),
        (["--adapter", "my_tsu"], "adapter = 'my_tsu' is not legal: expected MODULE:NAME, "),
        (["--adapter", "no_such:Tsu"], "adapter = 'no_such:Tsu' is not legal: expected a module that can be imported"),
        (["--adapter", "host.bench:Tpu"], "adapter = 'host.bench:Tpu' is not legal: expected a name that the module"),
        (["--adapter", "host.bench:_WARM_UP_DRAWS"], "is not legal: expected MODULE:NAME, a class or function that"),
        (["--adapter", "host.tsu.model:ModelTsu"], "the TSU cannot be opened: TypeError: ModelTsu.__init__() missing"),
        (["--adapter", "a:b", "--lanes", "4"], "lanes = '4' is not legal: expected none with --adapter"),
    ],
)
def test_bad_input_is_one_line(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    out, error = capsys.readouterr()
    assert out == ""
    assert error.count("\n") == 1
    assert message in error


def test_help_names_every_check(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert ", ".join(CHECKS) in text
    assert "Exit status 0 every check is kept" in text
