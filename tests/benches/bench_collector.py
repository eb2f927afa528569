# SPDX-License-Identifier: Apache-2.0
"""Collector on the RTL: order, keep, tags, last, tail weights and spreads, with stalls on every stream."""

import random
from pathlib import Path

import cocotb
from cocotb.triggers import RisingEdge

from hw.spec.config import TsuConfig
from hw.tsu.collector import Collector
from hw.tsu.layouts import beat_layout, job_layout
from sim.bench_file import load_module
from sim.bfm import StreamSink, StreamSource, cycles, start

_SUPPORT = load_module(Path(__file__).with_name("support.py"))

CONFIG = TsuConfig(k_max=8, vocab_max=64, weight_bits=12, headroom_bits=2, guard_bits=4, tail_noise_bits=8)
CONFIGS = {f"lanes-{lanes}": CONFIG.with_fields(lanes=lanes) for lanes in (1, 2, 4)} | {
    "lanes-4-deep": CONFIG.with_fields(lanes=4, level_stages=3)
}


def toplevel(config):
    return lambda: _SUPPORT.Streamed(Collector(config=config))


TOPLEVELS = {name: toplevel(config) for name, config in CONFIGS.items()}


def config():
    return CONFIGS[_SUPPORT.base_variant()]


def ref_beats(jobs, results, *, position: int = 0):
    """Beats (tag, last, spread, draws by lane) of jobs (bank, tag, count, spread, tail_weight)."""
    beats, lanes = [], config().lanes
    for _, tag, count, spread, tail_weight in jobs:
        beat = {}
        for left in range(count, 0, -1):
            lane = position % lanes
            token, weight, tail = results[position]
            beat[lane] = (token, tail_weight if tail else weight, tail)
            position += 1
            if position % lanes == 0 or left == 1:
                beats.append((tag, int(left == 1), spread, beat))
                beat = {}
    return beats


class Bench:
    """Feeds jobs, parameters and results; watches beats and strobes."""

    def __init__(self, dut, *, jobs: str, results: str, beats: str) -> None:
        self.dut, self.lanes = dut, config().lanes
        self.jobs = StreamSource(dut, "i_job", stalls=_SUPPORT.stalls(jobs, 1))
        self.results = [
            StreamSource(dut, f"i_result_{lane}", stalls=_SUPPORT.stalls(results, 10 + lane))
            for lane in range(self.lanes)
        ]
        self.beats = StreamSink(dut, "o_beat", stalls=_SUPPORT.stalls(beats, 3))
        self.done, self.copied, self.params = [], 0, []
        self.restart = dut.restart_stb
        self.restart.value = 0
        cocotb.start_soon(self._watch())

    async def _watch(self) -> None:
        dut = self.dut
        while True:
            await RisingEdge(dut.clk)
            if dut.done_stb.value == 1:
                self.done.append(int(dut.done_bank.value))
            if dut.copied_stb.value == 1:
                self.copied += 1
                self.params.pop(0)
            # Before and after the copy the port is free to change.
            spread, weight = self.params[0] if self.params else (random.getrandbits(6), random.getrandbits(14))
            dut.params__spread.value, dut.params__tail_weight.value = spread, weight

    def put_job(self, bank: int, fresh: bool, count: int, tag: int) -> None:
        word = {"bank": bank, "fresh": int(fresh), "count": count, "tag": tag}
        self.jobs.put([_SUPPORT.pack(job_layout(), word)])

    def put_results(self, results, *, position: int = 0) -> None:
        shape = _SUPPORT.data.StructLayout({"token": 6, "weight": 12, "tail": 1})
        for index, (token, weight, tail) in enumerate(results):
            word = {"token": token, "weight": weight, "tail": tail}
            self.results[(position + index) % self.lanes].put([_SUPPORT.pack(shape, word)])

    async def check_beats(self, expected) -> None:
        layout = beat_layout(config())
        for index, payload in enumerate(await self.beats.read(len(expected), bound=50_000)):
            beat, (tag, last, spread, draws) = _SUPPORT.unpack(layout, payload), expected[index]
            assert beat["keep"] == sum(1 << lane for lane in draws), f"beat {index}: keep {beat['keep']:#b}"
            assert (beat["tag"], beat["last"]) == (tag, last), f"beat {index}: tag and last"
            for lane, (token, weight, tail) in draws.items():
                found = beat["draws"][lane]
                assert found == {"token": token, "weight": weight, "tail": tail}, f"beat {index}, lane {lane}: {found}"
                assert not tail or beat["spread"] == spread, f"beat {index}: spread {beat['spread']}"


def some_results(rng: random.Random, count: int) -> list[tuple[int, int, int]]:
    return [(index % 64, rng.getrandbits(12), rng.randrange(2)) for index in range(count)]


