# SPDX-License-Identifier: Apache-2.0
"""Scheduler on the RTL: shares of every job, one job after the other, banks and parameters in use."""

import random
from functools import partial
from pathlib import Path

import cocotb
from cocotb.triggers import RisingEdge

from hw.spec.config import TsuConfig
from hw.tsu.layouts import job_layout, start_layout
from hw.tsu.scheduler import Scheduler
from sim.bench_file import load_module
from sim.bfm import StreamSink, StreamSource, cycles, start

_SUPPORT = load_module(Path(__file__).with_name("support.py"))

CONFIGS = {f"lanes-{lanes}": TsuConfig(lanes=lanes) for lanes in (1, 4)}
TOPLEVELS = {name: partial(Scheduler, config=config) for name, config in CONFIGS.items()}


class Bench:
    """Models of loader, lanes and collector around the scheduler."""

    def __init__(self, dut, *, kind: str, slowest: int = 6) -> None:
        self.dut, self.lanes = dut, CONFIGS[_SUPPORT.base_variant()].lanes
        self.rng, self.slowest = random.Random(51), slowest
        self.jobs = StreamSource(dut, "i_job", stalls=_SUPPORT.stalls(kind, 1))
        self.collector = StreamSink(dut, "o_job", stalls=_SUPPORT.stalls(kind, 2))
        self.collector.want(1)
        self.starts: list[list[dict]] = []
        self.busy = [0] * self.lanes
        self.active: dict | None = None
        self.banks, self.params = [0, 0], 0
        for port in (dut.copied_stb, dut.done_stb, dut.done_bank, dut.restart_stb):
            port.value = 0
        dut.idle.value = (1 << self.lanes) - 1
        cocotb.start_soon(self._run())

    async def _run(self) -> None:
        """Every cycle: check what is in use, take starts, let lanes work, end jobs."""
        dut, taken, accepted = self.dut, 0, 0
        copied, done = 0, None
        in_use, params = 0, 0  # as the scheduler shows them: arrivals and departures a cycle late
        while True:
            await RisingEdge(dut.clk)
            if dut.rst.value == 1:
                in_use = params = 0
                continue
            assert int(dut.bank_in_use.value) == in_use, f"bank_in_use {in_use:#b}"
            assert int(dut.params_in_use.value) == params, "params_in_use"
            in_use = sum((self.banks[bank] > 0) << bank for bank in (0, 1))
            params = self.params & ~copied
            # What happens at this edge.
            if done is not None:
                self.banks[done] -= 1
            self.params &= ~copied & 1
            if self.jobs.transfers > accepted:
                accepted += 1
                job = _SUPPORT.unpack(job_layout(), self.offered.pop(0))
                self.banks[job["bank"]] += 1
                self.params |= job["fresh"]
            started = [_SUPPORT.unpack(start_layout(), int(port.value)) for port in self._ports()]
            if any(each["stb"] for each in started):
                assert all(each["stb"] for each in started), "the lanes do not start together"
                assert not any(self.busy), "started while a lane is not idle"
                self.starts.append(started)
                self.busy = [self.rng.randint(1, self.slowest) if each["count"] else 0 for each in started]
            else:
                self.busy = [max(0, left - 1) for left in self.busy]
            dut.idle.value = sum((left == 0) << lane for lane, left in enumerate(self.busy))
            copied, done = 0, None
            if self.collector.transfers > taken:
                taken += 1
                self.active = _SUPPORT.unpack(job_layout(), self.collector.taken[-1]) | {"left": self.rng.randint(3, 9)}
                copied = self.active["fresh"]
            elif self.active:
                self.active["left"] -= 1
                if self.active["left"] <= 0:  # whether or not the lanes have settled
                    done, self.active = self.active["bank"], None
                    self.collector.want(1)
            dut.copied_stb.value, dut.done_stb.value = copied, int(done is not None)
            dut.done_bank.value = self.rng.randrange(2) if done is None else done

    def _ports(self):
        return [getattr(self.dut, f"start__{lane}") for lane in range(self.lanes)]

    def put(self, jobs: list[dict]) -> None:
        words = [_SUPPORT.pack(job_layout(), job) for job in jobs]
        self.offered = list(words)
        self.jobs.put(words)

    async def finish(self, count: int, *, bound: int = 20_000) -> None:
        """Wait until `count` jobs have started and all are done."""
        for _ in range(bound):
            await RisingEdge(self.dut.clk)
            if len(self.starts) == count and not any(self.busy) and self.active is None:
                return
        raise AssertionError(f"{len(self.starts)} of {count} jobs in {bound} cycles")


