# SPDX-License-Identifier: Apache-2.0
"""The compiled model and the RTL in two simulators give the same draws, bit for bit: tokens, weights, spreads, totals.

Each case runs 10^6 draws through model and RTL: many psi in a row, cut into odd batches, and cut differently on the
two sides. The RTL is compiled by Verilator (`rtl`) and by Yosys' CXXRTL (`cxxrtl`). One build of each for k_max = 256
serves every K of the bar, because the stream does not depend on k_max; a build for k_max = 64 shows that. The cases
marked slow repeat this for other noise, pipelines, widths and lanes; so do those of `cxxrtl` with more than one lane,
which take the compiler longest.
"""

from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest

from host.psi.schema import Psi
from host.tsu.base import Draws, Tsu
from host.tsu.registry import open_tsu
from hw.spec.config import PRESETS, TsuConfig
from sim.verilated import library

TOKENS = 1_000_000
BATCHES = (0, 1, 2, 3, 7, 1000, 65_537)
"""Sizes of calls and of stretches that stay with one psi; their mean is near 10^4."""

SEEDS = {1: "table", 0x0123_4567_89AB_CDEF: "exp2", (1 << 64) - 1: "table"}
"""Seeds of the bar, and where the weights come from."""

WIDE = TsuConfig(k_max=256)

ENGINES = ("rtl", "cxxrtl")
"""Backends that simulate the RTL."""

WIDE_BUILDS = [("rtl", 1), ("rtl", 4), ("cxxrtl", 1), pytest.param("cxxrtl", 4, marks=pytest.mark.slow)]
"""Engines and lanes in which the cases of `WIDE` run."""


def make_psi(rng: np.random.Generator, *, k: int, vocab: int, tail: float, crowd: int | None = None) -> Psi:
    """A psi with random codes, scale and tau; `crowd` makes the ids consecutive from there on."""
    ids = np.sort(rng.choice(vocab, k, replace=False)) if crowd is None else np.arange(crowd, crowd + k)
    return Psi(
        ids=ids,
        scores_q=rng.integers(-128, 128, k),
        scale=float(rng.uniform(0.01, 0.1)),
        zero_point=int(rng.integers(-128, 128)),
        tau=float(rng.uniform(0.5, 1.5)),
        tail=tail,
        vocab_size=vocab,
    )


@lru_cache
def psis_of(k: int, vocab_max: int = 1 << 20) -> tuple[Psi, ...]:
    """Psi of K ids that cover the corners: V = K, no tail, light and heavy tails, crowded ids, equal weights."""
    rng = np.random.default_rng(1000 + k)
    middle = min(50_000, vocab_max)
    psis = [make_psi(rng, k=k, vocab=k, tail=0.0), make_psi(rng, k=k, vocab=middle, tail=0.0)]
    if k < vocab_max:
        psis += [make_psi(rng, k=k, vocab=middle, tail=tail) for tail in (0.01, 0.5, 4.0, 2.0**-64)]
        psis += [
            make_psi(rng, k=k, vocab=k + 1, tail=1.0),
            make_psi(rng, k=k, vocab=vocab_max, tail=2.0**24),
            make_psi(rng, k=k, vocab=vocab_max, tail=30.0, crowd=0),
            make_psi(rng, k=k, vocab=middle, tail=3.0, crowd=middle - k),
        ]
        flat = make_psi(rng, k=k, vocab=min(2 * k + 5, vocab_max), tail=1.0)
        psis += [
            Psi(ids=flat.ids, scores_q=flat.scores_q, scale=0, zero_point=0, tau=1, tail=1, vocab_size=flat.vocab_size)
        ]
    return tuple(psis)


