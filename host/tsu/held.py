# SPDX-License-Identifier: Apache-2.0
"""What a TSU holds, and so which commands bring draws of a psi; and why a command was refused, in one line."""

from collections import OrderedDict
from dataclasses import dataclass

from host.psi.schema import Psi
from hw.spec.commands import STATUS_TEXT, Opcode, Status, WeightMode
from hw.spec.config import TsuConfig

from .base import TsuError
from .lowering import LoweredPsi, Words, draw_command, load_command, lower, table_command, weight_table, with_count

LOWERED_KEPT = 4096
"""Psi whose LOAD is kept: contexts come again and again."""


@dataclass(frozen=True, kw_only=True)
class Command:
    """One command for a TSU.

    Parameters
    ----------
    words : uint32 ndarray of shape (words,)
    count : int
        Draws that it asks for.
    lowered : LoweredPsi or None
        Where a LOAD comes from.
    """

    words: Words
    count: int = 0
    lowered: LoweredPsi | None = None


class HeldPsi:
    """The psi and the weight table that a TSU was given last.

    The owner says what became of the commands: `hold` when they were given, `forget` when it cannot know.

    Parameters
    ----------
    config : TsuConfig
    """

    def __init__(self, config: TsuConfig) -> None:
        self._config = config
        self._psi: Psi | None = None
        self._mode = WeightMode.TABLE
        self.table_key: tuple[float, float] | None = None
        self._loads: OrderedDict[tuple[int, WeightMode], Command] = OrderedDict()

    def commands(self, psi: Psi, count: int, mode: WeightMode) -> list[Command]:
        """The commands that bring `count` draws of `psi`: none, a DRAW, a LOAD, or a TABLE and a LOAD.

        Raises
        ------
        SpecError
            The psi exceeds the capacity of the TSU.
        """
        if self._holds(psi, mode):
            return [Command(words=draw_command(count=count), count=count)] if count else []
        load = self._load(psi, count, mode)
        if mode is not WeightMode.TABLE or self.table_key == (psi.scale, psi.tau):
            return [load]
        return [Command(words=table_command(weight_table(psi.scale, psi.tau, self._config.weight_bits))), load]

    def hold(self, psi: Psi, mode: WeightMode) -> None:
        """The TSU was given the commands of `psi`."""
        self._psi, self._mode = psi, mode
        if mode is WeightMode.TABLE:
            self.table_key = (psi.scale, psi.tau)

    def forget(self, *, table: bool = True) -> None:
        """The TSU holds no known psi, and with `table` no known table either."""
        self._psi = None
        if table:
            self.table_key = None

    def _load(self, psi: Psi, count: int, mode: WeightMode) -> Command:
        """The LOAD of this very object; only the number of draws is put in anew where it was lowered before."""
        key = (id(psi), mode)  # the command holds the psi, so that no other object can get its place
        kept = self._loads.get(key)
        if kept is None:
            lowered = lower(psi, self._config, mode)
            kept = self._loads[key] = Command(words=load_command(lowered, count=0), lowered=lowered)
            if len(self._loads) > LOWERED_KEPT:
                self._loads.popitem(last=False)
        self._loads.move_to_end(key)
        return Command(words=with_count(kept.words, count), count=count, lowered=kept.lowered)

    def _holds(self, psi: Psi, mode: WeightMode) -> bool:
        held = self._psi
        return held is not None and mode is self._mode and (psi is held or psi == held)


def refusal(words: Words, status: Status, config: TsuConfig, lowered: LoweredPsi | None = None) -> TsuError:
    """The error of a command that the TSU refused; of a LOAD it names the offending fields of `lowered`."""
    opcode = Opcode(int(words[0]) & 0xFF).name
    fields = "" if lowered is None else describe(status, config, lowered)
    return TsuError(f"the TSU refused {opcode}: {status.name}, {STATUS_TEXT[status]}{fields}")


def describe(status: Status, config: TsuConfig, lowered: LoweredPsi) -> str:
    """The offending fields of a refused LOAD, in parentheses; empty where the status names none."""
    psi = lowered.psi
    facts = {
        Status.BAD_K: f"k = {psi.k}, k_max = {config.k_max}",
        Status.BAD_VOCAB: f"vocab_size = {psi.vocab_size}, k = {psi.k}, vocab_max = {config.vocab_max}",
        Status.BAD_MODE: f"mode = {lowered.mode.name.lower()}, weight_source = {config.weight_source}",
        Status.BAD_TAIL: f"tail = {psi.tail!r}, tail_weight = {lowered.tail_weight}, vocab_size = {psi.vocab_size}",
        Status.BAD_TOTAL: f"k = {psi.k}, tail = {psi.tail!r}, shift = {lowered.shift}, "
        f"legal totals = [{config.total_min}, {config.total_max}]",
    }
    return f" ({facts[status]})" if status in facts else ""
