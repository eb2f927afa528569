# SPDX-License-Identifier: Apache-2.0
"""Backend thrml: integers, streams, seeds, splits, tails, refusals.

The uniformity of tail tokens is tested at seed 3, alpha = 1e-6, with 200,000 draws of which 8/9 are tail tokens of 50:
a generator that gave one token of 50 twice as often would add 3,500 to the noncentrality; power 0.99 asks for 143.
"""

import importlib
import sys

import numpy as np
import pytest
from scipy import stats

pytest.importorskip("thrml", reason="thrml is not installed: make setup-thrml")

from host.golden.exact import draft_law
from host.psi.schema import Psi
from host.tsu import thrml as adapter
from host.tsu.base import Capabilities, TsuError
from host.tsu.registry import BACKENDS, open_tsu
from host.tsu.thrml import ThrmlTsu
from host.tsu.thrml_program import GENERATOR
from host.tsu.thrml_stream import BLOCK_DRAWS, block_draws, bucket_log_weights, state_bucket
from hw.spec.config import PRESETS, TsuConfig
from hw.spec.digest import spec_id
from hw.spec.errors import SpecError

CONFIG = TsuConfig(k_max=512)


def some_psi(k: int, vocab: int, tail: float, scale: float = 0.02) -> Psi:
    rng = np.random.default_rng([k, vocab])
    ids, codes = np.sort(rng.choice(vocab, k, replace=False)), rng.integers(-128, 128, k)
    return Psi(ids=ids, scores_q=codes, scale=scale, zero_point=0, tau=1.0, tail=tail, vocab_size=vocab)


PSIS = {
    "one token": some_psi(1, 1, 0.0),
    "one id": some_psi(1, 40, 3.0),
    "K = V": some_psi(12, 12, 0.0),
    "one tail token": some_psi(15, 16, 0.4),
    "fills its bucket": some_psi(16, 5000, 0.7),
    "no tail in a bucket": some_psi(16, 5000, 0.0),
    "K = 17": some_psi(17, 1 << 20, 0.2),
    "K = 300": some_psi(300, 5000, 1.0),
}


@pytest.mark.parametrize("mode", ["table", "exp2"])
def test_reported_integers_are_those_of_the_law(mode: str) -> None:
    with ThrmlTsu(config=CONFIG, seed=1, mode=mode) as tsu:
        for name, psi in PSIS.items():
            law = draft_law(psi, CONFIG, mode)
            draws = tsu.sample(psi, 140)
            assert draws.total == law.total, name
            assert (draws.tokens.dtype, draws.weights.dtype, draws.spreads.dtype) == (np.uint32, np.uint64, np.uint32)
            assert draws.weights.tolist() == law.weight_of(draws.tokens).tolist(), name  # also: every token is below V
            assert draws.spreads.tolist() == law.spread_of(draws.tokens).tolist(), name
            assert draws.weights.all(), name


def test_what_it_promises() -> None:
    with open_tsu(backend="thrml", config=CONFIG, seed=1) as tsu:
        assert tsu.capabilities == Capabilities(
            name="thrml", exact=False, bit_true=False, counts_cycles=False, bound=2.0**-20
        )
        assert (tsu.spec_id, tsu.cycles, tsu.config) == (spec_id(CONFIG), 0, CONFIG)
    assert BACKENDS["thrml"].generator == GENERATOR


def test_requests_may_be_cut_anywhere_and_mixed_with_other_psi() -> None:
    psi, other = PSIS["one id"], PSIS["K = V"]
    sizes = (1, 0, 14, 2, 128, 999, 40, 1100)
    with ThrmlTsu(config=CONFIG, seed=9) as tsu:
        whole, others = tsu.sample(psi, sum(sizes)), tsu.sample(other, 30)
        tsu.reseed(9)
        parts = [tsu.sample(psi, sizes[0])]
        between = [tsu.sample(other, 11)]
        parts += [tsu.sample(psi, n) for n in sizes[1:]]
        between.append(tsu.sample(Psi(**vars_of(other)), 19))  # an equal psi has the same stream
    assert sum(sizes) > sum(BLOCK_DRAWS[:3])
    for name in ("tokens", "weights", "spreads"):
        assert np.concatenate([getattr(part, name) for part in parts]).tolist() == getattr(whole, name).tolist()
    assert np.concatenate([part.tokens for part in between]).tolist() == others.tokens.tolist()


def vars_of(psi: Psi) -> dict[str, object]:
    return {name: getattr(psi, name) for name in psi.__dataclass_fields__}


def test_the_seed_decides_and_no_two_streams_are_alike() -> None:
    psi, n = PSIS["K = 300"], 200
    near = Psi(**{**vars_of(psi), "tail": 1.0001})
    with ThrmlTsu(config=CONFIG, seed=5) as tsu, ThrmlTsu(config=CONFIG, seed=5) as twin:
        first, second = tsu.sample(psi, n).tokens, tsu.sample(psi, n).tokens
        assert twin.sample(psi, n).tokens.tolist() == first.tolist()
        assert tsu.sample(near, n).tokens.tolist() != first.tolist()
        assert second.tolist() != first.tolist()
        for seed in (6, 5 + (1 << 32), 5 + (1 << 63)):
            tsu.reseed(seed)
            assert tsu.sample(psi, n).tokens.tolist() != first.tolist(), seed
        tsu.reseed(5)
        assert tsu.sample(psi, n).tokens.tolist() == first.tolist()


