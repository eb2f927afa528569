# SPDX-License-Identifier: Apache-2.0
"""Two simulators of one netlist: the same draws after the same number of clock cycles, and a bug in it is seen.

tests/equiv/test_model_rtl.py compares the draws of each with the model at length. Here both run call by call beside
each other, because `cycles` is something that the model does not have.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from host.psi.schema import Psi
from host.tsu.cxxrtl import CxxrtlTsu
from host.tsu.lowering import draw_command
from host.tsu.model import ModelTsu
from host.tsu.rtl import RtlTsu
from hw.spec.config import PRESETS, TsuConfig
from sim.bench_file import load_module
from sim.inprocess import flat_tsu

mutant = load_module(Path(__file__).parents[1] / "unit" / "sim" / "faulty_rtl" / "mutants.py").mutant

CALLS = 300
COUNTS = (0, 1, 2, 3, 7, 40, 500, 9000)

BUGS = {
    "a p-bit fires on equal": ("pbit", "self.threshold < self.value", "self.threshold <= self.value"),
    "a tail draw has the weight of a leaf": (
        "collector",
        "Mux(result.tail, tail_weight, result.weight)",
        "result.weight",
    ),
}


def some_psi(rng: np.random.Generator, config: TsuConfig) -> Psi:
    """A psi with a tail whose vocabulary fits `config`."""
    k = int(rng.integers(1, config.k_max + 1))
    vocab = min(config.vocab_max, 2 * config.k_max)
    return Psi(
        ids=np.sort(rng.choice(vocab, min(k, vocab - 1), replace=False)),
        scores_q=rng.integers(-128, 128, min(k, vocab - 1)),
        scale=0.02,
        zero_point=0,
        tau=1.0,
        tail=float(rng.choice((0.0, 0.5, 3.0))),
        vocab_size=vocab,
    )


def columns(draws: Any) -> list[list[int]]:
    return [draws.tokens.tolist(), draws.weights.tolist(), draws.spreads.tolist(), [draws.total]]


@pytest.mark.parametrize(
    ("config", "mode"),
    [
        pytest.param(TsuConfig(), "table", id="default, table"),
        pytest.param(TsuConfig(), "exp2", id="default, exp2"),
        pytest.param(TsuConfig(groups=2), "table", id="2 groups"),
        pytest.param(TsuConfig(k_max=256, lanes=4), "exp2", id="4 lanes", marks=pytest.mark.slow),
    ],
)
def test_draws_and_cycles_are_equal_call_by_call(config: TsuConfig, mode: str) -> None:
    """Loads, draws, seeds and refused commands, in calls of many sizes."""
    rng = np.random.default_rng(20)
    with RtlTsu(config=config, seed=4, mode=mode) as rtl, CxxrtlTsu(config=config, seed=4, mode=mode) as cxxrtl:
        assert rtl.cycles == cxxrtl.cycles > 0
        psis = [some_psi(rng, config) for _ in range(8)]
        for number in range(CALLS):
            psi, n = psis[int(rng.integers(len(psis)))], int(rng.choice(COUNTS))
            assert columns(rtl.sample(psi, n)) == columns(cxxrtl.sample(psi, n)), number
            if number % 50 == 49:
                for tsu in (rtl, cxxrtl):
                    tsu.reseed(number)
            if number % 50 == 25:
                wrong = draw_command(count=1)[:1]  # a DRAW without its count
                assert rtl.command(wrong) == cxxrtl.command(wrong)
            assert rtl.cycles == cxxrtl.cycles, number


@pytest.mark.parametrize(
    "bug", ["a p-bit fires on equal", pytest.param("a tail draw has the weight of a leaf", marks=pytest.mark.slow)]
)
def test_bug_in_the_netlist_is_seen(bug: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The library is made of what Amaranth elaborates, and a TSU with a bug draws something else than the model."""
    where, old, new = BUGS[bug]
    config = PRESETS["tiny"]
    psi = Psi(ids=[1, 4, 9], scores_q=[3, 1, 0], scale=0.3, zero_point=0, tau=1.0, tail=0.7, vocab_size=16)
    with CxxrtlTsu(config=config, seed=2) as good, ModelTsu(config=config, seed=2) as model:
        expected = columns(model.sample(psi, 4000))
        assert columns(good.sample(psi, 4000)) == expected

    def make(**arguments: Any) -> Any:
        return mutant("core.TsuCore", where=where, old=old, new=new, **arguments)()

    monkeypatch.setenv("TSD_CACHE", str(tmp_path))
    monkeypatch.setattr(flat_tsu, "TsuCore", make)
    with CxxrtlTsu(config=config, seed=2) as bad:
        assert columns(bad.sample(psi, 4000)) != expected
