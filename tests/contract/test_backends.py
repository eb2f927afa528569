# SPDX-License-Identifier: Apache-2.0
"""Every backend of the registry keeps the contract: `host.contract`, check by check.

The checks fix their seeds, levels and sample sizes themselves (docs/how-to/adapter.md). Backends that draw slowly get
fewer draws here, and all of them in the slow tests; their checks then say what they still detect.
"""

from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest

from host.contract import CHECKS, Result, check_contract
from host.contract.errors import NotApplicable
from host.contract.evidence import FAMILY_SIZE
from host.contract.subject import Opener, Subject
from host.tsu.base import Capabilities, TsuError
from host.tsu.registry import BACKENDS, open_tsu
from hw.spec.config import PRESETS, TsuConfig
from sim.bench_file import load_module
from sim.board import open_board

_FAKE = load_module(Path(__file__).parents[1] / "reference" / "fake_board.py")

FEWER_DRAWS = {"serial": 10_000, "thrml": 1_000_000, "cxxrtl": 6_000_000}
"""Most draws of one test in the quick suite, for backends below 5 million draws a second."""

LEFT_OUT_BY_SETUP = {"thrml"}
"""Extras that `make setup` does not install: a backend that needs one is skipped where it is missing."""


@pytest.fixture(scope="module")
def fake_board() -> Iterator[str]:
    """Port of a device in Python around the compiled model."""
    with _FAKE.FakeBoard(_FAKE.FakeDevice(PRESETS["sim"])) as board:
        yield board.port


@pytest.fixture(scope="module")
def simulated_board() -> Iterator[str]:
    """Port of the whole gateware under Verilator, UART included."""
    with open_board(preset="sim") as board:
        yield board.port


def opener(backend: str, port: str | None) -> tuple[Opener, Capabilities]:
    """What opens a backend, and what it promises; skips where its extra is not part of `make setup`."""
    entry = BACKENDS[backend]
    place = {"config": None, "port": port} if entry.has_port else {"config": PRESETS["sim"]}
    open_one = partial(open_tsu, backend=backend, **place)
    try:
        with open_one(seed=0) as tsu:
            return open_one, tsu.capabilities
    except TsuError as error:
        if entry.extra in LEFT_OUT_BY_SETUP and "pip install" in str(error):
            pytest.skip(str(error))
        raise


def may_skip(check: str, promised: Capabilities, max_draws: int | None) -> bool:
    """Whether a check may have nothing to ask of a backend: what it does not promise, and too few draws."""
    match check:
        case "bit-true":
            return not promised.bit_true or promised.name == "model"  # the model is what others are compared with
        case "blocks":
            return True  # the presets have no contexts: see tests/contract/test_blocks.py
        case "seeds":
            return not promised.reproducible
        case "rare-events":
            return max_draws is not None
    return False


def hold(backend: str, check: str, port: str | None, max_draws: int | None) -> Result:
    """The result of one check, which is kept; skips where `may_skip` allows it."""
    open_one, promised = opener(backend, port)
    (result,) = check_contract(open_one, checks=[check], max_draws=max_draws)
    if result.outcome == "skipped":
        assert may_skip(check, promised, max_draws), f"{check} asked nothing of {backend}: {result.note}"
        pytest.skip(result.note)
    assert result.outcome == "kept"
    return result


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("backend", BACKENDS)
def test_backend_keeps_the_contract(backend: str, check: str, fake_board: str) -> None:
    hold(backend, check, fake_board, FEWER_DRAWS.get(backend))


@pytest.mark.slow
@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("backend", [name for name in FEWER_DRAWS if name in BACKENDS and not BACKENDS[name].has_port])
def test_backend_keeps_the_contract_with_all_draws(backend: str, check: str) -> None:
    hold(backend, check, None, None)


@pytest.mark.slow
@pytest.mark.parametrize("check", CHECKS)
def test_simulated_board_keeps_the_contract(check: str, simulated_board: str) -> None:
    hold("serial", check, simulated_board, FEWER_DRAWS["serial"])


CONFIGS = {
    "tiny": PRESETS["tiny"],
    "up5k": PRESETS["up5k"],
    "lanes": TsuConfig(lanes=4),
    "groups": TsuConfig(groups=2, lanes=2),
    "wide": TsuConfig(k_max=1024, vocab_max=4000, weight_source="exp2"),
    "smallest": TsuConfig(k_max=2, vocab_max=2),
}
ALWAYS_SKIPPED = {"bit-true": "this is the model itself", "blocks": "this configuration has no psi bank"}
SKIPPED = {
    ("tiny", "rare-events"): "no token of this TSU is as rare",
    ("smallest", "rare-events"): "do not tell a rare token",
    ("smallest", "tail"): "no psi has two tail tokens",
}


@pytest.mark.parametrize("name", CONFIGS)
def test_checks_fit_every_configuration(name: str) -> None:
    """The suite asks of a TSU what it has room for; what it cannot ask, it says."""
    open_model = partial(open_tsu, backend="model", config=CONFIGS[name])
    for result in check_contract(open_model, max_draws=10_000_000):
        if result.outcome == "skipped":
            due = ALWAYS_SKIPPED.get(result.check) or SKIPPED.get((name, result.check))
            assert due is not None, result
            assert due in result.note
        else:
            assert result.outcome == "kept"
            assert (name, result.check) not in SKIPPED


def test_tests_of_a_run_are_fewer_than_the_level_allows() -> None:
    """Lanes bring one test more; a bound brings none."""
    subject = Subject(partial(open_tsu, backend="model", config=TsuConfig(lanes=4)), max_draws=6_000_000)
    for check in CHECKS.values():
        with suppress(NotApplicable):
            check(subject)
    assert 15 < subject.tests <= FAMILY_SIZE
