# SPDX-License-Identifier: Apache-2.0
"""Model and RTL side by side, the RTL in either simulator."""

from collections import deque
from collections.abc import Iterator
from typing import Protocol

import numpy as np
import pytest

from host.tsu.cxxrtl import CxxrtlTsu
from host.tsu.model import ModelTsu
from host.tsu.native import NativeTsu
from host.tsu.rtl import RtlTsu
from hw.spec.commands import GroupChoice, Opcode, Status
from hw.spec.config import TsuConfig

ENGINES: dict[str, type[RtlTsu] | type[CxxrtlTsu]] = {"rtl": RtlTsu, "cxxrtl": CxxrtlTsu}
"""Backends that simulate the RTL."""


class Pair:
    """Model and RTL side by side: the same commands, the same draws taken."""

    def __init__(self, config: TsuConfig, engine: str = "rtl") -> None:
        self.rtl: NativeTsu = ENGINES[engine](config=config, seed=1)
        self.model = ModelTsu(config=config, seed=1)
        self.choice = GroupChoice(config.groups)
        self.choice.of(int(Opcode.SEED) | 0x0100)  # that of the adapters
        self.owed: deque[tuple[int, int, int]] = deque()  # draws not taken yet, their group, and the good LOAD
        self.loads = 0
        self.newest = [0] * config.groups  # the last good LOAD of each group
        self.taken = 0
        self.groups_owing = 0  # most groups that owed draws at the same time

    def close(self) -> None:
        self.rtl.close()
        self.model.close()

    def command(self, words: list[int]) -> tuple[Status, int]:
        """The answer of both; draws that are in the way of the command are taken first."""
        opcode, groups = words[0] & 0xFF, self.choice.of(words[0])
        group = groups.start
        owing = [load for _, owner, load in self.owed if owner == group]
        older = any(load != self.newest[group] for load in owing)
        if opcode == Opcode.SEED or len(owing) > 1 or (opcode == Opcode.LOAD and older):
            self.take(sum(count for count, _, _ in self.owed))
        array = np.array(words, dtype=np.uint32)
        answer, other = self.rtl.command(array), self.model.command(array)
        assert answer == other, f"RTL {answer}, model {other} for {[hex(word) for word in words[:80]]}"
        if answer[0] is Status.OK and opcode in (Opcode.LOAD, Opcode.DRAW):
            if opcode == Opcode.LOAD:
                self.loads += 1
                self.newest[group] = self.loads
            if words[1]:
                self.owed.append((words[1], group, self.newest[group]))
                self.groups_owing = max(self.groups_owing, len({owner for _, owner, _ in self.owed}))
        return answer

    def take(self, n: int) -> None:
        """Take n draws of each and compare them."""
        left, right = self.rtl.take(n), self.model.take(n)
        for name in ("tokens", "weights", "spreads"):
            assert getattr(left, name).tolist() == getattr(right, name).tolist()
        self.taken += n
        while n:
            count, group, load = self.owed.popleft()
            if count > n:
                self.owed.appendleft((count - n, group, load))
            n -= min(n, count)


class OpenPair(Protocol):
    """Opens a pair of one configuration."""

    def __call__(self, config: TsuConfig, engine: str = "rtl") -> Pair: ...


@pytest.fixture
def open_pair() -> Iterator[OpenPair]:
    """Opens pairs; they are closed behind the test."""
    opened: list[Pair] = []

    def open_one(config: TsuConfig, engine: str = "rtl") -> Pair:
        opened.append(Pair(config, engine))
        return opened[-1]

    yield open_one
    for pair in opened:
        pair.close()
