# SPDX-License-Identifier: Apache-2.0
"""The contract of blocks: the backends that draft on chip keep it, and adapters that break one rule each do not."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import pytest

from host.contract.errors import ContractError
from host.contract.suite import check_contract
from host.tsu.base import Blocks, Capabilities
from host.tsu.model import ModelTsu
from host.tsu.registry import BACKENDS, open_tsu
from hw.spec.config import TsuConfig

CONFIG = TsuConfig(
    k_max=8, vocab_max=64, weight_bits=12, headroom_bits=2, guard_bits=2, tail_noise_bits=8, contexts=16, streams=32
)


@pytest.mark.parametrize("backend", ["model", "rtl", pytest.param("cxxrtl", marks=pytest.mark.slow)])
def test_backends_keep_the_contract_of_blocks(backend: str) -> None:
    (result,) = check_contract(partial(open_tsu, backend=backend, config=CONFIG), checks=["blocks"])
    assert (result.outcome, result.note.split(" in ")[1]) == ("kept", "blocks of 0, 1, 2, 7, 64")


def test_it_is_skipped_where_there_are_none() -> None:
    assert {"model", "rtl", "cxxrtl"} < set(BACKENDS)
    plain = partial(open_tsu, backend="model", config=CONFIG.with_fields(contexts=0))
    (result,) = check_contract(plain, checks=["blocks"])
    assert (result.outcome, result.note) == ("skipped", "contexts = 0: this configuration has no psi bank")


def of_neighbour(array: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """Every column as the one before had it."""
    return np.concatenate([array[:, :1], array[:, :-1]], axis=1)


FAULTS: dict[str, tuple[Callable[[Blocks], Blocks], str]] = {
    "Z of the psi before": (lambda b: replace(b, totals=of_neighbour(b.totals)), "has weight, spread, total"),
    "tail weight of a head": (lambda b: replace(b, spreads=np.ones_like(b.spreads)), "has weight, spread, total"),
    "ends early": (lambda b: replace(b, lengths=np.minimum(b.lengths, 3)), "ends behind 3 of 7 tokens"),
    "goes on": (
        lambda b: replace(b, lengths=np.full_like(b.lengths, b.tokens.shape[1])),
        "goes on behind token|has weight, spread, total",
    ),
    "streams are mixed up": (
        lambda b: Blocks(**{name: column[::-1].copy() for name, column in vars(b).items()}),
        "has weight, spread, total",
    ),
    "int64": (lambda b: replace(b, lengths=b.lengths.astype(np.int64)), "Blocks.lengths is not a uint32 array"),
}


class Faulty(ModelTsu):
    """The model; `change` says what is wrong with its blocks."""

    promised: ClassVar[Capabilities] = Capabilities(
        name="faulty", exact=True, bit_true=True, counts_cycles=False, blocks=True
    )

    def __init__(self, *, change: Callable[[Blocks], Blocks], seed: int = 0, mode: str | None = None) -> None:
        super().__init__(config=CONFIG, seed=seed, mode=mode)
        self._change = change

    @property
    def capabilities(self) -> Capabilities:
        return self.promised

    def blocks(self, contexts: npt.ArrayLike, length: int) -> Blocks:
        return self._change(super().blocks(contexts, length))


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_noticed(fault: str) -> None:
    change, message = FAULTS[fault]
    with pytest.raises(ContractError, match=message):
        check_contract(partial(Faulty, change=change), checks=["blocks"])


def test_another_order_of_noise_is_noticed() -> None:
    """Blocks from the law, one candidate further on: only the stream is another."""

    class Shifted(Faulty):
        def blocks(self, contexts: npt.ArrayLike, length: int) -> Blocks:
            ModelTsu.blocks(self, [0], 1)
            return ModelTsu.blocks(self, contexts, length)

    with pytest.raises(ContractError, match="are not those of the model"):
        check_contract(partial(Shifted, change=lambda b: b), checks=["blocks"])


def test_a_start_without_psi_has_to_be_refused() -> None:
    class Lenient(Faulty):
        def blocks(self, contexts: npt.ArrayLike, length: int) -> Blocks:
            return ModelTsu.blocks(self, np.minimum(contexts, CONFIG.contexts - 2), length)

    with pytest.raises(ContractError, match="a stream may start in a context without psi"):
        check_contract(partial(Lenient, change=lambda b: b), checks=["blocks"])
