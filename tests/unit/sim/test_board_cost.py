# SPDX-License-Identifier: Apache-2.0
"""The cost table: bytes by hand, the stored figures against a new measurement, and stale ones."""

from dataclasses import replace
from pathlib import Path

import pytest

from sim.board import cost
from sim.board.measure import measure

ROOT = Path(__file__).parents[3]


def stored() -> dict[int, list[cost.Cost]]:
    return cost.from_json((ROOT / cost.STORED).read_text(encoding="utf-8"))


def test_table_is_what_is_stored():
    text = (ROOT / cost.DOCUMENT).read_text(encoding="utf-8")
    assert cost.rewrite(text, stored()) == text


@pytest.mark.slow  # a board to compile
def test_fastest_rate_is_as_stored_and_bytes_are_as_by_hand():
    """A frame is 12 bytes and its payload. LOAD of K = 1 is 9 words; GRANT (2), STATUS (10) and one CREDIT follow."""
    now = measure(replace(cost.OPTIONS, baud=12_000_000))
    assert cost.differences({12_000_000: stored()[12_000_000]}, {12_000_000: now}) == []
    by_name = {row.what: row for row in now}
    load = by_name["psi, K = 1"]
    assert (load.bytes_down, load.bytes_up) == (12 + 36 + 12, 12 + 2 + 12 + 10)
    # Nothing is faster than the line: 4 cycles a bit, 10 bits a byte; LOAD down, then at least STATUS up.
    assert load.cycles > 40 * (12 + 36 + 12 + 10)
    # 264 words in 5 frames of at most 61.
    assert by_name["psi, K = 256"].bytes_down == 5 * 12 + 4 * 264 + 3 * 12
    # 24 draws of 10 bytes in a frame.
    assert by_name["64 draws"].bytes_up == (12 + 2) + (12 + 10) + 3 * (12 + 3) + 640


def test_differences_are_found():
    old = stored()
    for change in ({"bytes_up": 1}, {"cycles": 1}, {"what": "other"}):
        rows = list(old[12_000_000])
        rows[0] = replace(rows[0], **change)
        assert cost.differences(old, {12_000_000: rows})


def test_microseconds_are_cycles_of_48_mhz():
    row = cost.Cost(what="2 draws", amount=2, bytes_down=1, bytes_up=1, cycles=9600)
    assert cost.microseconds(row) == 100.0
