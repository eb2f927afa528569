# SPDX-License-Identifier: Apache-2.0
"""The classes into which counts, lengths, weight tables and psi are sorted; see `groups.py` for their names."""

import math
from collections.abc import Sequence
from functools import cached_property

from hw.spec.commands import ENTRY_FIELDS, LOAD_FIELDS, LOAD_HEADER_WORDS, TABLE_COMMAND_WORDS, get_field
from hw.spec.config import TsuConfig

RATIO_FRACTION_BITS = 44
"""Fraction bits of `log2_ratio_q`."""


def count_class(count: int) -> str:
    """Class of a number of draws."""
    bounds = ((0, "0"), (1, "1"), (9, "2 to 9"), (99, "10 to 99"))
    return next((name for bound, name in bounds if count <= bound), "100 and more")


def length_class(cycles: int) -> str:
    """Class of a stall of at least one cycle."""
    return "1 to 9" if cycles < 10 else "10 to 99" if cycles < 100 else "100 and more"


def step_class(nats: float) -> str:
    """Class of scale / tau, in nats per code."""
    if nats == 0:
        return "0"
    bounds = ((0.01, "below 0.01"), (0.1, "0.01 to 0.1"), (1.0, "0.1 to 1"))
    return next((name for bound, name in bounds if nats < bound), "1 and more")


def table_step(words: Sequence[int], config: TsuConfig) -> str | None:
    """Class of scale / tau that a TABLE stands for; None where its entries are no exponential.

    An entry d is 2^(W-1) exp(-d scale / tau). The step is taken from the first entry at or below half of the top.
    """
    if len(words) != TABLE_COMMAND_WORDS:
        return None
    entries = [words[1 + 2 * d] | words[2 + 2 * d] << 32 for d in range(len(words) // 2)]
    top = 1 << (config.weight_bits - 1)
    far = next((d for d, entry in enumerate(entries) if 2 * entry <= top), len(entries) - 1)
    if entries[0] != top or far == 0:
        return None
    nats = math.log(top / max(entries[far], 0.5)) / far
    if any(abs(entry - top * math.exp(-nats * d)) > 1 + 0.02 * top for d, entry in enumerate(entries)):
        return None
    return step_class(nats)


def candidate_classes(*, over: bool, biased: bool, tail: bool, n: int) -> tuple[str, str]:
    """What becomes of a candidate, and the class of n = V - K.

    Parameters
    ----------
    over : bool
        u >= c Z.
    biased : bool
        The tail index would be biased.
    tail : bool
        u lies in the tail.
    n : int
        Tokens of the tail.
    """
    outcome = "tail" if tail else "head"
    if over or biased:
        outcome = "rejected for both" if over and biased else f"rejected for {'u' if over else 'the tail index'}"
    return outcome, str(n) if n < 2 else "other" if n & (n - 1) else "power of two"


class Load:
    """What a LOAD says of its psi.

    Parameters
    ----------
    words : sequence of int
        The command, longer than its header.
    config : TsuConfig
    table_step : str or None
        Class of the table that holds now.

    Attributes
    ----------
    total : int
        Z, from its status; 0 before.
    """

    def __init__(self, words: Sequence[int], config: TsuConfig, *, table_step: str | None) -> None:
        fields = {name: get_field(list(words), LOAD_FIELDS, name) for name in LOAD_FIELDS}
        self._config, self._fields, self._table_step = config, fields, table_step
        self.total = 0
        self.mode = "exp2" if fields["mode"] else "table"
        entries = words[LOAD_HEADER_WORDS:]
        mask = (1 << ENTRY_FIELDS["id"].width) - 1
        self.ids = [word & mask for word in entries]
        code = ENTRY_FIELDS["score_q"]
        self._codes = [((word >> code.low & 0xFF) ^ 0x80) - 0x80 for word in entries]

    @property
    def k_class(self) -> str:
        """Class of K."""
        k, most = len(self.ids), self._config.k_max
        if k == most:
            return "k_max"
        return str(k) if k < 3 else "3 to k_max/2" if 2 * k <= most else "more"

    @property
    def tail_class(self) -> str:
        """Class of T / Z."""
        tail = self._fields["tail_weight"]
        if self._fields["vocab_size"] == len(self.ids):
            return "V = K"
        if tail == 0:
            return "T = 0"
        return "below 1 %" if 100 * tail < self.total else "1 % to 50 %" if 2 * tail < self.total else "50 % and more"

    @property
    def step(self) -> str | None:
        """Class of scale / tau; None where the table holds no exponential."""
        if self.mode == "table":
            return self._table_step
        return step_class(self._fields["log2_ratio_q"] / 2**RATIO_FRACTION_BITS * math.log(2))

    @property
    def distance_class(self) -> str:
        """Class of the distance between the largest and the smallest code."""
        distance = max(self._codes) - min(self._codes)
        return "0" if distance == 0 else "1 to 127" if distance < 128 else "128 to 254" if distance < 255 else "255"

    @property
    def shift_class(self) -> str:
        """Class of h."""
        shift = self._fields["shift"]
        return "0" if shift == 0 else "1 to 7" if shift < 8 else "8 and more"

    @property
    def id_classes(self) -> tuple[str, str, str]:
        """Classes of V, of the first and of the last id."""
        vocab, k = self._fields["vocab_size"], len(self.ids)
        size = "vocab_max" if vocab == self._config.vocab_max else "between"
        if vocab <= k + 1:
            size = "K" if vocab == k else "K + 1"
        return (
            size,
            "0" if self.ids[0] == 0 else "above 0",
            "V - 1" if self.ids[-1] == vocab - 1 else "below V - 1",
        )

    @cached_property
    def _rank(self) -> dict[int, int]:
        return {token: rank for rank, token in enumerate(self.ids)}

    def place(self, token: int, is_tail: bool) -> str:
        """Where a drawn token lies."""
        if is_tail:
            if token < self.ids[0]:
                return "tail below all ids"
            return "tail above all ids" if token > self.ids[-1] else "tail between ids"
        if len(self.ids) == 1:
            return "the only id"
        rank = self._rank.get(token, -1)
        return "the first id" if rank == 0 else "the last id" if rank == len(self.ids) - 1 else "an inner id"
