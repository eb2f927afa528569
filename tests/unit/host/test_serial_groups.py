# SPDX-License-Identifier: Apache-2.0
"""The driver of a board of several groups: runs of draws come mixed, and each request gets its own."""

from collections import deque
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from host.psi.schema import Psi
from host.tsu.base import TsuError
from host.tsu.health import noise_alarm
from host.tsu.lowering import draw_command, load_command, lower, seed_command
from host.tsu.model import ModelTsu
from host.tsu.serial.driver import LinkDriver
from host.tsu.serial.pyserial_port import SerialPort
from host.tsu.serial.statistics import LinkTiming
from hw.spec.commands import GroupChoice, Status, WeightMode
from hw.spec.config import TsuConfig
from hw.spec.frames import FrameType
from sim.bench_file import load_module

_FAKE = load_module(Path(__file__).parents[2] / "reference" / "fake_board.py")
FakeBoard, FakeDevice = _FAKE.FakeBoard, _FAKE.FakeDevice

CONFIG = TsuConfig(groups=3, lanes=2)
QUICK = LinkTiming(silence_s=0.05, tries=10, stall_s=1.0)
PSIS = [
    Psi(ids=[2, 3, 50 + i], scores_q=[9, i, 0], scale=0.1, zero_point=0, tau=1.0, tail=0.5, vocab_size=700)
    for i in range(4)
]


class Mixing(FakeDevice):
    """Sends runs of the groups in turns."""

    def restart(self) -> None:
        super().restart()
        self._choice, self._turn = GroupChoice(self.config.groups), 0
        self.queues: list[deque[Iterator[tuple[int, bytes]]]] = [deque() for _ in range(self.config.groups)]
        self.sent: list[int] = []

    def execute(self, words: list[int]) -> None:
        group = self._choice.of(words[0]).start
        super().execute(words)
        self.queues[group].extend(self._runs)
        self._runs.clear()

    def _next(self) -> tuple[FrameType, int, bytes] | None:
        if self._due:
            return self._due.popleft()
        for offset in range(self.config.groups):
            group = (self._turn + offset) % self.config.groups
            while self.queues[group]:
                for tag, payload in self.queues[group][0]:
                    self._turn = group + 1
                    self.sent.append(group)
                    return FrameType.DRAWS, tag, payload
                self.queues[group].popleft()
        return None


class Overtaking(Mixing):
    """Sends the draws of a command before those of the one before it in the same group."""

    def execute(self, words: list[int]) -> None:
        super().execute(words)
        for queue in self.queues:
            queue.reverse()


def requests() -> list[tuple[list[int], int]]:
    """Commands and counts: psi in turn, each drawn from twice."""
    made = []
    for number in range(9):
        count = (300, 1, 40)[number % 3]
        lowered = lower(PSIS[number % 4], CONFIG, WeightMode.EXP2)
        made += [(load_command(lowered, count=count).tolist(), count), (draw_command(count=60).tolist(), 60)]
    return made


def answers(device: FakeDevice) -> list[tuple[int, list[tuple[int, int, int]]]]:
    """Total and rows of every request, all sent before the first is waited for."""
    with (
        FakeBoard(device) as board,
        LinkDriver(port=SerialPort(port=board.port, baud=3_000_000), timing=QUICK) as driver,
    ):
        driver.set_config(CONFIG)
        driver.submit(seed_command(CONFIG, 5))
        futures = [driver.submit(words, count=count) for words, count in requests()]
        found = [future.result() for future in futures]
    assert {answer.status for answer in found} == {Status.OK}
    return [(answer.total, answer.rows) for answer in found]


def test_mixed_runs_are_put_together() -> None:
    device = Mixing(CONFIG)
    found = answers(device)
    expected = []
    with ModelTsu(config=CONFIG, seed=5) as model:
        for words, count in requests():
            status, total = model.command(words)
            draws = model.take(count)
            columns = (draws.tokens.tolist(), draws.weights.tolist(), draws.spreads.tolist())
            expected.append((total, list(zip(*columns, strict=True))))
            assert status is Status.OK
    assert found == expected
    assert sum(before > after for before, after in pairwise(device.sent)) > 3, "never mixed"


def test_draws_of_one_group_stay_in_order() -> None:
    with pytest.raises(TsuError, match=r"the board sent draws with tag \d+ out of turn"):
        answers(Overtaking(CONFIG))


def test_lanes_of_an_alarm_are_named_by_group() -> None:
    error = noise_alarm(0b0001, [0b100110, 0, 0, 0], CONFIG)
    assert str(error).startswith("noise alarm: lanes 0.1, 1.0, 2.1: ")
    beyond = noise_alarm(0b0001, [0, 0, 0, 0], TsuConfig(groups=5, lanes=8))
    assert str(beyond).startswith("noise alarm: lane 4.0 or above: ")
