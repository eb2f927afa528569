# SPDX-License-Identifier: Apache-2.0
"""The simulated board as a serial port: everything goes over the pseudo-terminal, as a driver sees it."""

import os
import select
import signal
import subprocess
import sys
import time
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from amaranth.hdl import Const

import hw.link.serial_tsu as serial_tsu
from host.psi.schema import Psi
from host.tsu.lowering import check_mode, load_command, lower, seed_command
from host.tsu.model import ModelTsu
from hw.link.frame_sender import FrameSender
from hw.link.serial_tsu import SerialTsu
from hw.spec.config import PRESETS
from hw.spec.digest import spec_id
from hw.spec.errors import SpecError
from hw.spec.frames import Frame, FrameReader, FrameType, command_frames, unpack_draws, unpack_status
from hw.spec.registers import REGISTERS
from sim.board import FaultRates, open_board
from sim.board.damage import FaultyLine
from sim.board.device import BoardOptions
from sim.board.library import board_library

CONFIG = PRESETS["tiny"]
PSI = Psi(ids=[1, 4, 9], scores_q=[3, 0, -7], scale=0.25, zero_point=0, tau=1.0, tail=0.5, vocab_size=16)
TIMEOUT_S = 20.0


class Port:
    """A raw client of a serial port; acknowledges every frame."""

    def __init__(self, path: str) -> None:
        self._descriptor = os.open(path, os.O_RDWR | os.O_NOCTTY)
        tty.setraw(self._descriptor)
        self._reader = FrameReader()
        self._found: list[Frame] = []
        self.write(b"\0" + Frame(type=FrameType.RESET).encode())
        self.until(lambda frame: (frame.type, frame.sequence, frame.tag) == (FrameType.PONG, 0, 0))
        self._refused_at_open = self._refused_count  # a frame that RESET cut short is refused, and rightly
        self._commands = 0

    @property
    def _refused_count(self) -> int:
        return sum(self._reader.refused.values())

    @property
    def refused_since_open(self) -> int:
        return self._refused_count - self._refused_at_open

    def write(self, data: bytes) -> None:
        os.write(self._descriptor, data)

    def until(self, wanted: Callable[[Frame], bool]) -> list[Frame]:
        """Frames up to the one that is wanted."""
        taken, end = [], time.monotonic() + TIMEOUT_S
        while time.monotonic() < end:
            while self._found:
                taken.append(self._found.pop(0))
                self.write(Frame(type=FrameType.CREDIT, tag=(taken[-1].sequence + 1) % 256).encode())
                if wanted(taken[-1]):
                    return taken
            if select.select([self._descriptor], [], [], 0.2)[0]:
                data = os.read(self._descriptor, 4096)
                self._found += [found for found in self._reader.feed(data) if isinstance(found, Frame)]
        raise TimeoutError(f"{taken} came, not what was wanted")

    def register(self, name: str) -> int:
        self.write(Frame(type=FrameType.READ_REGISTER, tag=REGISTERS[name].address).encode())
        return int.from_bytes(self.until(lambda frame: frame.type is FrameType.REGISTER)[-1].payload, "little")

    def command(self, words: Any, wanted: Callable[[Frame], bool]) -> list[Frame]:
        """One command of one frame, which the board has room for."""
        (frame,) = command_frames(words.tolist(), sequence=self._commands % 256)
        self._commands += 1
        self.write(frame.encode())
        return self.until(wanted)

    def close(self) -> None:
        os.close(self._descriptor)


@contextmanager
def client(path: str) -> Iterator[Port]:
    port = Port(path)
    try:
        yield port
    finally:
        port.close()


def sampled(port: Port, count: int, seed: int) -> list[tuple[int, int, int]]:
    """Rows of a LOAD with draws, behind a SEED."""
    seeded = port.command(seed_command(CONFIG, seed), lambda frame: frame.type is FrameType.STATUS)
    assert unpack_status(seeded[-1])[2] == 0
    words = load_command(lower(PSI, CONFIG, check_mode(CONFIG, "exp2")), count=count, tag=9)
    frames = port.command(words, lambda f: f.type is FrameType.DRAWS and unpack_draws(f, CONFIG).last)
    runs = [unpack_draws(frame, CONFIG) for frame in frames if frame.type is FrameType.DRAWS]
    assert {run.tag for run in runs} == {9}
    assert not any(run.alarm for run in runs)
    return [row for run in runs for row in run.rows]


def modelled(count: int, seed: int) -> list[tuple[int, int, int]]:
    with ModelTsu(config=CONFIG, seed=seed, mode="exp2") as model:
        found = model.sample(PSI, count)
    columns = (found.tokens.tolist(), found.weights.tolist(), found.spreads.tolist())
    return list(zip(*columns, strict=True))