def mixed_psis(config: TsuConfig) -> tuple[Psi, ...]:
    """Psi of many K: 1, every power of two up to k_max, its neighbours, and thirds of k_max."""
    sizes = {1, 2, config.k_max // 3, config.k_max - config.k_max // 3, config.k_max - 1, config.k_max}
    sizes |= {(1 << level) + step for level in range(1, config.depth) for step in (-1, 0, 1)}
    rng = np.random.default_rng(config.k_max)
    psis = [
        psi
        for k in sorted(sizes)
        if 1 <= k <= min(config.k_max, config.vocab_max)
        for psi in psis_of(k, config.vocab_max)
    ]
    return tuple(psis[i] for i in rng.permutation(len(psis))[:40])


def stretches(rng: np.random.Generator, n: int) -> Iterator[int]:
    """Odd sizes that sum to n."""
    while n:
        size = min(n, int(rng.choice(BATCHES)))
        yield size
        n -= size


def run(tsu: Tsu, psis: tuple[Psi, ...], *, tokens: int, plan_seed: int, split_seed: int) -> tuple[Draws, list[int]]:
    """`tokens` draws along the plan of `plan_seed`, cut into calls by `split_seed`; the total of every stretch."""
    plan, split = np.random.default_rng(plan_seed), np.random.default_rng(split_seed)
    parts, totals = [], []
    for count in stretches(plan, tokens):
        psi = psis[int(plan.integers(len(psis)))]
        calls = [tsu.sample(psi, size) for size in stretches(split, count)] or [tsu.sample(psi, 0)]
        assert {draws.total for draws in calls} == {calls[0].total}
        totals.append(calls[0].total)
        parts += calls
    columns = ([getattr(draws, name) for draws in parts] for name in ("tokens", "weights", "spreads"))
    tokens_, weights, spreads = (np.concatenate(column) for column in columns)
    return Draws(tokens=tokens_, weights=weights, spreads=spreads, total=0), totals


def assert_equal(left: Draws, right: Draws) -> None:
    """Name the first draw that differs."""
    assert len(left) == len(right)
    for name in ("tokens", "weights", "spreads"):
        wrong = np.flatnonzero(getattr(left, name) != getattr(right, name))
        assert not wrong.size, f"{name} differ in {wrong.size} of {len(left)} draws, first at {wrong[0]}"


def assert_backends_agree(
    config: TsuConfig,
    psis: tuple[Psi, ...],
    *,
    seed: int,
    mode: str | None,
    engine: str = "rtl",
    tokens: int = TOKENS,
    model_config: TsuConfig | None = None,
) -> None:
    """Run one plan on the RTL of `config` and on the model of `model_config` (`config` by default)."""
    results = []
    for backend, built, split_seed in ((engine, config, 1), ("model", model_config or config, 2)):
        with open_tsu(backend=backend, config=built, seed=seed, mode=mode) as tsu:
            results.append(run(tsu, psis, tokens=tokens, plan_seed=seed % 1000, split_seed=split_seed))
    (rtl, rtl_totals), (model, model_totals) = results
    assert len(rtl) == tokens
    assert rtl_totals == model_totals
    assert_equal(rtl, model)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("k", [1, 2, 32, 64, 256])
@pytest.mark.parametrize(("engine", "lanes"), WIDE_BUILDS)
def test_a_million_draws_are_equal(engine: str, lanes: int, k: int, seed: int) -> None:
    assert_backends_agree(WIDE.with_fields(lanes=lanes), psis_of(k), seed=seed, mode=SEEDS[seed], engine=engine)


@pytest.mark.parametrize("mode", ["table", "exp2"])
@pytest.mark.parametrize(("engine", "lanes"), WIDE_BUILDS)
def test_psi_of_many_sizes_in_a_row(engine: str, lanes: int, mode: str) -> None:
    config = WIDE.with_fields(lanes=lanes)
    assert_backends_agree(config, mixed_psis(config), seed=99, mode=mode, engine=engine)


@pytest.mark.parametrize("engine", ENGINES)
def test_stream_does_not_depend_on_k_max(engine: str) -> None:
    assert_backends_agree(TsuConfig(k_max=64), psis_of(64), seed=7, mode="table", model_config=WIDE, engine=engine)


@pytest.mark.parametrize(("engine", "lanes"), WIDE_BUILDS)
def test_there_and_back(engine: str, lanes: int) -> None:
    """A, B, A with counts that leave the lanes at every offset, down to no draw at all."""
    config = WIDE.with_fields(lanes=lanes)
    a, b = psis_of(64)[3], psis_of(256)[4]
    steps = [(a, 501), (b, 1003), (a, 3), (b, 1), (a, 2002), (b, 0), (a, 1), (a, 0), (a, 6), (b, 2), (a, 3000)]
    with (
        open_tsu(backend=engine, config=config, seed=5) as rtl,
        open_tsu(backend="model", config=config, seed=5) as model,
    ):
        for psi, n in steps:
            left, right = rtl.sample(psi, n), model.sample(psi, n)
            assert left.total == right.total
            assert_equal(left, right)


@pytest.mark.parametrize(
    ("engine", "groups", "lanes"),
    [
        ("rtl", 2, 1),
        *(pytest.param("rtl", *shape, marks=pytest.mark.slow) for shape in ((2, 4), (3, 1), (3, 4))),
        *(pytest.param("cxxrtl", groups, 1, marks=pytest.mark.slow) for groups in (2, 3)),
    ],
)
def test_groups_take_turns(engine: str, groups: int, lanes: int) -> None:
    """Each psi goes to the next group, whose own stream goes on."""
    config = TsuConfig(groups=groups, lanes=lanes)
    assert_backends_agree(config, mixed_psis(config), seed=17, mode="table", tokens=TOKENS // 5, engine=engine)


@pytest.mark.parametrize("engine", ENGINES)
def test_comparison_sees_a_psi_in_another_group(engine: str) -> None:
    """One psi more on one side, and no draw of it: every psi behind it is in another group."""
    config, psis = TsuConfig(groups=2), psis_of(64)
    with (
        open_tsu(backend=engine, config=config, seed=1) as rtl,
        open_tsu(backend="model", config=config, seed=1) as model,
    ):
        rtl.sample(psis[4], 0)
        with pytest.raises(AssertionError, match="tokens differ in"):
            assert_equal(rtl.sample(psis[3], 5000), model.sample(psis[3], 5000))


@pytest.mark.parametrize("backend", [*ENGINES, "model"])
def test_comparison_sees_another_seed_and_a_lost_draw(backend: str) -> None:
    psis = psis_of(64)
    with open_tsu(backend=backend, config=WIDE, seed=1) as one, open_tsu(backend="model", config=WIDE, seed=2) as other:
        first, second = (run(tsu, psis, tokens=5000, plan_seed=3, split_seed=4)[0] for tsu in (one, other))
        with pytest.raises(AssertionError, match="tokens differ in"):
            assert_equal(first, second)
        one.reseed(2)
        one.sample(psis[3], 1)
        with pytest.raises(AssertionError, match="tokens differ in"):
            assert_equal(run(one, psis, tokens=5000, plan_seed=3, split_seed=4)[0], second)


def test_the_psi_are_what_they_are_called() -> None:
    whole, no_tail, light, *_, faint, one_over, heavy, _, _, flat = psis_of(64)
    with open_tsu(backend="model", config=WIDE, seed=1) as tsu:
        tail_share = {id(psi): (tsu.sample(psi, 20_000).spreads != 1).mean() for psi in psis_of(64)}
        assert set(tsu.sample(flat, 1000).weights.tolist()) == {1 << 47}
    assert whole.vocab_size == whole.k
    assert [tail_share[id(psi)] for psi in (whole, no_tail, faint)] == [0, 0, 0]
    assert 0 < tail_share[id(light)] < 0.05
    assert tail_share[id(heavy)] > 0.999
    assert one_over.vocab_size == one_over.k + 1


OTHER_CONFIGS = {
    "lfsr": TsuConfig(noise="lfsr"),
    "lfsr-leap": TsuConfig(noise="lfsr-leap", lanes=2),
    "2 stages a level": TsuConfig(level_stages=2),
    "3 stages a level": TsuConfig(level_stages=3),
    "3 stages a level, 4 lanes, lfsr": TsuConfig(level_stages=3, lanes=4, noise="lfsr"),
    "8 lanes": TsuConfig(lanes=8),
    "5 groups of 2 lanes, 3 stages a level": TsuConfig(k_max=16, groups=5, lanes=2, level_stages=3, noise="lfsr-leap"),
    "16 groups": TsuConfig(k_max=8, groups=16, weight_bits=24, noise="lfsr"),
    "up5k": PRESETS["up5k"],
    "ecp5-25f": PRESETS["ecp5-25f"],
    "tiny": PRESETS["tiny"],
    "smallest": TsuConfig(k_max=2, vocab_max=2, weight_bits=4, headroom_bits=0, guard_bits=1, tail_noise_bits=1),
    "widest": TsuConfig(k_max=1024, weight_bits=48, headroom_bits=0, guard_bits=16, lanes=2),
    "most headroom": TsuConfig(k_max=4, weight_bits=47, headroom_bits=16, guard_bits=1, tail_noise_bits=20),
    "exp2 only": TsuConfig(
        k_max=8, vocab_max=1000, weight_bits=17, guard_bits=3, tail_noise_bits=11, weight_source="exp2"
    ),
}


MANY_LANES = (
    "3 stages a level, 4 lanes, lfsr",
    "8 lanes",
    "5 groups of 2 lanes, 3 stages a level",
    "16 groups",
)
"""Too large for CXXRTL in a test: 21,000 to 82,000 lines of C++, most of them one function; one lane has 6,000."""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "engine"),
    [(name, engine) for name in OTHER_CONFIGS for engine in ENGINES if engine == "rtl" or name not in MANY_LANES],
)
def test_other_configurations(name: str, engine: str) -> None:
    config = OTHER_CONFIGS[name]
    for mode in ("table", "exp2"):
        if config.has_table if mode == "table" else config.has_exp2:
            assert_backends_agree(config, mixed_psis(config), seed=2024, mode=mode, tokens=TOKENS // 2, engine=engine)


@pytest.mark.slow
@pytest.mark.parametrize("stages", [2, 3])
def test_stream_does_not_depend_on_level_stages(stages: int) -> None:
    config = TsuConfig(level_stages=stages)
    assert_backends_agree(config, psis_of(64), seed=31, mode="exp2", model_config=TsuConfig(level_stages=1))


@pytest.mark.slow
@pytest.mark.parametrize("root_eval", [0, 1])
def test_simulator_without_the_fast_path(root_eval: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A Verilator with other internal names: the shim goes through the public interface, for the same draws."""
    absent = ["no name of any version"]
    internals = {"TSD_HAS_ROOT_EVAL": [] if root_eval else absent, "TSD_HAS_TRIGGER_STATE": absent}
    monkeypatch.setattr(library, "_INTERNALS", internals)
    monkeypatch.setenv("TSD_CACHE", str(tmp_path))
    config = TsuConfig(k_max=16, lanes=2)
    assert_backends_agree(config, mixed_psis(config), seed=3, mode="exp2", tokens=200_000)
