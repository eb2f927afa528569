# SPDX-License-Identifier: Apache-2.0
"""What verification costs, in CPU time of one thread: `python -m host.bench --part verify`.

Everything is prepared beforehand and measured in rounds that alternate; the least time of each contender counts, since
a shared machine only ever adds to it. Three tables: `SingleVerifier` in tokens per second, `SiblingVerifier` in
milliseconds per token (a new target and a new verifier for every token, and one decision, as in a text), and
`ChainVerifier` in microseconds per chain.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from statistics import median

import numpy as np
import numpy.typing as npt
from rich.box import SIMPLE
from rich.table import Table

from host.psi.law import DraftLaw
from host.tsu.base import Draws
from host.verify.chain import METHODS as CHAIN_METHODS
from host.verify.chain import ChainVerifier
from host.verify.siblings import METHODS, SiblingVerifier
from host.verify.single import SingleVerifier
from host.verify.study import TARGETS, made_up_target, psi_law

Floats = npt.NDArray[np.float64]

DRAFTS = (2, 4, 8, 16)
"""n of the sibling drafts."""

CHAIN_LENGTH, CHAIN_SIZES = 4, (1000, 49_152)
"""L, and the V, of the chains."""

SINGLE_VOCAB, SINGLE_BATCHES = 1000, (1, 64, 1 << 12, 1 << 16)
"""V of the single drafts, and how many of them come at once."""

K = 64
REPEATS = 5
"""Runs of a contender in one round."""


@dataclass(kw_only=True)
class Timed:
    """A contender.

    Parameters
    ----------
    labels : tuple of str
        Cells of its row.
    tokens : int
        How many tokens a run verifies.
    run : callable
    best_s : float
        Least CPU seconds of a run.
    """

    labels: tuple[str, ...]
    tokens: int
    run: Callable[[], object]
    best_s: float = float("inf")

    def measure(self) -> None:
        """Run, and keep the least time."""
        for _ in range(REPEATS):
            begin = time.thread_time()
            self.run()
            self.best_s = min(self.best_s, time.thread_time() - begin)


def drawn(law: DraftLaw, n: int, rng: np.random.Generator) -> list[int]:
    """n draws of a law."""
    q = law.probabilities()
    return [int(x) for x in rng.choice(law.vocab_size, n, p=q / q.sum())]


def single_contenders(rng: np.random.Generator) -> Iterator[Timed]:
    """One verifier, batches of drafts of one psi."""
    p = made_up_target("zipf", vocab_size=SINGLE_VOCAB, seed=1)
    law = psi_law(p, k=K, drafts=1)
    verifier = SingleVerifier(p=p, law=law)
    for count in SINGLE_BATCHES:
        tokens = np.array(drawn(law, count, rng), dtype=np.uint32)
        draws = Draws(tokens=tokens, weights=law.weight_of(tokens), spreads=law.spread_of(tokens), total=law.total)
        yield Timed(labels=(str(count),), tokens=count, run=partial(verifier.verify, draws, rng))


def sibling_contenders(vocab_size: int, rng: np.random.Generator) -> Iterator[Timed]:
    """Every method, n and kind of target; the drafts are refused where numbers can refuse them, which costs most."""
    for name in TARGETS:
        p = made_up_target(name, vocab_size=vocab_size, seed=1)
        for n in DRAFTS:
            law = psi_law(p, k=K, drafts=n)
            law.probabilities()
            drafts = drawn(law, n, rng)
            for method in METHODS:
                yield Timed(labels=(method, str(n), name), tokens=1, run=partial(_decide, p, law, drafts, method))


def _decide(p: Floats, law: DraftLaw, drafts: list[int], method: str) -> None:
    """One token of a text."""
    verifier = SiblingVerifier(p=p, law=law, drafts=len(drafts), method=method)
    if method == "gumbel":
        verifier.decide_at(drafts, seed=1, position=1)
    else:
        verifier.decide(drafts, np.full(verifier.uniforms, 1 - 2.0**-53))


def chain_contenders(rng: np.random.Generator) -> Iterator[Timed]:
    """Chains of L drafts, each with a target and a law of its own."""
    for vocab_size in CHAIN_SIZES:
        rows = [made_up_target("zipf", vocab_size=vocab_size, seed=seed) for seed in range(CHAIN_LENGTH + 1)]
        laws = [psi_law(row, k=K, drafts=1) for row in rows[:-1]]
        p = np.stack(rows)
        chains = [([drawn(law, 1, rng)[0] for law in laws], rng.random(CHAIN_LENGTH + 1)) for _ in range(64)]
        for method in CHAIN_METHODS:
            run = partial(_decide_chains, p, laws, chains, method)
            yield Timed(labels=(method, str(vocab_size)), tokens=len(chains), run=run)


def _decide_chains(p: Floats, laws: list[DraftLaw], chains: list[tuple[list[int], Floats]], method: str) -> None:
    for drafts, uniforms in chains:
        ChainVerifier(p=p, laws=laws, method=method).decide(drafts, uniforms)


def verify_tables(*, vocab_size: int, rounds: int, seed: int) -> list[Table]:
    """Measure everything; the tables to print."""
    rng = np.random.default_rng(seed)
    single, chains = list(single_contenders(rng)), list(chain_contenders(rng))
    siblings = list(sibling_contenders(vocab_size, rng))
    for _ in range(rounds):
        for contender in (*single, *siblings, *chains):
            contender.measure()
    return [_single_table(single), _sibling_table(siblings, vocab_size), _chain_table(chains)]


def _table(title: str, *headings: str) -> Table:
    table = Table(title=title, box=SIMPLE, pad_edge=False, collapse_padding=True)
    for heading in headings:
        table.add_column(heading, justify="right", no_wrap=True)
    return table


def _single_table(found: list[Timed]) -> Table:
    table = _table(f"one draft a position, V = {SINGLE_VOCAB}", "drafts at once", "M tokens/s")
    for timed in found:
        table.add_row(*timed.labels, f"{timed.tokens / timed.best_s / 1e6:.3g}")
    return table


def _sibling_table(found: list[Timed], vocab_size: int) -> Table:
    title = f"n drafts of a position, V = {vocab_size}: ms per token, median and worst target"
    table = _table(title, "n", *(f"{method}{what}" for method in METHODS for what in ("", " worst")))
    for n in DRAFTS:
        cells = [str(n)]
        for method in METHODS:
            times = [1e3 * timed.best_s for timed in found if timed.labels[:2] == (method, str(n))]
            cells += [f"{median(times):.2f}", f"{max(times):.2f}"]
        table.add_row(*cells)
    return table


def _chain_table(found: list[Timed]) -> Table:
    table = _table(f"chains of {CHAIN_LENGTH} drafts", "method", "V", "us per chain")
    for timed in found:
        table.add_row(*timed.labels, f"{1e6 * timed.best_s / timed.tokens:.3g}")
    return table
