# SPDX-License-Identifier: Apache-2.0
"""SPEC_ID changes with everything that host and hardware must agree on."""

import dataclasses
import hashlib

import pytest

from hw.spec import commands, digest
from hw.spec.config import TsuConfig

DEFAULT = TsuConfig()
CHANGES: dict[str, object] = {
    "k_max": 32,
    "vocab_max": 1 << 16,
    "weight_bits": 40,
    "headroom_bits": 7,
    "guard_bits": 7,
    "tail_noise_bits": 31,
    "lanes": 2,
    "groups": 2,
    "noise": "lfsr",
    "weight_source": "table",
    "level_stages": 2,
    "block_ram": True,
    "contexts": 256,
    "streams": 32,
}


def fresh_id(config: TsuConfig) -> int:
    digest.spec_id.cache_clear()
    return digest.spec_id(config)


def test_every_configuration_field_counts() -> None:
    assert set(CHANGES) == {field.name for field in dataclasses.fields(TsuConfig)}
    changed = {name: DEFAULT.with_fields(**{name: value}) for name, value in CHANGES.items()}
    changed["streams"] = changed["contexts"].with_fields(streams=CHANGES["streams"])  # nothing without contexts
    ids = {fresh_id(DEFAULT)} | {fresh_id(config) for config in changed.values()}
    assert len(ids) == 1 + len(CHANGES)


def test_without_contexts_nothing_of_blocks_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bitstreams of TSUs that draft no blocks keep their SPEC_ID."""
    bank = DEFAULT.with_fields(contexts=256)
    before = fresh_id(DEFAULT), fresh_id(bank)
    assert before[0] == fresh_id(DEFAULT.with_fields(streams=32))
    field = commands.BLOCK_FIELDS["context"]
    monkeypatch.setitem(commands.BLOCK_FIELDS, "context", dataclasses.replace(field, low=1))
    assert (fresh_id(DEFAULT), fresh_id(bank) == before[1]) == (before[0], False)
    text = digest.canonical_text(DEFAULT)
    assert "contexts" not in text and "BLOCK" not in text and "BAD_CONTEXT" not in text
    assert "Opcode BLOCK 6\n" in digest.canonical_text(bank)


def test_first_eight_bytes_of_sha256() -> None:
    text = digest.canonical_text(DEFAULT)
    assert f"{fresh_id(DEFAULT):016x}" == hashlib.sha256(text.encode()).hexdigest()[:16]
    assert "Opcode LOAD 1\n" in text
    assert "field load tail_weight 4 0 64\n" in text
    assert "config noise xoshiro128pp\n" in text


@pytest.mark.parametrize("group", ["COMMON_FIELDS", "LOAD_FIELDS", "ENTRY_FIELDS"])
def test_every_field_position_counts(group: str, monkeypatch: pytest.MonkeyPatch) -> None:
    before = fresh_id(DEFAULT)
    layout: dict[str, commands.Field] = getattr(commands, group)
    for name, field in list(layout.items()):
        monkeypatch.setitem(layout, name, dataclasses.replace(field, low=field.low + 1))
        assert fresh_id(DEFAULT) != before
        monkeypatch.setitem(layout, name, field)
    assert fresh_id(DEFAULT) == before


def test_layout_version_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    before = fresh_id(DEFAULT)
    monkeypatch.setattr(commands, "COMMAND_VERSION", 2)
    assert fresh_id(DEFAULT) != before
    monkeypatch.undo()
    assert fresh_id(DEFAULT) == before


def test_meanings_do_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    before = fresh_id(DEFAULT)
    field = commands.LOAD_FIELDS["k"]
    monkeypatch.setitem(commands.LOAD_FIELDS, "k", dataclasses.replace(field, meaning="other words"))
    assert fresh_id(DEFAULT) == before