def shares(count: int, first: int, lanes: int) -> list[int]:
    """Draws of each lane: draw i belongs to lane (first + i) mod lanes."""
    found = [count // lanes] * lanes
    for index in range(count % lanes):
        found[(first + index) % lanes] += 1
    return found


def some_jobs(rng: random.Random, count: int) -> list[dict]:
    jobs, bank = [], 0
    for _ in range(count):
        fresh = rng.random() < 0.3
        bank ^= fresh
        size = rng.choice([1, 2, 3, 4, 5, 6, 7, 8, 1000, 1001, (1 << 32) - 1, (1 << 32) - 2])
        jobs.append({"bank": bank, "fresh": int(fresh), "count": size, "tag": rng.getrandbits(16)})
    return jobs


@cocotb.test(timeout_time=2, timeout_unit="ms")
@cocotb.parametrize(kind=list(_SUPPORT.STALLS))
async def every_lane_gets_its_share(dut, kind):
    """200 jobs: count, bank and fresh of every lane; jobs reach the collector in order; what is in use is known."""
    bench, jobs = Bench(dut, kind=kind), some_jobs(random.Random(52), 200)
    # A fresh job only comes when the parameters before it were copied, as the loader sees to.
    bench.put(jobs)
    await start(dut)
    await bench.finish(len(jobs))
    first = 0
    for number, (job, started) in enumerate(zip(jobs, bench.starts, strict=True)):
        expected = shares(job["count"], first, bench.lanes)
        assert [each["count"] for each in started] == expected, f"job {number}: {started}, expected {expected}"
        assert all(each["some"] == (each["count"] > 0) for each in started), f"job {number}: {started}"
        assert all(each["bank"] == job["bank"] and each["fresh"] == job["fresh"] for each in started), f"job {number}"
        first = (first + job["count"]) % bench.lanes
    received = [_SUPPORT.unpack(job_layout(), word) for word in bench.collector.taken]
    _SUPPORT.check(received, jobs, "jobs at the collector")


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def restart_begins_at_lane_0(dut):
    """After `restart_stb` the odd draws of a job go to the lanes from 0 on."""
    bench = Bench(dut, kind="none")
    await start(dut)
    for number in range(6):
        bench.put([{"bank": 0, "fresh": 0, "count": 1 + number, "tag": number}])
        await bench.finish(number + 1)
        await cycles(dut, 3)
        found = [each["count"] for each in bench.starts[-1]]
        assert found == shares(1 + number, 0, bench.lanes), f"{found} for {1 + number} draws"
        dut.restart_stb.value = 1
        await cycles(dut, 1)
        dut.restart_stb.value = 0


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def a_job_waits_for_the_slowest_lane(dut):
    """Lanes that take up to 200 cycles: no start before all are idle."""
    bench, jobs = Bench(dut, kind="none", slowest=200), some_jobs(random.Random(53), 12)
    bench.put(jobs)
    await start(dut)
    await bench.finish(len(jobs))


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def reset_forgets_the_jobs(dut):
    """After a reset no bank is in use and no job starts."""
    bench = Bench(dut, kind="none", slowest=1)
    await start(dut)
    bench.put([{"bank": 1, "fresh": 1, "count": 9, "tag": 1}] * 3)
    await cycles(dut, 6)
    dut.rst.value = 1
    await cycles(dut, 1)
    bench.jobs.drop()
    bench.offered.clear()
    bench.banks, bench.params, bench.active, bench.busy = [0, 0], 0, None, [0] * bench.lanes
    dut.idle.value = (1 << bench.lanes) - 1
    dut.done_stb.value = dut.copied_stb.value = 0
    await cycles(dut, 1)
    dut.rst.value = 0
    started = len(bench.starts)
    await cycles(dut, 30)
    assert len(bench.starts) == started
