# SPDX-License-Identifier: Apache-2.0
"""The commands of README.md run as they stand there.

A console block right below `<!-- test: fast -->` or `<!-- test: slow -->` is run in the checkout: each line that
starts with `$ ` must exit with status 0. Every other line is output for people to read.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"^<!-- test: (\w+) -->\n```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)
TIME_LIMIT_S = 1800


def blocks(text: str) -> list[tuple[str, list[str]]]:
    """(speed, commands) of each marked block."""
    return [
        (speed, [line.removeprefix("$ ") for line in body.splitlines() if line.startswith("$ ")])
        for speed, body in BLOCK.findall(text)
    ]


def readme_blocks() -> list[object]:
    """The blocks of README.md as parameters; those that are not fast run with the slow tests."""
    return [
        pytest.param(commands, id=commands[0], marks=[] if speed == "fast" else [pytest.mark.slow])
        for speed, commands in blocks((ROOT / "README.md").read_text())
    ]


def test_marked_blocks_are_found() -> None:
    text = "<!-- test: fast -->\n```console\n$ one --a\noutput\n$ two\n```\n\n```console\n$ unmarked\n```\n"
    assert blocks(text) == [("fast", ["one --a", "two"])]


def test_every_marker_of_the_readme_has_a_block_with_commands() -> None:
    text = (ROOT / "README.md").read_text()
    found = blocks(text)
    assert len(found) == text.count("<!-- test:")
    assert {speed for speed, _ in found} <= {"fast", "slow"}
    assert all(commands for _, commands in found)


@pytest.mark.parametrize("commands", readme_blocks())
def test_readme_commands_run(commands: list[str]) -> None:
    env = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    env["PATH"] = f"{Path(sys.executable).parent}:{env['PATH']}"
    for command in commands:
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=ROOT,
            env=env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=TIME_LIMIT_S,
            check=False,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