def test_a_stream_that_was_let_go_never_repeats_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adapter, "STREAMS_KEPT", 2)
    psi = PSIS["K = 300"]
    with ThrmlTsu(config=CONFIG, seed=5) as tsu:
        first = tsu.sample(psi, 100).tokens
        tsu.sample(PSIS["one id"], 1)
        assert tsu.sample(psi, 0).total  # used again: it stays
        tsu.sample(PSIS["K = V"], 1)
        second = tsu.sample(psi, 100).tokens
        tsu.sample(PSIS["one id"], 1)
        tsu.sample(PSIS["K = 17"], 1)
        third = tsu.sample(psi, 100).tokens
        tsu.reseed(5)
        assert tsu.sample(psi, 200).tokens.tolist() == [*first, *second]
    assert third.tolist() not in (first.tolist(), second.tolist())


def test_tail_tokens_are_uniform_and_never_an_id() -> None:
    psi = Psi(ids=[0, 1, 20, 52], scores_q=[0] * 4, scale=0.1, zero_point=0, tau=1.0, tail=32.0, vocab_size=54)
    with ThrmlTsu(config=CONFIG, seed=3) as tsu:
        draws = tsu.sample(psi, 200_000)
    counts = np.bincount(draws.tokens, minlength=54)
    assert np.flatnonzero(np.bincount(draws.tokens[draws.spreads == 50], minlength=54) == 0).tolist() == [0, 1, 20, 52]
    assert stats.chisquare(np.delete(counts, psi.ids)).pvalue > 1e-6
    lopsided = np.delete(counts, psi.ids)
    lopsided[7] *= 2
    assert stats.chisquare(lopsided).pvalue < 1e-6


def test_blocks_grow_up_to_a_limit_that_fits_the_cache() -> None:
    assert [block_draws(65, i) for i in range(6)] == [16, 128, 1024, 8192, 8192, 8192]
    assert [block_draws(257, i) for i in range(5)] == [16, 128, 1024, 2048, 2048]
    assert [block_draws(1025, i) for i in range(4)] == [16, 128, 512, 512]


@pytest.mark.parametrize("k", [1, 15, 16, 17, 256, 1000, 1024])
def test_buckets_hold_the_ids_and_a_tail(k: int) -> None:
    states = state_bucket(k)
    assert k + 1 <= states <= max(17, 2 * k)
    weights = np.full(k, 1 << 40, dtype=np.uint64)
    with_tail, without = bucket_log_weights(weights, 1 << 41), bucket_log_weights(weights, 0)
    assert with_tail.dtype == np.float32
    assert (len(with_tail), (with_tail > -100).sum(), (without > -100).sum()) == (states, k + 1, k)
    assert with_tail[k] == 0.0
    assert with_tail[0] == np.float32(-np.log(2))


def test_what_cannot_be_drawn_is_refused_and_changes_nothing() -> None:
    tiny, psi = PRESETS["tiny"], Psi(ids=[3], scores_q=[0], scale=0.1, zero_point=0, tau=1.0, tail=1.0, vocab_size=16)
    with ThrmlTsu(config=tiny, seed=2) as tsu:
        expected = [*tsu.sample(psi, 5).tokens, *tsu.sample(psi, 40).tokens]
        tsu.reseed(2)
        got = [*tsu.sample(psi, 5).tokens]
        for bad, n, message in (
            (psi, -1, "n = -1"),
            (PSIS["K = V"], 1, "k = 12"),
            (some_psi(2, 17, 1.0), 1, "vocab_size = 17"),
        ):
            with pytest.raises(SpecError, match=message):
                tsu.sample(bad, n)
        for seed in (-1, 1 << 64):
            with pytest.raises(SpecError, match="seed"):
                tsu.reseed(seed)
        assert [*got, *tsu.sample(psi, 40).tokens] == expected
        assert len(tsu.sample(psi, 0)) == 0
    tsu.close()
    for call in (lambda: tsu.sample(psi, 1), lambda: tsu.reseed(1)):
        with pytest.raises(TsuError, match="the thrml TSU is closed"):
            call()
    with pytest.raises(SpecError, match="mode"):
        ThrmlTsu(config=tiny, mode="log")


def test_the_missing_extra_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [module for module in sys.modules if module.startswith("host.tsu.thrml")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "thrml", None)
    with pytest.raises(TsuError) as caught:
        open_tsu(backend="thrml", config=CONFIG)
    assert str(caught.value) == (
        "backend thrml needs the package thrml: pip install 'thermo-speculative-decoding[thrml]'"
    )
    monkeypatch.undo()
    importlib.import_module("host.tsu.thrml")
