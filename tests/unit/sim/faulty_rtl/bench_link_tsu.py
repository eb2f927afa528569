# SPDX-License-Identifier: Apache-2.0
"""Seeded bugs of the way back; the bench of the whole SerialTsu must fail on each."""

from pathlib import Path
from typing import Any

from amaranth.hdl import Const

import hw.link.serial_tsu as serial_tsu
from hw.link.frame_sender import FrameSender
from hw.link.page_sender import PageSender
from hw.link.serial_tsu import SerialTsu
from sim.bench_file import load_module

_BENCH = load_module(Path(__file__).parents[3] / "benches" / "bench_link_tsu.py")

draws_equal_the_reference_stream = _BENCH.draws_equal_the_reference_stream
a_host_that_stops_reading_stops_nothing = _BENCH.a_host_that_stops_reading_stops_nothing
psi_in_flight_together = _BENCH.psi_in_flight_together


class NoWindow(PageSender):
    """Writes over frames that the host has not acknowledged."""

    def elaborate(self, platform: Any) -> Any:
        m = super().elaborate(platform)
        m.d.comb += self.free.eq(1)
        return m


class DrawLosesABit(FrameSender):
    """Clears the lowest bit of each byte of a draw."""

    def _draws(self, m: Any, filled: Any, index: Any, trailer: Any) -> Any:
        byte, *rest = super()._draws(m, filled, index, trailer)
        return byte & Const(0xFE, 8), *rest


class OneDraft(FrameSender):
    """Collects the draws of all groups in one page."""

    def _run(self) -> Any:
        filled, page = super()._run()
        return filled, page & Const(0, len(page))


def with_pages(pages: type) -> SerialTsu:
    """A SerialTsu whose sender keeps its frames in `pages`."""
    tsu = SerialTsu(**_BENCH.options("small-1"))
    tsu._sender._pages.__class__ = pages
    return tsu


def with_sender(sender: type, variant: str = "small-1") -> SerialTsu:
    """A SerialTsu with another sender."""
    kept = serial_tsu.FrameSender
    serial_tsu.FrameSender = sender  # type: ignore[misc]
    try:
        return SerialTsu(**_BENCH.options(variant))
    finally:
        serial_tsu.FrameSender = kept  # type: ignore[misc]


TOPLEVELS = {
    "small-1+no-window": lambda: with_pages(NoWindow),
    "small-1+draw-loses-a-bit": lambda: with_sender(DrawLosesABit),
    "groups-3+one-draft-for-all": lambda: with_sender(OneDraft, "groups-3"),
}
