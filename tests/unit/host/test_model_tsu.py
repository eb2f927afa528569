# SPDX-License-Identifier: Apache-2.0
"""The compiled model, bit for bit, against the slow sampler of tests/reference/stream.py."""

from pathlib import Path

import numpy as np
import pytest

from host.psi.schema import Psi
from host.tsu.base import Draws, TsuError
from host.tsu.model import CAPABILITIES, ModelTsu, model_library
from host.tsu.native import NativeTsu
from hw.spec.config import PRESETS, TsuConfig
from sim.bench_file import load_module

_REFERENCE = load_module(Path(__file__).parents[2] / "reference" / "stream.py")
ReferenceTsu, Row = _REFERENCE.ReferenceTsu, _REFERENCE.Row
random_psi, reference_weights = _REFERENCE.random_psi, _REFERENCE.reference_weights


def rows(draws: Draws) -> list[Row]:
    return list(zip(draws.tokens.tolist(), draws.weights.tolist(), draws.spreads.tolist(), strict=True))


def expected_rows(reference: ReferenceTsu, psi: Psi, n: int, mode: str) -> tuple[list[Row], int]:
    weights, tail = reference_weights(psi, reference.config, mode)
    return reference.rows(psi, n, mode), sum(weights) + tail


DEFAULT = TsuConfig()
TINY = PRESETS["tiny"]
FOUR_LEAP = TsuConfig(lanes=4, noise="lfsr-leap")
FOUR_LFSR = TsuConfig(lanes=4, noise="lfsr", weight_source="exp2", k_max=32, weight_bits=40, guard_bits=5)
WIDE = TsuConfig(k_max=1024, lanes=2)

CASES = {
    "default-k1": (DEFAULT, random_psi(1, k=1, vocab=50_000, tail=0.5), "table"),
    "default-k2": (DEFAULT, random_psi(2, k=2, vocab=1000, tail=0.1), "exp2"),
    "default-k32": (DEFAULT, random_psi(3, k=32, vocab=50_000, tail=3.0), "table"),
    "default-k64": (DEFAULT, random_psi(4, k=64, vocab=152_064, tail=1.5), "exp2"),
    "default-no-tail": (DEFAULT, random_psi(5, k=33, vocab=500, tail=0.0), "table"),
    "default-all-ids": (DEFAULT, random_psi(6, k=64, vocab=64, tail=0.0), "exp2"),
    "default-tail-only-just": (DEFAULT, random_psi(7, k=64, vocab=1 << 20, tail=2.0**24), "table"),
    "default-crowded": (DEFAULT, random_psi(8, k=64, vocab=70, tail=9.0, scale=0.0, crowd=True), "table"),
    "default-steep": (DEFAULT, random_psi(9, k=64, vocab=900, tail=2.0**-64, scale=3.0), "exp2"),
    "tiny-k1": (TINY, random_psi(10, k=1, vocab=16, tail=1.0), "table"),
    "tiny-k2": (TINY, random_psi(11, k=2, vocab=3, tail=0.4), "exp2"),
    "tiny-k4": (TINY, random_psi(12, k=4, vocab=13, tail=0.7), "table"),
    "tiny-all-ids": (TINY, random_psi(13, k=3, vocab=3, tail=0.0), "table"),
    "lanes4-leap-k64": (FOUR_LEAP, random_psi(14, k=64, vocab=50_000, tail=6.0), "table"),
    "lanes4-lfsr-k32": (FOUR_LFSR, random_psi(15, k=32, vocab=3000, tail=2.0), "exp2"),
    "up5k-k32": (PRESETS["up5k"], random_psi(16, k=32, vocab=1 << 16, tail=1.0), "table"),
    "wide-k1024": (WIDE, random_psi(17, k=1024, vocab=152_064, tail=50.0, scale=0.004), "table"),
}
DRAWS = 6000
"""Enough for both searches of the kernel: bisection at first, the guide tables later."""


