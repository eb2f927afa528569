# SPDX-License-Identifier: Apache-2.0
"""Counts of a run over many contexts, and the figures of each: overlap, acceptance, cross-entropy gap."""

import csv
import io
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np
import numpy.typing as npt

from host import stats
from host.decode.loop import ContextLaw, Group
from host.psi.wire import psi_bytes
from hw.spec.errors import check_int

from .files import whole_file
from .summary import CONFIDENCE, ce_gap_nats

VOCAB_MAX = 4096
"""Largest vocabulary whose counts of pairs are kept: three tables of 64 MiB."""


class ContextTally:
    """Counts per context (the last token) and token; memory does not grow with the number of steps.

    Parameters
    ----------
    vocab_size : int
        V, at most `VOCAB_MAX`.

    Attributes
    ----------
    drafts, emitted, recovered : uint32 ndarray of shape (V, V)
        Counts at [context, token].
    """

    def __init__(self, vocab_size: int) -> None:
        self.vocab_size = check_int("vocab_size", vocab_size, 1, VOCAB_MAX)
        self.steps = self.accepted = 0
        self.tsu_s = self.verifier_s = self.elapsed_s = 0.0
        shape = (vocab_size, vocab_size)
        self.drafts, self.emitted, self.recovered = (np.zeros(shape, dtype=np.uint32) for _ in range(3))

    def add(self, group: Group) -> None:
        """Count what one step did at one context."""
        context = group.at.context[-1]
        verified = group.verified
        for table, tokens in (
            (self.drafts, group.draws.tokens),
            (self.emitted, verified.tokens),
            (self.recovered, verified.tokens[~verified.accepted]),
        ):
            table[context] += np.bincount(tokens, minlength=self.vocab_size).astype(np.uint32)
        self.steps += len(verified)
        self.accepted += verified.accepted_count
        self.tsu_s += group.tsu_s
        self.verifier_s += group.verifier_s

    @property
    def visits(self) -> npt.NDArray[np.int64]:
        """Steps at each context, int64 of shape (V,)."""
        visits: npt.NDArray[np.int64] = self.drafts.sum(axis=1, dtype=np.int64)
        return visits


@dataclass(frozen=True, kw_only=True)
class ContextRow:
    """Figures of one context, a row of contexts.csv.

    Parameters
    ----------
    context : int
        Last token.
    steps, accepted : int
    accept_rate, accept_low, accept_high : float
        Share of accepted drafts and its Clopper-Pearson interval.
    overlap : float
        sum min(p, q), the expected acceptance.
    ce_gap_nats : float or None
        sum p ln(p / q); None where it is infinite.
    mean_log_q : float
        Mean of ln q over the drafts, nats.
    emitted_p_value : float or None
        Of the emitted tokens against p; None where there are too few to test.
    k, psi_bytes : int
        Of the psi.
    tail, total : float, int
        Tail of the psi over its best weight, and the integer Z of its law.
    """

    context: int
    steps: int
    accepted: int
    accept_rate: float
    accept_low: float
    accept_high: float
    overlap: float
    ce_gap_nats: float | None
    mean_log_q: float
    emitted_p_value: float | None
    k: int
    psi_bytes: int
    tail: float
    total: int


def context_row(
    at: ContextLaw, q: npt.NDArray[np.float64], drafts: npt.NDArray[np.int64], recovered: int, p_value: float | None
) -> ContextRow:
    """The figures of one visited context from its counts; q as `at.law.probabilities()` gives it."""
    steps = int(drafts.sum())
    accepted = steps - recovered
    low, high = stats.binomial_interval(accepted, steps, CONFIDENCE)
    seen = np.flatnonzero(drafts)
    return ContextRow(
        context=at.context[-1],
        steps=steps,
        accepted=accepted,
        accept_rate=accepted / steps,
        accept_low=low,
        accept_high=high,
        overlap=min(float(np.minimum(at.p, q).sum()), 1.0),
        ce_gap_nats=ce_gap_nats(at.p, q),
        mean_log_q=float(np.dot(drafts[seen], at.law.log_q(seen)) / steps),
        emitted_p_value=p_value,
        k=at.psi.k,
        psi_bytes=psi_bytes(at.psi),
        tail=float(at.psi.tail),
        total=at.law.total,
    )


def write_rows(path: Path, rows: Iterable[object], kind: type) -> None:
    """Dataclass instances of `kind` as CSV with a header, whole or not at all; None is an empty cell.

    Raises
    ------
    OutputError
        The file cannot be written.
    """
    text = io.StringIO()
    writer = csv.DictWriter(text, [field.name for field in fields(kind)], lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(row) for row in rows)  # type: ignore[call-overload]  # instances of a dataclass
    with whole_file(path) as file:
        file.write(text.getvalue().encode())
