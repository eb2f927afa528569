# SPDX-License-Identifier: Apache-2.0
"""The benchmark's psi, its table and its refusals."""

import subprocess
import sys
import time
from itertools import count

import numpy as np
import pytest

from host.bench import (
    LIBRARY,
    NEW_PSI,
    TAIL_SHARE,
    Contender,
    bench_psi,
    library_lines,
    measure,
    real_law,
    render,
)
from host.bench_verify import Timed
from host.psi.schema import Psi
from host.verify.chain import METHODS as CHAIN_METHODS
from host.verify.siblings import METHODS


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "host.bench", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


def test_psi_has_the_tail_share_that_the_title_names() -> None:
    psi = bench_psi(k=64, vocab_size=5000, seed=1)
    law = real_law(psi)
    assert law.sum() == pytest.approx(1, abs=1e-12)
    assert 1 - law[psi.ids].sum() == pytest.approx(TAIL_SHARE, abs=1e-6)
    assert np.ptp(np.log(law[psi.ids])) == pytest.approx(np.ptp(psi.scores), abs=1e-9)


def test_rounds_alternate_and_medians_are_shown() -> None:
    calls = []
    samplers = [
        Contender(name=name, k=64, lanes=lanes, draw=lambda n, name=name: calls.append((name, n)) or sum(range(n)))
        for name, lanes in (("model", 1), ("Generator.choice", 0))
    ]
    measure(samplers, rounds=3, seconds=0.002)
    assert [len(sampler.rates) for sampler in samplers] == [3, 3]
    names = [name for name, _ in calls]
    assert names.index("Generator.choice") > 0
    assert names[-1] == "Generator.choice"
    samplers[0].rates, samplers[1].rates = [2e6, 30e6, 1e6], [1e6, 0.5e6, 0.1e6]
    cells = [list(column.cells) for column in render(samplers, vocab_size=5000).columns]
    assert [row[0] for row in cells] == ["model", "64", "1", "2", "1..30", "4", "-"]
    assert cells[3][1] == "0.5"


def test_a_new_psi_is_new_each_time_and_its_time_is_shown() -> None:
    drawn: list[Psi] = []
    psis = (bench_psi(k=16, vocab_size=600, seed=1, span=14 + i / 4096) for i in count())
    sampler = Contender(
        name="model", k=16, lanes=1, draw=lambda n: sum(range(n)), new_psi=psis, draw_new=drawn.append
    )  # fmt: skip
    reference = Contender(name="Generator.choice", k=16, lanes=0, draw=lambda n: sum(range(n)))
    measure([sampler, reference], rounds=2, seconds=0.002)
    assert (len(drawn), len(set(drawn)), len({psi.scale for psi in drawn})) == (2 * NEW_PSI,) * 3
    sampler.new_psi_s = [0.002, 0.5, 0.001]
    cells = [list(column.cells) for column in render([sampler, reference], vocab_size=600).columns]
    assert cells[-1] == ["2", "-"]


def test_thrml_is_compared_with_the_librarys_fastest_blocks_round_by_round() -> None:
    made = [
        Contender(name=name, k=64, lanes=0, draw=lambda n: n, rates=rates)
        for name, rates in (
            ("thrml", [2.0, 6.0, 3.0]),
            (f"{LIBRARY}, 1024", [1.0, 1.0, 9.0]),
            (f"{LIBRARY}, 8192", [1.0, 3.0, 4.0]),
        )
    ]
    assert library_lines(made) == ["thrml, K = 64: 2 x thrml alone, 8192 (0.75..2)"]
    assert library_lines(made[1:]) == []


def test_command_line_prints_every_sampler() -> None:
    done = run("--backend", "model", "--vocab", "600", "--rounds", "1", "--seconds", "0.001")
    assert done.returncode == 0, done.stderr
    for text in ("model", "Generator.choice", "O(V) per draw", "256", "CPU time", "V = 600"):
        assert text in done.stdout


@pytest.mark.slow
def test_thrml_stands_beside_the_library_by_itself() -> None:
    pytest.importorskip("thrml", reason="thrml is not installed: make setup-thrml")
    done = run("--backend", "thrml", "--vocab", "600", "--rounds", "1", "--seconds", "0.001")
    assert done.returncode == 0, done.stderr
    assert max(len(line) for line in done.stdout.splitlines()) <= 80
    for k in (64, 256):
        assert f"thrml, K = {k}: " in done.stdout
    for batch in (1024, 2048, 8192):
        assert f"{LIBRARY}, {batch}" in done.stdout


def test_part_verify_prints_every_verifier() -> None:
    done = run("--part", "verify", "--vocab", "512", "--rounds", "1")
    assert done.returncode == 0, done.stderr
    assert max(len(line) for line in done.stdout.splitlines()) <= 80
    for text in ("M tokens/s", "V = 512", "ms per token", "us per chain", *METHODS, *CHAIN_METHODS, "49152"):
        assert text in done.stdout
    assert "Generator.choice" not in done.stdout


def test_least_time_of_a_contender_counts() -> None:
    spans = iter([0.004, 0.001, 0.003, 0.002, 0.004])
    timed = Timed(labels=("x",), tokens=1, run=lambda: burn(next(spans)))
    timed.measure()
    assert 0.001 <= timed.best_s < 0.002


def burn(seconds: float) -> None:
    begin = time.thread_time()
    while time.thread_time() - begin < seconds:
        pass


@pytest.mark.parametrize(
    ("arguments", "start"),
    [
        (["--part", "link"], "error: part = 'link' is not legal: expected one of draws, verify"),
        (["--backend", "gpu"], "error: backend = 'gpu'"),
        (["--backend", "serial"], "error: backend = 'serial' is not legal: expected one of model, rtl, cxxrtl"),
        (["--vocab", "10"], "error: vocab = 10"),
        (["--rounds", "0"], "error: rounds = 0"),
        (["--seconds", "0"], "error: seconds = 0.0"),
        (["--seed", "-1"], "error: seed = -1"),
    ],
)
def test_illegal_options_are_one_line(arguments: list[str], start: str) -> None:
    done = run(*arguments)
    assert done.returncode == 2
    assert done.stderr.startswith(start)
    assert done.stderr.count("\n") == 1
