# SPDX-License-Identifier: Apache-2.0
"""A whole TSU in a bench: commands in, statuses and draws out, the rules of both checked."""

from collections import deque
from collections.abc import Iterable
from typing import Any

import numpy as np

from host.psi.schema import Psi
from host.tsu.lowering import (
    block_command,
    context_command,
    draw_command,
    load_command,
    lower,
    seed_command,
    table_command,
    weight_table,
)
from hw.spec.commands import GroupChoice, Opcode, Status, WeightMode
from hw.spec.config import TsuConfig
from sim.bfm import StreamSink, StreamSource, cycles, never, random_stalls, start
from sim.coverage.observe import observe

STREAMS = ("i_command", "o_status", "o_draw")
"""The streams of a TSU."""

ENDLESS = 1 << 62
"""More payloads than any test takes."""


class TsuDriver:
    """Sends commands, checks statuses, and takes draws.

    Parameters
    ----------
    dut : cocotb handle
    config : TsuConfig
    stalled : names of the streams that stall at random
    """

    def __init__(self, dut: Any, config: TsuConfig, *, stalled: Iterable[str] = ()) -> None:
        self.dut, self.config = dut, config
        pattern = {name: never() for name in STREAMS}
        pattern.update({name: random_stalls(0.5, seed=len(name)) for name in stalled})
        self.source = StreamSource(dut, "i_command", stalls=pattern["i_command"])
        self.statuses = StreamSink(dut, "o_status", stalls=pattern["o_status"])
        self.draws = StreamSink(dut, "o_draw", stalls=pattern["o_draw"])
        self._tag = 0
        self._groups: dict[int, int] = {}  # by tag
        self._choice = GroupChoice(config.groups)
        self.restart()
        self._mode = WeightMode.TABLE if config.has_table else WeightMode.EXP2
        dut.register_address.value = 0
        observe(dut, config)

    async def start(self) -> None:
        """Start the clock, reset, and take whatever comes from now on."""
        await start(self.dut)
        self.statuses.want(ENDLESS)
        self.draws.want(ENDLESS)

    def restart(self) -> None:
        """The next draw of every group is made by its lane 0."""
        self._positions = [0] * self.config.groups
        self._beats: list[deque[dict[str, Any]]] = [deque() for _ in self._positions]  # not asked for yet

    def next_tag(self) -> int:
        """A tag that differs from the ones before it."""
        self._tag = (self._tag + 0x1235) & 0xFFFF
        return self._tag

    def put(self, words: Iterable[int]) -> None:
        """Offer one command, without waiting."""
        values = [int(word) for word in words]
        self._groups[values[0] >> 16] = self._choice.of(values[0]).start
        self.source.put(values[:-1])
        self.source.put([values[-1] | 1 << 32])

    def group(self, tag: int) -> int:
        """Group of the command that was offered last under this tag, by `put` where there are several groups."""
        return self._groups[tag] if self.config.groups > 1 else 0

    async def status(self, *, bound: int = 20_000) -> tuple[int, int, Status, int]:
        """Tag, opcode, code and total of the next status."""
        (word,) = await self.statuses.read(1, bound=bound)
        return word & 0xFFFF, word >> 16 & 0xFF, Status(word >> 24 & 0xFF), word >> 32

    async def execute(self, words: Iterable[int]) -> tuple[Status, int]:
        """Send one command; code and total of its status."""
        values = [int(word) for word in words]
        self.put(values)
        tag, opcode, code, total = await self.status()
        assert (opcode, tag) == (values[0] & 0xFF, values[0] >> 16), "the status belongs to another command"
        return code, total

    async def table(self, psi: Psi) -> None:
        """Load the weight table of a psi."""
        words = table_command(weight_table(psi.scale, psi.tau, self.config.weight_bits), tag=self.next_tag())
        assert await self.execute(words) == (Status.OK, 0), "TABLE was refused"

    async def seed(self, seed: int) -> None:
        """Start the stream again."""
        result = await self.execute(seed_command(self.config, seed, tag=self.next_tag()))
        assert result == (Status.OK, 0), "SEED was refused"
        self.restart()

    def put_load(self, psi: Psi, count: int, mode: str) -> int:
        """Offer a LOAD (its table must be there); returns its tag."""
        tag = self.next_tag()
        lowered = lower(psi, self.config, WeightMode[mode.upper()])
        self.put(load_command(lowered, count=count, tag=tag))
        return tag

    def put_draw(self, count: int) -> int:
        """Offer a DRAW; returns its tag."""
        tag = self.next_tag()
        self.put(draw_command(count=count, tag=tag))
        return tag

    def put_context(self, slot: int, psi: Psi, mode: str) -> int:
        """Offer a CONTEXT (its table must be there); returns its tag."""
        tag = self.next_tag()
        self.put(context_command(lower(psi, self.config, WeightMode[mode.upper()]), slot=slot, tag=tag))
        return tag

    def put_block(self, contexts: list[int], length: int) -> int:
        """Offer a BLOCK; returns its tag."""
        tag = self.next_tag()
        self.put(block_command(np.array(contexts, dtype=np.uint32), length=length, tag=tag))
        return tag

    async def load_bank(self, bank: dict[int, Psi], mode: str) -> None:
        """Put psi into their slots; those of table mode have one scale and temperature."""
        if mode == "table" and bank:
            await self.table(next(iter(bank.values())))
        tags = [self.put_context(slot, psi, mode) for slot, psi in bank.items()]
        for tag in tags:
            await self.good_status(tag, Opcode.CONTEXT)

    async def take_block(self, streams: int, *, tag: int, bound: int = 20_000) -> list[list[tuple[int, int, int]]]:
        """Rows (token, weight, spread) of each stream of a BLOCK; checks lanes, tag, ends and last."""
        lanes = self.config.lanes
        rows: list[list[tuple[int, int, int]]] = [[] for _ in range(streams)]
        going = set(range(streams))
        while going:
            beat = unpack_beat((await self.draws.read(1, bound=bound))[0], self.config)
            assert (beat["block"], beat["tag"]) == (1, tag), f"a beat of {beat['tag']:#x}, expected block {tag:#x}"
            assert beat["keep"], "a beat without a draw"
            for lane in range(lanes):
                if not beat["keep"] >> lane & 1:
                    continue
                token, weight, _, spread, stream, ends = beat["draws"][lane]
                assert stream in going and stream % lanes == lane, f"a draw of stream {stream} from lane {lane}"
                rows[stream].append((token, weight, spread))
                if ends:
                    going.remove(stream)
            assert beat["last"] == (not going), f"last is {beat['last']} while {len(going)} streams go on"
        return rows

    async def good_status(self, tag: int, opcode: Opcode) -> int:
        """The next status, which must be OK; returns the total."""
        found = await self.status()
        assert found[:3] == (tag, opcode, Status.OK), f"status {found}, expected OK of {opcode.name} {tag:#x}"
        return found[3]

    async def load(self, psi: Psi, count: int = 0, *, mode: str = "table") -> tuple[int, int]:
        """LOAD with its table; returns tag and total."""
        if mode == "table":
            await self.table(psi)
        tag = self.put_load(psi, count, mode)
        return tag, await self.good_status(tag, Opcode.LOAD)

    async def draw(self, count: int) -> tuple[int, int]:
        """DRAW; returns tag and total."""
        tag = self.put_draw(count)
        return tag, await self.good_status(tag, Opcode.DRAW)

    async def take(
        self, count: int, *, tag: int, whole: bool = True, bound: int = 10_000
    ) -> list[tuple[int, int, int]]:
        """Draws of one command as (token, weight, spread), in order; checks keep, tag and last.

        Where they are not the `whole` of the command, `count` has to end with a lane. Beats of other groups that come
        meanwhile are kept.
        """
        if count == 0:
            return []
        lanes, group, rows = self.config.lanes, self.group(tag), []
        beats = -(-(self._positions[group] + count) // lanes)
        while (missing := beats - len(self._beats[group])) > 0:
            for payload in await self.draws.read(missing if self.config.groups == 1 else 1, bound=bound):
                beat = unpack_beat(payload, self.config)
                self._beats[beat["group"]].append(beat)
        for index in range(beats):
            beat = self._beats[group].popleft()
            first = self._positions[group]
            end = min(lanes, first + count - len(rows))
            assert beat["keep"] == (1 << end) - (1 << first), f"keep {beat['keep']:#b}, expected lanes {first}..{end}"
            assert beat["tag"] == tag, f"a draw of command {beat['tag']:#x}, expected {tag:#x}"
            assert beat["last"] == (whole and index == beats - 1), f"last is {beat['last']} in beat {index} of {beats}"
            assert not beat["block"], "a draw of a block"
            for token, weight, tail, *_ in beat["draws"][first:end]:
                rows.append((token, weight, beat["spread"] if tail else 1))
            self._positions[group] = end % lanes
        return rows

    async def reset(self) -> None:
        """Reset in mid-stream: what was offered, owed or on its way is forgotten."""
        self.dut.rst.value = 1
        await cycles(self.dut, 1)
        self.source.drop()
        await cycles(self.dut, 1)
        self.dut.rst.value = 0
        await cycles(self.dut, 1)
        self.statuses.taken.clear()
        self.draws.taken.clear()
        self._choice = GroupChoice(self.config.groups)
        self.restart()


def unpack_beat(payload: int, config: TsuConfig) -> dict[str, Any]:
    """Fields of one beat; `draws` holds (token, weight, tail) of every lane, and the only group is number 0.

    With contexts, `draws` holds (token, weight, tail, spread, stream, ends).
    """
    draws = []
    widths = [config.id_bits, config.total_bits, 1]
    if config.contexts:
        widths += [config.id_bits, config.stream_bits, 1]
    for _ in range(config.lanes):
        draw = []
        for width in widths:
            draw.append(payload & ((1 << width) - 1))
            payload >>= width
        draws.append(tuple(draw))
    keep = payload & ((1 << config.lanes) - 1)
    payload >>= config.lanes
    spread = payload & ((1 << config.id_bits) - 1)
    payload >>= config.id_bits
    tag, last, rest = payload & 0xFFFF, payload >> 16 & 1, payload >> 17
    group, block = (0, rest) if config.contexts else (rest, 0)
    return {
        "draws": draws, "keep": keep, "spread": spread, "tag": tag, "last": last, "group": group, "block": block
    }  # fmt: skip
