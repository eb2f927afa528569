# SPDX-License-Identifier: Apache-2.0
"""Model and RTL side by side."""

from collections import deque
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from host.tsu.model import ModelTsu
from host.tsu.rtl import RtlTsu
from hw.spec.commands import Opcode, Status
from hw.spec.config import TsuConfig


class Pair:
    """Model and RTL side by side: the same commands, the same draws taken."""

    def __init__(self, config: TsuConfig) -> None:
        self.rtl, self.model = RtlTsu(config=config, seed=1), ModelTsu(config=config, seed=1)
        self.owed: deque[tuple[int, int]] = deque()  # draws not taken yet, and the good LOAD they belong to
        self.loads = 0
        self.taken = 0

    def close(self) -> None:
        self.rtl.close()
        self.model.close()

    def command(self, words: list[int]) -> tuple[Status, int]:
        """The answer of both; draws that are in the way of the command are taken first."""
        opcode = words[0] & 0xFF
        older = any(load != self.loads for _, load in self.owed)
        if opcode == Opcode.SEED or len(self.owed) > 1 or (opcode == Opcode.LOAD and older):
            self.take(sum(count for count, _ in self.owed))
        array = np.array(words, dtype=np.uint32)
        answer, other = self.rtl.command(array), self.model.command(array)
        assert answer == other, f"RTL {answer}, model {other} for {[hex(word) for word in words[:80]]}"
        if answer[0] is Status.OK and opcode in (Opcode.LOAD, Opcode.DRAW):
            self.loads += opcode == Opcode.LOAD
            if words[1]:
                self.owed.append((words[1], self.loads))
        return answer

    def take(self, n: int) -> None:
        """Take n draws of each and compare them."""
        left, right = self.rtl.take(n), self.model.take(n)
        for name in ("tokens", "weights", "spreads"):
            assert getattr(left, name).tolist() == getattr(right, name).tolist()
        self.taken += n
        while n:
            count, load = self.owed.popleft()
            if count > n:
                self.owed.appendleft((count - n, load))
            n -= min(n, count)


@pytest.fixture
def open_pair() -> Iterator[Callable[[TsuConfig], Pair]]:
    """Opens pairs of one configuration; they are closed behind the test."""
    opened: list[Pair] = []

    def open_one(config: TsuConfig) -> Pair:
        opened.append(Pair(config))
        return opened[-1]

    yield open_one
    for pair in opened:
        pair.close()