def test_registers_and_draws_over_the_port():
    with open_board(config=CONFIG) as board, client(board.port) as port:
        assert port.register("SPEC_ID_LOW") | port.register("SPEC_ID_HIGH") << 32 == spec_id(CONFIG)
        assert sampled(port, 700, 5) == modelled(700, 5)
        # 700 draws of 2 bytes in at least 6 frames, ten bits of four cycles a byte.
        assert board.bytes_read > 1400 + 6 * 15
        assert board.cycles > 40 * board.bytes_read
        assert port.refused_since_open == 0


def test_a_second_client_starts_anew():
    with open_board(config=CONFIG) as board:
        for seed in (1, 2):
            with client(board.port) as port:
                assert sampled(port, 50, seed) == modelled(50, seed)


def test_an_idle_board_does_nothing():
    with open_board(config=CONFIG) as board, client(board.port) as port:
        port.register("LANES")
        end = time.monotonic() + TIMEOUT_S
        cycles = -1
        while cycles != board.cycles and time.monotonic() < end:
            cycles = board.cycles
            time.sleep(0.3)
        used = time.process_time()
        time.sleep(0.5)
        assert board.cycles == cycles
        assert time.process_time() - used < 0.1


class DrawLosesABit(FrameSender):
    """Clears the lowest bit of each byte of a draw."""

    def _draws(self, m: Any, filled: Any, index: Any, trailer: Any) -> Any:
        byte, *rest = super()._draws(m, filled, index, trailer)
        return byte & Const(0xFE, 8), *rest


@pytest.mark.slow  # a board to compile
def test_a_faulty_board_is_noticed(monkeypatch):
    options = BoardOptions(config=CONFIG)
    monkeypatch.setattr(serial_tsu, "FrameSender", DrawLosesABit)
    library = board_library(SerialTsu(config=CONFIG, clk_hz=options.clk_hz, baud=options.baud))
    with open_board(config=CONFIG, library=library) as board, client(board.port) as port:
        assert sampled(port, 50, 5) != modelled(50, 5)


def test_the_alarm_stands_in_every_run(monkeypatch):
    class Alarmed(SerialTsu):
        def elaborate(self, platform: Any) -> Any:
            m = super().elaborate(platform)
            m.d.comb += self._sender.alarm.eq(1)  # behind the core's own: the last assignment counts
            return m

    options = BoardOptions(config=CONFIG)
    library = board_library(Alarmed(config=CONFIG, clk_hz=options.clk_hz, baud=options.baud))
    with open_board(config=CONFIG, library=library) as board, client(board.port) as port:
        words = load_command(lower(PSI, CONFIG, check_mode(CONFIG, "exp2")), count=300)
        frames = port.command(words, lambda f: f.type is FrameType.DRAWS and unpack_draws(f, CONFIG).last)
        runs = [unpack_draws(frame, CONFIG) for frame in frames if frame.type is FrameType.DRAWS]
    assert [run.alarm for run in runs] == [True] * 3
    assert [row for run in runs for row in run.rows] == modelled(300, 0)


@pytest.mark.parametrize(
    ("arguments", "field"),
    [({"preset": "none"}, "preset"), ({"baud": 13_000_000}, "baud"), ({"clk_hz": 10_000_000}, "clk_hz")],
)
def test_bad_arguments_are_refused(arguments, field):
    with pytest.raises(SpecError, match=field), open_board(**arguments):
        pass


def test_faults_have_their_rates():
    """100,000 bytes, seed 3, 2 % each: 2000 +- 5 sigma (221) of flips, of drops, of duplicates; the same again."""
    data = bytes(range(1, 251)) * 400
    lines = [FaultyLine(FaultRates(flip=0.02, drop=0.02, duplicate=0.02), seed=3) for _ in range(2)]
    assert lines[0](data) == lines[1](data) != data
    for kind in ("flip", "drop", "duplicate"):
        assert 1779 < lines[0].faults[kind] < 2221
    assert FaultyLine(FaultRates(), seed=3)(data) == data
    cut = FaultyLine(FaultRates(truncate=0.5), seed=3)(b"abcdefgh\0" * 50)
    assert cut.count(b"\0") == 50
    assert len(cut) < 50 * 4
    with pytest.raises(SpecError, match="flip"):
        FaultRates(flip=0.6)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_program_serves_until_it_is_interrupted(number):
    command = [sys.executable, "-m", "sim.board", "--preset", "tiny", "--flip", "0.0"]
    root = Path(__file__).parents[3]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=root) as program:
        try:
            assert program.stdout is not None
            first = program.stdout.readline()
            assert first.startswith("port: /dev/")
            with client(first.split()[1]) as port:
                assert port.register("K_MAX") == CONFIG.k_max
            program.send_signal(number)
            output, errors = program.communicate(timeout=TIMEOUT_S)
        finally:
            program.kill()
    assert (program.returncode, output) == (0, "")
    assert "bytes to the board" in errors
