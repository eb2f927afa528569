# SPDX-License-Identifier: Apache-2.0
"""Bus models for the streams of Amaranth components in cocotb benches: source, sink, monitor, stalls.

A stream `i_entry` is made of the ports `i_entry__payload`, `i_entry__valid` and `i_entry__ready`. All models sample
just before a rising edge and drive just after it. Every wait is bounded by a number of clock cycles.
"""

import random
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import RisingEdge

CLOCK_NS = 10
"""Period of the simulated clock."""

WAIT_CYCLES = 10_000
"""Bound of a wait where the caller gives none."""


def never() -> Iterator[bool]:
    """Stall pattern: no stall."""
    while True:
        yield False


def random_stalls(probability: float, *, seed: int = 0) -> Iterator[bool]:
    """Stall pattern: every cycle is a stall with this probability."""
    rng = random.Random(seed)
    while True:
        yield rng.random() < probability


def burst_stalls(run: int, stall: int) -> Iterator[bool]:
    """Stall pattern: `run` cycles without, then `stall` cycles with a stall, and again."""
    while True:
        yield from [False] * run
        yield from [True] * stall


async def start(dut: Any, *, reset_cycles: int = 2) -> None:
    """Start the clock and reset the design; returns just after the first rising edge without reset."""
    dut.rst.value = 1
    Clock(dut.clk, CLOCK_NS, unit="ns").start()
    await cycles(dut, reset_cycles)
    dut.rst.value = 0
    await cycles(dut, 1)


async def cycles(dut: Any, count: int) -> None:
    """Wait for `count` rising edges of the clock."""
    for _ in range(count):
        await RisingEdge(dut.clk)


class StreamMonitor:
    """Watches a stream and checks its rules: an offer stays until it is taken, and its payload does not change.

    Nothing is transferred at an edge at which the design is reset.

    Parameters
    ----------
    dut : cocotb handle
        The design, with the ports `clk` and `<name>__payload`, `<name>__valid`, `<name>__ready`.
    name : str
        The stream.
    may_withdraw : bool
        The stream may withdraw an offer (a noise stream that is seeded again).

    Attributes
    ----------
    taken : deque of int
        Payloads transferred and not read yet.
    transfers : int
        Payloads transferred since the start.
    cycle : int
        Clock cycles watched.
    """

    def __init__(self, dut: Any, name: str, *, may_withdraw: bool = False) -> None:
        self._dut = dut
        self._name = name
        self._may_withdraw = may_withdraw
        self._payload = getattr(dut, f"{name}__payload")
        self._valid = getattr(dut, f"{name}__valid")
        self._ready = getattr(dut, f"{name}__ready")
        self._offered: int | None = None
        self.taken: deque[int] = deque()
        self.transfers = 0
        self.cycle = 0
        self._idle()
        self._task = cocotb.start_soon(self._run())

    def _idle(self) -> None:
        """Set the driven ports for a cycle without offer: before the first edge, and while the design is reset."""

    def _drive(self) -> None:
        """Set the driven ports for the cycle that has just begun."""

    def _transferred(self, payload: int) -> None:
        """Note a transfer."""
        self.taken.append(payload)

    async def _run(self) -> None:
        clock = RisingEdge(self._dut.clk)
        while True:
            await clock
            self.cycle += 1
            if self._dut.rst.value == 1:
                self._offered = None
                self._idle()
                continue
            valid, ready = self._valid.value == 1, self._ready.value == 1
            payload = int(self._payload.value) if valid else 0
            if self._offered is not None and (valid or not self._may_withdraw):
                assert valid, f"{self._name}: an offer was withdrawn in cycle {self.cycle}"
                assert payload == self._offered, (
                    f"{self._name}: a stalled payload changed from {self._offered:#x} to {payload:#x}"
                )
            self._offered = payload if valid and not ready else None
            if valid and ready:
                self.transfers += 1
                self._transferred(payload)
            self._drive()

    async def read(self, count: int, *, bound: int = WAIT_CYCLES) -> list[int]:
        """Take `count` payloads out of `taken`; fails when they have not come within `bound` cycles."""
        for _ in range(bound):
            if len(self.taken) >= count:
                break
            await RisingEdge(self._dut.clk)
        assert len(self.taken) >= count, f"{self._name}: {len(self.taken)} of {count} payloads in {bound} cycles"
        return [self.taken.popleft() for _ in range(count)]

    def stop(self) -> None:
        """Watch and drive no longer."""
        self._task.cancel()


class StreamSink(StreamMonitor):
    """Takes payloads, exactly as many as were asked for, with stalls.

    Parameters
    ----------
    stalls : iterator of bool
        True in a cycle in which `ready` is low although a payload is wanted.
    """

    def __init__(
        self, dut: Any, name: str, *, stalls: Iterator[bool] | None = None, may_withdraw: bool = False
    ) -> None:
        self._wanted = 0
        self.stalls = never() if stalls is None else stalls
        super().__init__(dut, name, may_withdraw=may_withdraw)

    def _idle(self) -> None:
        self._ready.value = 0

    def _drive(self) -> None:
        self._ready.value = int(self._wanted > 0 and not next(self.stalls))

    def _transferred(self, payload: int) -> None:
        super()._transferred(payload)
        self._wanted -= 1

    def want(self, count: int) -> None:
        """Take `count` more payloads from now on, without waiting for them."""
        self._wanted += count

    def refuse(self) -> None:
        """Take nothing more from the next edge on, whatever was asked for."""
        self._wanted = 0

    async def read(self, count: int, *, bound: int = WAIT_CYCLES) -> list[int]:
        """Ask for what is missing to `count` payloads and wait for them, at most `bound` cycles."""
        self.want(max(0, count - len(self.taken) - self._wanted))
        return await super().read(count, bound=bound)


class StreamSource(StreamMonitor):
    """Offers payloads in order, with stalls; between offers the payload is random.

    Parameters
    ----------
    stalls : iterator of bool
        True in a cycle in which `valid` stays low although a payload waits.
    """

    def __init__(self, dut: Any, name: str, *, stalls: Iterator[bool] | None = None) -> None:
        self._waiting: deque[int] = deque()
        self._rng = random.Random(0)
        self.stalls = never() if stalls is None else stalls
        super().__init__(dut, name)

    def _idle(self) -> None:
        self._valid.value = 0
        self._payload.value = 0

    def _transferred(self, payload: int) -> None:
        self._waiting.popleft()

    def _drive(self) -> None:
        if self._offered is not None:
            return
        offer = bool(self._waiting) and not next(self.stalls)
        self._valid.value = int(offer)
        self._payload.value = self._waiting[0] if offer else self._rng.getrandbits(len(self._payload))

    def put(self, payloads: Iterable[int]) -> None:
        """Offer payloads from now on, without waiting for them."""
        self._waiting.extend(payloads)

    def drop(self) -> None:
        """Forget all payloads that wait; only while the design is reset, as it withdraws the one on offer."""
        self._waiting.clear()
        self._idle()

    async def send(self, payloads: Iterable[int], *, bound: int = WAIT_CYCLES) -> None:
        """Offer payloads and wait until all are taken; fails after `bound` cycles."""
        self.put(payloads)
        for _ in range(bound):
            if not self._waiting:
                return
            await RisingEdge(self._dut.clk)
        assert not self._waiting, f"{self._name}: {len(self._waiting)} payloads not taken in {bound} cycles"
