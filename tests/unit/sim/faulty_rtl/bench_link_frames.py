# SPDX-License-Identifier: Apache-2.0
"""Seeded bugs of the frame receiver; its bench must fail on each."""

from functools import partial
from pathlib import Path
from typing import Any

from amaranth.hdl import Const, Signal

import hw.link.frame_receiver as receiver
from hw.link.frame_receiver import FrameReceiver
from sim.bench_file import load_module

_BENCH = load_module(Path(__file__).parents[3] / "benches" / "bench_link_frames.py")

each_rule_refuses_and_the_next_frame_is_taken = _BENCH.each_rule_refuses_and_the_next_frame_is_taken
commands_come_out_whole_and_once = _BENCH.commands_come_out_whole_and_once
control_frames_pass_commands_that_wait = _BENCH.control_frames_pass_commands_that_wait


class AnyCrc(FrameReceiver):
    """Takes every CRC."""

    def _judge(self, m: Any, facts: Any, crc_good: Any) -> Any:
        return super()._judge(m, facts, Const(1))


class TakesTwice(FrameReceiver):
    """Takes a frame again that was taken already."""

    def _judge(self, m: Any, facts: Any, crc_good: Any) -> Any:
        facts.due = facts.due | facts.taken
        return super()._judge(m, facts, crc_good)


class NoRoomCheck(FrameReceiver):
    """Takes a command frame whose page is still in use."""

    def _judge(self, m: Any, facts: Any, crc_good: Any) -> Any:
        room, self.room = self.room, Const(1)
        try:
            return super()._judge(m, facts, crc_good)
        finally:
            self.room = room


class ShortFrames(FrameReceiver):
    """Counts from 0 before the length has come, so that four zeros are a whole frame."""

    def _collect(self, m: Any, cobs: Any, crc: Any, index: Any) -> Any:
        made = receiver._Facts

        def facts() -> Any:
            found = made()
            found.left = Signal(8)
            return found

        receiver._Facts = facts  # type: ignore[misc,assignment]
        try:
            return super()._collect(m, cobs, crc, index)
        finally:
            receiver._Facts = made  # type: ignore[misc]


BUGS = {"any-crc": AnyCrc, "takes-twice": TakesTwice, "no-room-check": NoRoomCheck, "short-frames": ShortFrames}
TOPLEVELS = {f"pages-2+{name}": partial(bug, pages=2) for name, bug in BUGS.items()}