LETTERS = {"n": "none", "r": "random", "b": "bursts"}


@cocotb.test(timeout_time=2, timeout_unit="ms")
@cocotb.parametrize(kinds=["nnn", "rnn", "nrn", "nnr", "bnn", "nbn", "nnb", "rrr", "bbb"])
async def draws_of_many_jobs_come_in_order(dut, kinds):
    """120 jobs of 1 to 23 draws, two banks: stalls on jobs, results and beats (one letter each) mix up nothing."""
    jobs_kind, results_kind, beats_kind = (LETTERS[letter] for letter in kinds)
    bench = Bench(dut, jobs=jobs_kind, results=results_kind, beats=beats_kind)
    rng = random.Random(41)
    jobs, bank, spread, weight = [], 0, 0, 0
    for number in range(120):
        fresh = number == 0 or rng.random() < 0.4
        if fresh:
            bank, spread, weight = 1 - bank, rng.getrandbits(6), rng.getrandbits(14)
            bench.params.append((spread, weight))
        jobs.append((bank, rng.getrandbits(16), rng.choice([1, 1, 2, 3, 4, 5, 8, 23]), spread, weight))
        bench.put_job(bank, fresh, jobs[-1][2], jobs[-1][1])
    fresh_jobs = len(bench.params)
    results = some_results(rng, sum(job[2] for job in jobs))
    bench.put_results(results)
    await start(dut)
    await bench.check_beats(ref_beats(jobs, results))
    await cycles(dut, 20)
    assert bench.done == [job[0] for job in jobs], "done_stb does not come once for each job, in order"
    assert bench.copied == fresh_jobs
    assert not bench.beats.taken


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def one_beat_per_cycle(dut):
    """A job of 1000 draws: one beat a cycle; a job costs at most a few cycles more."""
    bench = Bench(dut, jobs="none", results="none", beats="none")
    rng, lanes = random.Random(42), config().lanes
    bench.params.append((9, 99))
    jobs = [(1, 7, 1000, 9, 99)] + [(1, tag, lanes, 9, 99) for tag in range(50)]
    results = some_results(rng, sum(job[2] for job in jobs))
    for number, (bank, tag, count, _, _) in enumerate(jobs):
        bench.put_job(bank, number == 0, count, tag)
    bench.put_results(results)
    bench.beats.want(1 << 40)
    await start(dut)
    expected = ref_beats(jobs, results)
    first = bench.beats.cycle
    while len(bench.beats.taken) < 1000 // lanes:
        await RisingEdge(dut.clk)
    spent = bench.beats.cycle - first
    assert spent <= 1000 // lanes + 10, f"{spent} cycles for {1000 // lanes} beats"
    await bench.check_beats(expected[: 1000 // lanes])
    first = bench.beats.cycle
    await bench.check_beats(expected[1000 // lanes :])
    spent = bench.beats.cycle - first
    assert spent <= 4 * 50, f"50 jobs of one beat took {spent} cycles"


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def restart_begins_at_lane_0(dut):
    """After `restart_stb` between jobs the next draw is lane 0's."""
    bench, rng = Bench(dut, jobs="none", results="random", beats="random"), random.Random(43)
    bench.params.append((5, 50))
    await start(dut)
    for number in range(8):
        count = 1 + number
        results = some_results(rng, count)
        bench.put_job(0, number == 0, count, number)
        bench.put_results(results)
        await bench.check_beats(ref_beats([(0, number, count, 5, 50)], results))
        dut.restart_stb.value = 1
        await cycles(dut, 1)
        dut.restart_stb.value = 0


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def reset_in_mid_job(dut):
    """After a reset no beat is left, and the next job begins at lane 0."""
    bench, rng = Bench(dut, jobs="none", results="none", beats="none"), random.Random(44)
    await start(dut)
    for wait in (1, 2, 3, 4, 9):
        bench.params[:] = [(5, 50)]
        bench.put_job(0, True, 30, 1)
        bench.put_results(some_results(rng, 30))
        await cycles(dut, wait)
        dut.rst.value = 1
        await cycles(dut, 1)
        for source in (bench.jobs, *bench.results):
            source.drop()
        await cycles(dut, 1)
        dut.rst.value = 0
        await cycles(dut, 3)
        assert dut.o_beat__valid.value == 0
        results = some_results(rng, 6)
        bench.params[:] = [(6, 60)]
        bench.put_job(1, True, 6, 2)
        bench.put_results(results)
        await bench.check_beats(ref_beats([(1, 2, 6, 6, 60)], results))
        dut.rst.value = 1
        await cycles(dut, 2)
        dut.rst.value = 0
