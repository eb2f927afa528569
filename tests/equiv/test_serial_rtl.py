# SPDX-License-Identifier: Apache-2.0
"""The backend `serial` on the simulated board gives the draws of `rtl`, bit for bit: tokens, weights, spreads, totals.

The board is the whole gateware, UART and frames included, compiled by Verilator, with its pins on a pseudo-terminal;
the driver opens that like any serial port. `rtl` is the core alone, in process, without link or driver.
"""

import os
import select
import signal
import subprocess
import sys

import numpy as np
import pytest

from host.psi.schema import Psi
from host.tsu.base import Draws
from host.tsu.registry import open_tsu
from host.tsu.serial.tsu import SerialTsu
from hw.spec.config import PRESETS, TsuConfig
from sim.board import FaultRates, open_board

TOKENS = 100_000

BATCHES = (0, 1, 2, 23, 24, 25, 500, 4096, 9000)
"""Sizes of calls: around the draws of a frame, and above those of a command."""

BAD_LINE = FaultRates(flip=3e-4, drop=3e-4, duplicate=3e-4, truncate=1e-4)
"""Of each byte; a full frame of 256 bytes is damaged with probability 0.23."""


def psis_of(config: TsuConfig, count: int, seed: int) -> list[Psi]:
    """Psi of one id up to k_max, with and without a tail."""
    rng = np.random.default_rng(seed)
    psis = []
    for number in range(count):
        k = (1, config.k_max)[number] if number < 2 else int(rng.integers(1, config.k_max + 1))
        psis.append(
            Psi(
                ids=np.sort(rng.choice(config.vocab_max, k, replace=False)),
                scores_q=rng.integers(-128, 128, k),
                scale=float(rng.uniform(0.01, 0.1)),
                zero_point=0,
                tau=float(rng.uniform(0.5, 1.5)),
                tail=float(rng.choice((0.0, 0.01, 2.0, 400.0))),
                vocab_size=config.vocab_max,
            )
        )
    return psis


def assert_equal(left: Draws, right: Draws, place: int) -> None:
    """Name the first draw that differs."""
    assert (len(left), left.total) == (len(right), right.total)
    for name in ("tokens", "weights", "spreads"):
        wrong = np.flatnonzero(getattr(left, name) != getattr(right, name))
        assert not wrong.size, f"{name} differ in {wrong.size} of {len(left)} draws, first at {place + wrong[0]}"


def compare(config: TsuConfig, *, tokens: int, seed: int, rtl_seed: int, mode: str, faults: FaultRates | None) -> int:
    """Draws compared: `tokens`, from many psi in a row, in calls of many sizes. The number of frames refused."""
    rng = np.random.default_rng(seed)
    psis = psis_of(config, 9, seed)
    with (
        open_board(config=config, faults=faults, seed=seed) as board,
        open_tsu(backend="serial", config=None, seed=seed, mode=mode, port=board.port) as serial,
        open_tsu(backend="rtl", config=config, seed=rtl_seed, mode=mode) as rtl,
    ):
        assert isinstance(serial, SerialTsu)
        assert serial.config == config
        done = 0
        while done < tokens:
            psi, n = psis[int(rng.integers(len(psis)))], min(int(rng.choice(BATCHES)), tokens - done)
            assert_equal(serial.sample(psi, n), rtl.sample(psi, n), done)
            done += n
        counts = serial.statistics
    return counts.frames_refused + counts.errors_reported


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["table", "exp2"])
def test_serial_equals_rtl(mode: str) -> None:
    """The bar: 10^5 tokens."""
    assert compare(PRESETS["sim"], tokens=TOKENS, seed=5, rtl_seed=5, mode=mode, faults=None) == 0


@pytest.mark.slow
@pytest.mark.parametrize("config", [PRESETS["up5k"], PRESETS["ecp5-85f"]], ids=["up5k", "ecp5-85f"])
def test_presets_of_the_boards(config: TsuConfig) -> None:
    assert compare(config, tokens=TOKENS // 10, seed=7, rtl_seed=7, mode="table", faults=None) == 0


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["table", "exp2"])
def test_groups_of_lanes(mode: str) -> None:
    """Two groups of two lanes: every psi goes to the other group."""
    config = TsuConfig(groups=2, lanes=2)
    assert compare(config, tokens=TOKENS // 5, seed=9, rtl_seed=9, mode=mode, faults=None) == 0


@pytest.mark.slow
def test_serial_equals_rtl_over_a_bad_line() -> None:
    refused = compare(PRESETS["sim"], tokens=TOKENS // 10, seed=6, rtl_seed=6, mode="table", faults=BAD_LINE)
    assert refused > 50


@pytest.mark.slow
def test_comparison_sees_another_seed() -> None:
    with pytest.raises(AssertionError, match="differ in"):
        compare(PRESETS["sim"], tokens=3000, seed=5, rtl_seed=4, mode="table", faults=None)


def m0_lines(*arguments: str) -> list[str]:
    """What run_m0 prints, without rates."""
    command = [sys.executable, "-m", "host.run_m0", "--steps", "3000", "--seed", "3", "--telemetry", "off", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=200)
    assert (done.returncode, done.stderr) == (0, "")
    return [line for line in done.stdout.splitlines() if "per_" not in line and not line.startswith("backend")]


@pytest.mark.slow
def test_the_command_lines_together() -> None:
    """`python -m sim.board` in one process, `python -m host.run_m0 --backend serial` in another."""
    command = [sys.executable, "-m", "sim.board", "--preset", "sim", "--baud", "3000000"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as board:
        try:
            assert board.stdout is not None
            assert select.select([board.stdout], [], [], 120)[0], "no line of the simulated board"
            port = board.stdout.readline().split()
            assert port[0] == "port:"
            assert os.path.exists(port[1])
            serial = m0_lines("--backend", "serial", "--port", port[1], "--baud", "3000000")
        finally:
            board.send_signal(signal.SIGINT)
            try:
                board.wait(20)
            finally:
                board.kill()
    assert serial == m0_lines("--backend", "rtl")
