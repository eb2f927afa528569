# SPDX-License-Identifier: Apache-2.0
"""Frames with faults on the pins of the Verilated board: nothing wrong is taken, nothing hangs."""

from pathlib import Path
from typing import Any

import pytest
from amaranth.hdl import Const

import hw.link.serial_tsu as serial_tsu
from host.psi.schema import Psi
from host.tsu.lowering import check_mode, load_command, lower
from host.tsu.model import ModelTsu
from hw.link.frame_receiver import FrameReceiver
from hw.link.serial_tsu import SerialTsu
from hw.spec.config import PRESETS
from hw.spec.frames import LinkError
from sim.bench_file import load_module
from sim.board.device import BoardDevice, BoardOptions
from sim.board.host import LinkHost
from sim.board.library import board_library

_FUZZ = load_module(Path(__file__).parents[2] / "reference" / "link_fuzz.py")
Counts, FuzzError, LinkFuzz = _FUZZ.Counts, _FUZZ.FuzzError, _FUZZ.LinkFuzz

CONFIG = PRESETS["tiny"]
OPTIONS = BoardOptions(config=CONFIG)
PSI = Psi(ids=[1, 4, 9], scores_q=[3, 0, -7], scale=0.25, zero_point=0, tau=1.0, tail=0.5, vocab_size=16)

SLOW_FRAMES = 1_000_000


def fuzz(frames: int, seed: int, *, library: Path | None = None) -> Any:
    """Fuzz a board against the model: both start from seed 0 with the same psi."""
    load = load_command(lower(PSI, CONFIG, check_mode(CONFIG, "exp2")), count=0)
    with BoardDevice(OPTIONS, library=library) as device, ModelTsu(config=CONFIG, seed=0, mode="exp2") as model:
        host = LinkHost(device, cycles_per_bit=4)
        host.open()
        host.command(load.tolist())

        def rows(n: int) -> list[tuple[int, int, int]]:
            found = model.sample(PSI, n)
            columns = (found.tokens.tolist(), found.weights.tolist(), found.spreads.tolist())
            return list(zip(*columns, strict=True))

        link = LinkFuzz(device, CONFIG, expected=host.sent, due=host.due, draws=rows, seed=seed)
        return link.run(frames)


def check(counts: Any, frames: int) -> None:
    """Every kind of fault and every kind of refusal occurred, and commands went through all the same."""
    assert counts.frames >= frames
    assert len(counts.damaged) == 8
    assert min(counts.damaged.values()) > frames / 50
    assert counts.executed > frames / 8
    assert {LinkError.MALFORMED, LinkError.BAD_CRC, LinkError.GAP} <= set(counts.refused)
    # A command right behind a damaged frame is lost only where that frame lost its delimiter: of 8 kinds 3 can, at a
    # place that is the delimiter with probability below 1/100, and a byte without stop bit cannot.
    assert 0 < counts.lost < counts.executed / 20


def test_damaged_frames_change_nothing():
    """20,000 frames, seed 1: of the wrong ones a CRC-32 lets one in 2^32 through, 5e-6 in all."""
    check(fuzz(20_000, 1), 20_000)


@pytest.mark.slow  # 10^9 cycles
def test_a_million_damaged_frames_change_nothing():
    """10^6 frames, seed 2: one passes the CRC with probability 2.3e-4."""
    counts = fuzz(SLOW_FRAMES, 2)
    print(counts)
    check(counts, SLOW_FRAMES)


class AnyCrc(FrameReceiver):
    """Takes every CRC."""

    def _judge(self, m: Any, facts: Any, crc_good: Any) -> Any:
        return super()._judge(m, facts, Const(1))


class NoBroken(FrameReceiver):
    """A frame that is broken spoils the one behind it: the flag is never cleared."""

    def _collect(self, m: Any, cobs: Any, crc: Any, index: Any) -> Any:
        facts = super()._collect(m, cobs, crc, index)
        with m.If(facts.broken):
            m.d.sync += facts.broken.eq(1)
        return facts


class TakesTwice(FrameReceiver):
    """Takes a frame again that was taken already."""

    def _judge(self, m: Any, facts: Any, crc_good: Any) -> Any:
        facts.due = facts.due | facts.taken
        return super()._judge(m, facts, crc_good)


@pytest.mark.parametrize(
    "bug", [AnyCrc, *(pytest.param(bug, marks=pytest.mark.slow) for bug in (NoBroken, TakesTwice))]
)
def test_the_fuzz_notices_a_faulty_receiver(bug, monkeypatch):
    monkeypatch.setattr(serial_tsu, "FrameReceiver", bug)
    library = board_library(SerialTsu(config=CONFIG, clk_hz=OPTIONS.clk_hz, baud=OPTIONS.baud))
    with pytest.raises(FuzzError):
        fuzz(20_000, 1, library=library)
