# SPDX-License-Identifier: Apache-2.0
"""BeatMerger on the RTL: every beat once, whole, in the order of its group; the groups take turns."""

import random
from itertools import pairwise
from pathlib import Path

import cocotb
from cocotb.triggers import RisingEdge

from hw.spec.config import TsuConfig
from hw.tsu.beat_merger import BeatMerger
from hw.tsu.layouts import beat_signature, merged_beat_signature
from sim.bench_file import load_module
from sim.bfm import StreamSink, StreamSource, never, start

_SUPPORT = load_module(Path(__file__).with_name("support.py"))

SMALL = TsuConfig(k_max=8, vocab_max=64, weight_bits=12, headroom_bits=2, guard_bits=4, tail_noise_bits=8)
CONFIGS = {
    "groups-2": SMALL.with_fields(groups=2, lanes=2),
    "groups-3": SMALL.with_fields(groups=3),
    "groups-16": SMALL.with_fields(groups=16, lanes=4),
}


def toplevel(config):
    return lambda: _SUPPORT.Streamed(BeatMerger(config=config))


TOPLEVELS = {name: toplevel(config) for name, config in CONFIGS.items()}


def config() -> TsuConfig:
    return CONFIGS[_SUPPORT.base_variant()]


class Bench:
    """A source for each group, and the merged beats."""

    def __init__(self, dut, *, kind: str) -> None:
        self.dut = dut
        count = config().groups
        self.sources = [
            StreamSource(dut, f"i_beat_{group}", stalls=_SUPPORT.stalls(kind, group)) for group in range(count)
        ]
        self.beats = StreamSink(dut, "o_beat", stalls=_SUPPORT.stalls(kind, 99))

    async def read(self, count: int) -> list[tuple[int, int]]:
        """Group and payload of the next beats."""
        shape = _SUPPORT.payload_of(merged_beat_signature(config()))
        given = _SUPPORT.payload_of(beat_signature(config()))
        found = []
        for payload in await self.beats.read(count, bound=50_000):
            beat = _SUPPORT.unpack(shape, payload)
            found.append((beat.pop("group"), _SUPPORT.pack(given, beat)))
        return found


async def started(dut, *, kind: str = "none") -> Bench:
    bench = Bench(dut, kind=kind)
    await start(dut)
    return bench


def random_beats(seed: int, count: int) -> list[int]:
    rng = random.Random(seed)
    bits = _SUPPORT.payload_of(beat_signature(config())).size
    return [rng.getrandbits(bits) for _ in range(count)]


@cocotb.test(timeout_time=3, timeout_unit="ms")
@cocotb.parametrize(kind=list(_SUPPORT.STALLS))
async def every_beat_once_and_whole(dut, kind):
    """Random beats of all groups: each comes out as it went in, with the number of its group, in its order."""
    bench = await started(dut, kind=kind)
    given = [random_beats(group, 200) for group in range(config().groups)]
    for source, beats in zip(bench.sources, given, strict=True):
        source.put(beats)
    found = await bench.read(200 * config().groups)
    for group, beats in enumerate(given):
        _SUPPORT.check([payload for owner, payload in found if owner == group], beats, f"beats of group {group}")


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def saturated_groups_take_turns(dut):
    """All groups offer beats without a pause: one beat per cycle, 0, 1, 2, ..., 0, 1, 2, ..."""
    bench = await started(dut)
    bench.beats.want(1 << 40)
    count = config().groups
    for group, source in enumerate(bench.sources):
        source.put(random_beats(group, 100))
    await bench.read(count)
    first = bench.beats.cycle
    found = [group for group, _ in await bench.read(90 * count)]
    assert all((before + 1) % count == after for before, after in pairwise(found)), found[: 3 * count]
    assert bench.beats.cycle - first == 90 * count


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def one_group_alone_has_every_cycle(dut):
    """Whichever group it is."""
    bench = await started(dut)
    bench.beats.want(1 << 40)
    for group, source in enumerate(bench.sources):
        source.put(random_beats(group, 50))
        await bench.read(2)
        first = bench.beats.cycle
        await bench.read(48)
        assert bench.beats.cycle - first == 48


@cocotb.test(timeout_time=1, timeout_unit="ms")
@cocotb.parametrize(kind=["none", "random"])
async def a_rare_beat_waits_for_one_of_each_other_group(dut, kind):
    """All groups but one are saturated; between offer and taking of its beat each of them gets one beat at most."""
    bench = await started(dut, kind=kind)
    count, rng = config().groups, random.Random(4)
    for group, source in enumerate(bench.sources[:-1]):
        source.stalls = never()
        source.put(random_beats(group, 3000))
    rare = bench.sources[-1]
    rare.stalls = never()
    bench.beats.want(1 << 40)
    for turn in range(30):
        for _ in range(rng.randrange(10)):
            await RisingEdge(dut.clk)
        rare.put(random_beats(turn, 1))
        while rare._valid.value != 1:
            await RisingEdge(dut.clk)
        before, taken = [source.transfers for source in bench.sources], rare.transfers
        while rare.transfers == taken:
            await RisingEdge(dut.clk)
        passed = [source.transfers - old for source, old in zip(bench.sources[:-1], before, strict=False)]
        # The monitors count an edge late: the one at which the beat was offered is among them.
        assert max(passed) <= 2 and sum(passed) <= count, f"{passed} beats passed by"
    assert rare.transfers == 30
