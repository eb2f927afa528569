# SPDX-License-Identifier: Apache-2.0
"""What a configuration with contexts has, and what cannot carry its blocks."""

import gc

import pytest

from hw.axi.draw_unpacker import DrawUnpacker
from hw.link.frame_sender import FrameSender
from hw.spec.config import TsuConfig
from hw.spec.errors import SpecError
from hw.tsu.layouts import beat_layout, job_layout, result_fields, route_layout, start_layout, ticket_layout

BANK = TsuConfig(contexts=16, streams=32, lanes=4)
PLAIN = TsuConfig(lanes=4, streams=32)


def test_derived_widths() -> None:
    assert (BANK.banks, BANK.bank_bits, BANK.context_bits) == (18, 5, 4)
    assert (BANK.stream_bits, BANK.lane_streams, BANK.lane_stream_bits) == (5, 8, 3)
    assert (PLAIN.banks, PLAIN.bank_bits, PLAIN.context_bits) == (2, 1, 0)


def test_without_contexts_no_layout_knows_of_blocks() -> None:
    """The gateware of a TSU without contexts is what it was before there were any: its words have no other field."""
    assert set(dict(beat_layout(PLAIN))) == {"draws", "keep", "spread", "tag", "last"}
    assert set(result_fields(PLAIN)) == {"token", "weight", "tail"}
    for layout, fields in (
        (job_layout(PLAIN), {"bank", "fresh", "count", "tag"}),
        (start_layout(PLAIN), {"stb", "bank", "fresh", "some", "count"}),
        (route_layout(3, PLAIN), {"path", "tail", "bank", "past_last", "valid"}),
        (ticket_layout(PLAIN), {"valid", "bank", "tail", "leaf", "past_last", "above"}),
    ):
        assert set(dict(layout)) == fields


@pytest.mark.filterwarnings("ignore::amaranth.hdl.UnusedElaboratable")
@pytest.mark.parametrize(("component", "who"), [(FrameSender, "the serial link"), (DrawUnpacker, "the AXI wrapper")])
def test_what_carries_no_blocks_says_so(component: type, who: str) -> None:
    with pytest.raises(SpecError) as caught:
        component(config=BANK)
    assert str(caught.value) == f"contexts = 16 is not legal: expected 0, because {who} carries no blocks"
    component(config=PLAIN)
    del caught
    gc.collect()  # they go here, where the warning is ignored
