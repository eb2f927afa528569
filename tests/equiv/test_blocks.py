# SPDX-License-Identifier: Apache-2.0
"""Blocks: model and RTL bit for bit over random banks, and the model beside the reference."""

from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

from host.golden.exact import draft_law
from host.psi.schema import Psi
from host.tsu.base import Blocks, Draws, TsuError
from host.tsu.model import ModelTsu
from host.tsu.native_blocks import BlockNativeTsu
from host.tsu.registry import open_tsu
from hw.spec.config import TsuConfig
from sim.bench_file import load_module
from sim.inprocess import flat_tsu

_REFERENCE = load_module(Path(__file__).parents[1] / "reference" / "stream.py")
mutant = load_module(Path(__file__).parents[1] / "unit" / "sim" / "faulty_rtl" / "mutants.py").mutant

SMALL = TsuConfig(
    k_max=8, vocab_max=64, weight_bits=12, headroom_bits=2, guard_bits=2, tail_noise_bits=8, contexts=16, streams=32
)
BIGRAM = TsuConfig(contexts=256, streams=64)

SIMULATED = [
    pytest.param("rtl", SMALL, id="rtl, small"),
    pytest.param("cxxrtl", SMALL, id="cxxrtl, small", marks=pytest.mark.slow),
    pytest.param("rtl", SMALL.with_fields(lanes=4, level_stages=2), id="rtl, 4 lanes", marks=pytest.mark.slow),
    pytest.param("rtl", SMALL.with_fields(lanes=2, level_stages=3), id="rtl, deep", marks=pytest.mark.slow),
    pytest.param("rtl", SMALL.with_fields(block_ram=True, noise="lfsr-leap"), id="rtl, BRAM", marks=pytest.mark.slow),
    pytest.param("rtl", BIGRAM, id="rtl, bigram", marks=pytest.mark.slow),
    pytest.param("cxxrtl", BIGRAM.with_fields(lanes=2), id="cxxrtl, bigram, 2 lanes", marks=pytest.mark.slow),
]
"""Simulators of the RTL, and configurations."""


def some_psi(rng: np.random.Generator, config: TsuConfig, *, vocab: int, scale: float | None = None) -> Psi:
    """A psi over `vocab` tokens; the scale suits weights of 12 bits."""
    k = int(rng.integers(1, min(config.k_max, vocab - 1) + 1))
    return Psi(
        ids=np.sort(rng.choice(vocab, k, replace=False)),
        scores_q=rng.integers(-128, 128, k),
        scale=float(rng.choice((0.004, 0.02, 0.03))) if scale is None else scale,
        zero_point=0,
        tau=1.0,
        tail=float(rng.choice((0.1, 0.5, 3.0))),
        vocab_size=vocab,
    )


def some_bank(rng: np.random.Generator, config: TsuConfig, *, missing: int) -> dict[int, Psi]:
    """Psi of all contexts but some, over as many tokens as there are contexts and two more."""
    slots = np.sort(rng.permutation(config.contexts)[missing:]).tolist()
    return {slot: some_psi(rng, config, vocab=config.contexts + 2) for slot in slots}


def work(tsu: BlockNativeTsu, config: TsuConfig, *, calls: int) -> Iterator[Blocks | Draws]:
    """The same work for every TSU: banks that change, blocks of all shapes, draws between them, seeds."""
    rng = np.random.default_rng(7)
    bank: dict[int, Psi] = {}
    for call in range(calls):
        if call % 10 == 0:
            new = some_bank(rng, config, missing=config.contexts // 2 if call % 20 else 1)
            bank |= new
            tsu.load_bank(new)
        if call % 7 == 6:
            tsu.reseed(call)
        if call % 3 == 0:
            yield tsu.sample(some_psi(rng, config, vocab=40), int(rng.integers(0, 50)))
        streams = int(rng.integers(1, 2 * config.streams))
        contexts = rng.choice(sorted(bank), streams)
        yield tsu.blocks(contexts, int(rng.integers(0, 9)) if call % 5 else 100)


def same(left: Blocks | Draws, right: Blocks | Draws) -> bool:
    names = [field.name for field in fields(left)]
    return all(np.array_equal(getattr(left, name), getattr(right, name)) for name in names)


def differing(backend: str, config: TsuConfig, *, calls: int, mode: str) -> list[int]:
    """Calls in which a backend and the model differ; cycles of a TSU that has none are not asked for."""
    with ModelTsu(config=config, seed=3, mode=mode) as model:
        expected = list(work(model, config, calls=calls))
    tsu = open_tsu(backend=backend, config=config, seed=3, mode=mode)
    assert isinstance(tsu, BlockNativeTsu)
    with tsu:
        found = list(work(tsu, config, calls=calls))
    assert len(found) == len(expected)
    return [i for i, (left, right) in enumerate(zip(found, expected, strict=True)) if not same(left, right)]


@pytest.mark.parametrize(("backend", "config"), SIMULATED)
@pytest.mark.parametrize("mode", ["table", "exp2"])
def test_rtl_drafts_the_blocks_of_the_model(backend: str, config: TsuConfig, mode: str) -> None:
    assert differing(backend, config, calls=60, mode=mode) == []


def test_model_drafts_the_blocks_of_the_reference() -> None:
    config = SMALL.with_fields(lanes=2)
    rng = np.random.default_rng(9)
    bank = {slot: some_psi(rng, config, vocab=18, scale=0.02) for slot in range(15)}
    reference = _REFERENCE.ReferenceTsu(config, 4)
    early = 0
    with ModelTsu(config=config, seed=4) as tsu:
        tsu.load_bank(bank)
        for streams, length in ((1, 1), (7, 3), (32, 8), (5, 60)):
            contexts = rng.integers(0, 15, streams).tolist()
            found, due = tsu.blocks(contexts, length), reference.blocks(bank, contexts, length, "table")
            for i, rows in enumerate(due):
                assert found.lengths[i] == len(rows)
                own = zip(found.tokens[i], found.weights[i], found.spreads[i], strict=True)
                assert [tuple(map(int, row)) for row in own][: len(rows)] == rows
                before = [contexts[i], *(token for token, _, _ in rows)]
                totals = [draft_law(bank[context], config, "table").total for context in before[: len(rows)]]
                assert found.totals[i, : len(rows)].tolist() == totals
                for array in (found.tokens, found.weights, found.spreads, found.totals, found.log_q):
                    assert not array[i, len(rows) :].any()
                early += len(rows) < length
    assert early


@pytest.mark.slow  # a build of its own
def test_a_stream_that_loses_its_turn_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A rejected stream forgets a token of its block: it ends before it has them all, and the driver counts."""

    def make(**arguments: object) -> object:
        return mutant(
            "core.TsuCore",
            where="stream_ring",
            old="Mux(back.retry, left_back, left_back - 1)",
            new="(left_back - 1)",
            **arguments,
        )()

    monkeypatch.setenv("TSD_CACHE", str(tmp_path))
    monkeypatch.setattr(flat_tsu, "TsuCore", make)
    with pytest.raises(TsuError, match="streams ended within"):
        differing("rtl", SMALL, calls=8, mode="table")