@pytest.mark.parametrize("case", CASES)
def test_stream_equals_the_reference(case: str) -> None:
    config, psi, mode = CASES[case]
    reference = ReferenceTsu(config, 2024)
    with ModelTsu(config=config, seed=2024, mode=mode) as tsu:
        first, second = tsu.sample(psi, 1500), tsu.sample(psi, DRAWS - 1500)
    expected, total = expected_rows(reference, psi, DRAWS, mode)
    assert first.total == second.total == total
    assert rows(first) + rows(second) == expected


@pytest.mark.parametrize("config", [DEFAULT, FOUR_LEAP], ids=["lanes1", "lanes4"])
def test_switching_psi_continues_one_stream(config: TsuConfig) -> None:
    psis = [random_psi(seed, k=3 + 9 * seed, vocab=800, tail=0.3 * seed) for seed in range(5)]
    reference = ReferenceTsu(config, 7)
    with ModelTsu(config=config, seed=7) as tsu:
        for i, n in enumerate([5, 0, 1, 300, 7, 2, 513, 3000, 1, 1, 90]):
            psi = psis[i * i % 5]
            draws = tsu.sample(psi, n)
            expected, total = expected_rows(reference, psi, n, "table")
            assert (rows(draws), draws.total) == (expected, total)


@pytest.mark.parametrize("config", [DEFAULT, FOUR_LEAP], ids=["lanes1", "lanes4"])
def test_stream_does_not_depend_on_batches(config: TsuConfig) -> None:
    psi = random_psi(20, k=48, vocab=5000, tail=1.0)
    with ModelTsu(config=config, seed=3) as whole, ModelTsu(config=config, seed=3) as split:
        expected = rows(whole.sample(psi, 20_000))
        sizes = np.random.default_rng(1).integers(0, 600, 60).tolist()
        parts = [row for n in sizes for row in rows(split.sample(psi, n))]
    assert len(parts) > 10_000
    assert parts == expected[: len(parts)]


def test_reseed_starts_the_stream_again() -> None:
    psi = random_psi(21, k=40, vocab=5000, tail=1.0)
    with ModelTsu(config=FOUR_LEAP, seed=99) as tsu, ModelTsu(config=FOUR_LEAP, seed=5) as other:
        expected = rows(tsu.sample(psi, 1001))  # stops inside a round of lanes and inside a block of noise
        assert rows(other.sample(psi, 333)) != expected[:333]
        other.reseed(99)
        assert rows(other.sample(psi, 1001)) == expected


def test_no_draws_still_gives_the_total() -> None:
    psi = random_psi(22, k=5, vocab=60, tail=0.2)
    weights, tail = reference_weights(psi, DEFAULT, "table")
    with ModelTsu(config=DEFAULT) as tsu:
        draws = tsu.sample(psi, 0)
    assert (len(draws), draws.total) == (0, sum(weights) + tail)


def test_equal_psi_is_not_loaded_again_and_another_table_is() -> None:
    one = random_psi(23, k=9, vocab=100, tail=0.2)
    same = random_psi(23, k=9, vocab=100, tail=0.2)
    hotter = random_psi(23, k=9, vocab=100, tail=0.2, scale=0.01)
    reference = ReferenceTsu(DEFAULT, 0)
    with ModelTsu(config=DEFAULT) as tsu:
        for psi in (one, same, hotter, one):
            assert rows(tsu.sample(psi, 50)) == expected_rows(reference, psi, 50, "table")[0]


def test_closed_device_says_so() -> None:
    tsu = ModelTsu(config=DEFAULT)
    tsu.close()
    tsu.close()
    with pytest.raises(TsuError, match="the model TSU is closed"):
        tsu.sample(random_psi(1, k=1, vocab=9, tail=0.0), 1)


def test_library_of_another_configuration_is_refused() -> None:
    with ModelTsu(config=DEFAULT) as tsu, pytest.raises(TsuError, match=r"spec_id = 0x[0-9a-f]{16} .* expected 0x"):
        NativeTsu(library=model_library(TINY), capabilities=tsu.capabilities, config=DEFAULT)


def test_missing_library_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(TsuError, match="cannot load the TSU library") as caught:
        NativeTsu(library=tmp_path / "none.so", capabilities=CAPABILITIES, config=DEFAULT)
    assert "\n" not in str(caught.value)
