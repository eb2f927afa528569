# SPDX-License-Identifier: Apache-2.0
"""Every check of the contract suite is seen to fail, on an adapter of broken/, and says what is wrong."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from host.contract import CHECKS, ContractError, check_contract, run_checks
from host.tsu.base import Capabilities, TsuError
from hw.spec.errors import SpecError
from sim.bench_file import load_module

_FOLDER = Path(__file__).with_name("broken")
_FORM, _CONDUCT, _STREAM, _LAW = (load_module(_FOLDER / f"{name}.py") for name in ("form", "conduct", "stream", "law"))
Wrapped, LOOSE = _FORM.Wrapped, _FORM.LOOSE
BROKEN = [entry for module in (_FORM, _CONDUCT, _STREAM, _LAW) for entry in module.BROKEN]


def test_the_wrapper_alone_keeps_the_contract() -> None:
    """What breaks below is what each adapter changes. It has no blocks: see tests/contract/test_blocks.py."""
    results = check_contract(Wrapped)
    due = [(name, "skipped" if name == "blocks" else "kept") for name in CHECKS]
    assert [(result.check, result.outcome) for result in results] == due


@pytest.mark.parametrize(("adapter", "check", "pattern"), BROKEN, ids=[f"{b.__name__}-{c}" for b, c, _ in BROKEN])
def test_broken_adapter_fails_and_says_why(adapter: type, check: str, pattern: str) -> None:
    with pytest.raises(ContractError) as caught:
        check_contract(adapter, checks=[check])
    assert caught.value.check == check
    assert str(caught.value).startswith(f"{check}: ")
    assert "\n" not in str(caught.value)
    assert re.search(pattern, str(caught.value)), str(caught.value)


def test_every_check_is_seen_to_fail() -> None:
    """That of blocks is, in tests/contract/test_blocks.py."""
    assert {check for _, check, _ in BROKEN} == set(CHECKS) - {"blocks"}


@pytest.mark.parametrize(
    ("adapter", "broken"),
    [
        (_LAW.Biased, {"law", "corners", "reported-q", "batches", "independence", "rare-events"}),
        (_LAW.WrongQ, {"integers", "modes", "switches", "bit-true", "reported-q"}),
        (_STREAM.SeedIgnored, {"seeds", "bit-true", "refusals"}),
    ],
)
def test_what_else_the_three_of_the_bar_break(adapter: type, broken: set[str]) -> None:
    """The whole suite on them: what has nothing to do with the bug is kept."""
    results = list(run_checks(adapter, max_draws=10_000_000))
    assert {result.check for result in results if result.outcome == "broken"} == broken


def test_a_law_within_its_stated_bound_is_kept() -> None:
    """One draw in 2500 of the best id moved: a total variation of 0.00017, where 0.001 is stated."""

    class Within(_LAW.Biased):
        promised = replace(LOOSE, exact=False, bound=1e-3)
        share = 1 / 2500

    check_contract(Within, checks=["law", "corners", "reported-q"])


def test_a_bound_that_contradicts_exact_is_no_promise() -> None:
    with pytest.raises(SpecError, match=r"bound = 0\.1 is not legal: expected 0\.0, because exact = True"):
        replace(LOOSE, bound=0.1)
    with pytest.raises(SpecError, match=r"bound = 0\.0 is not legal: expected a number in \(0, 1\)"):
        replace(LOOSE, exact=False)
    with pytest.raises(SpecError, match="reproducible = False is not legal"):
        Capabilities(name="x", exact=True, bit_true=True, counts_cycles=False, reproducible=False)


def test_noise_that_cannot_be_seeded_is_no_breach() -> None:
    """A chip with noise of its own says so: the checks that start a stream again leave it alone."""

    class Chip(_STREAM.OwnNoise):
        promised = replace(LOOSE, reproducible=False)

    results = check_contract(Chip, max_draws=20_000, checks=[name for name in CHECKS if name != "rare-events"])
    assert {result.check for result in results if result.outcome == "skipped"} == {"seeds", "bit-true", "blocks"}


def test_a_failing_adapter_is_named_not_raised() -> None:
    class Failing(Wrapped):
        def sample(self, psi: object, n: int) -> object:
            raise KeyError("lut")

    class Refusing(Wrapped):
        def sample(self, psi: object, n: int) -> object:
            raise TsuError("no answer within 20000 cycles")

    with pytest.raises(ContractError, match="shapes: the adapter failed: KeyError: 'lut'"):
        check_contract(Failing, checks=["shapes"])
    with pytest.raises(ContractError, match="law: what is legal was refused: no answer within 20000 cycles"):
        check_contract(Refusing, checks=["law"])


def test_a_tsu_that_cannot_be_opened_is_not_judged() -> None:
    def absent(*, seed: int, mode: str | None) -> object:
        raise TsuError("no chip")

    with pytest.raises(TsuError, match="no chip"):
        check_contract(absent)  # type: ignore[arg-type]  # never gives one
    with pytest.raises(SpecError, match="check = 'laws' is not legal: expected one of capabilities, shapes"):
        check_contract(Wrapped, checks=["laws"])
    with pytest.raises(SpecError, match=r"max_draws = 4095 is not legal: expected an integer in \[4096, "):
        check_contract(Wrapped, max_draws=4095)
