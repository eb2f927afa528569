# SPDX-License-Identifier: Apache-2.0
"""No command looks for a hub: with every way to another machine closed, each does its work and tries none of them."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.reference.tiny_lm import TEXT, write_gpt2, write_llama

ROOT = Path(__file__).parents[2]

GUARD = """
import os, socket

def refuse(*arguments, **options):
    with open(os.environ["TRIED"], "a") as file:
        file.write(f"{arguments[:2]}\\n")
    raise OSError("the network is down")

socket.getaddrinfo = socket.gethostbyname = socket.create_connection = refuse
connect = socket.socket.connect
socket.socket.connect = lambda self, address: (connect if self.family == socket.AF_UNIX else refuse)(self, address)
"""
"""Runs at the start of every interpreter: names are not resolved, nothing connects, and attempts leave a line."""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("offline")
    write_llama(folder / "llama")
    write_gpt2(folder / "gpt2")
    (folder / "guard").mkdir()
    (folder / "guard" / "sitecustomize.py").write_text(GUARD)
    (folder / "book.txt").write_text(TEXT)
    steps = np.random.default_rng(0).integers(0, 12, 600)
    np.savez(folder / "text.npz", train=steps[:500], heldout=steps[500:], vocab_size=12)
    return folder


def offline(place: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([str(place / "guard"), str(ROOT)])
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "TRANSFORMERS_"))}
    environment |= {"PYTHONPATH": path, "TRIED": str(place / "tried"), "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, *arguments], cwd=place, env=environment, capture_output=True, text=True, timeout=200
    )


HEAD = (
    "--begin", "In", "--steps", "4", "--batch", "2", "--rounds", "1", "--texts", "4", "--length", "16", "--alone", "1",
    "--inner", "8", "--kept", "100", "--rank", "8", "--K", "8",
)  # fmt: skip


@pytest.mark.parametrize(
    "arguments",
    [
        ("host.run_lm", "--target", "llama", "--prompt", "In the", "--tokens", "10", "--K", "8"),
        ("host.run_lm", "--target", "gpt2", "--prompt", "In the", "--tokens", "10", "--K", "8"),
        ("host.run_m1", "--backend", "model", "--steps", "2000", "--K", "8", "--corpus", "book.txt"),
        ("host.train", "head", "--target", "llama", "--out", "head", *HEAD),
        ("host.train", "target", "--tokens", "text.npz", "--out", "t", "--steps", "2", "--width", "8", "--heads", "2"),
    ],
    ids=["lean", "transformers", "m1", "head", "target"],
)  # fmt: skip
def test_nothing_is_fetched(place: Path, arguments: tuple[str, ...]) -> None:
    done = offline(place, "-m", *arguments)
    assert done.returncode == 0, done.stderr
    assert not (place / "tried").exists(), (place / "tried").read_text()


def test_the_guard_sees_an_attempt(place: Path) -> None:
    done = offline(place, "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:9')")
    assert done.returncode == 1
    assert "the network is down" in done.stderr
    assert (place / "tried").read_text().strip()
    (place / "tried").unlink()
