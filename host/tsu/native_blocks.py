# SPDX-License-Identifier: Apache-2.0
"""A bit-true TSU in process that keeps a psi for each context and drafts blocks by itself."""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from host.psi.schema import Psi
from hw.spec.commands import WeightMode
from hw.spec.errors import SpecError, check_int

from .base import Blocks, TsuError, check_contexts
from .held import Command
from .lowering import BLOCK_LENGTH_MAX, block_command, context_command, lower, table_command, weight_table
from .native import ANSWER_CYCLES, DRAW_CYCLES, NativeTsu


class BlockNativeTsu(NativeTsu):
    """`NativeTsu` with a psi bank, where its configuration has contexts; parameters are those of `NativeTsu`."""

    _totals: npt.NDArray[np.uint64] | None = None  # Z of each slot, 0 where it holds no psi

    def load_bank(self, psis: Mapping[int, Psi] | Sequence[Psi]) -> None:
        """Put psi into the slots of their contexts; other slots keep what they hold.

        The psi that `sample` was given last has to be loaded again afterwards, which `sample` does by itself.

        Parameters
        ----------
        psis : mapping of int to Psi, or sequence of Psi
            By context, in [0, contexts - 1]; a sequence begins with context 0.

        Raises
        ------
        SpecError
            The TSU has no contexts, or a context or a psi exceeds its capacity; no slot has been changed.
        TsuError
            The TSU refused a psi, whose slot is empty now; those before it in the order of `psis` are loaded.
        """
        slots = self._slots()
        self._check_whole()
        lowered = {}
        for context, psi in psis.items() if isinstance(psis, Mapping) else enumerate(psis):
            slot = check_int("context", context, 0, self._config.contexts - 1)
            lowered[slot] = lower(psi, self._config, self._mode)
        for slot, content in lowered.items():
            psi = content.psi
            if self._mode is WeightMode.TABLE and self._held.table_key != (psi.scale, psi.tau):
                self._held.forget()
                self._execute(Command(words=table_command(weight_table(psi.scale, psi.tau, self._config.weight_bits))))
                self._held.table_key = (psi.scale, psi.tau)
            self._held.forget(table=False)
            slots[slot] = 0
            try:
                slots[slot] = self._execute(Command(words=context_command(content, slot=slot), lowered=content))
            except TsuError as error:
                raise TsuError(f"context {slot}: {error}") from error

    def blocks(self, contexts: npt.ArrayLike, length: int) -> Blocks:
        """Draw `length` tokens for each stream, every one from the psi in the slot of the token before.

        The order in which streams take noise is that of docs/DESIGN_TSD.md section 8. More contexts than the TSU has
        streams are drafted in groups of `config.streams`, one group after the other.

        Parameters
        ----------
        contexts : array_like of int, shape (streams,)
            Context that each stream starts in; its slot holds a psi.
        length : int
            Tokens of each stream, in [0, 65535].

        Raises
        ------
        SpecError
            The TSU has no contexts, `length` is out of range, or a context is none or holds no psi; nothing is drawn.
        TsuError
            The TSU did not answer within its cycle bound.
        NoiseAlarm
            A health test of its noise failed: these draws, and others since the last seed, are not to be trusted.
        """
        slots = self._slots()
        check_int("length", length, 0, BLOCK_LENGTH_MAX)
        starts = self._check_starts(contexts, slots)
        self._check_whole()
        shape = (len(starts), length)
        tokens, spreads = np.zeros(shape, dtype=np.uint32), np.zeros(shape, dtype=np.uint32)
        weights, lengths = np.zeros(shape, dtype=np.uint64), np.zeros(len(starts), dtype=np.uint32)
        for first in range(0, len(starts) if length else 0, self._config.streams):
            part = slice(first, first + self._config.streams)
            self._draw_block(starts[part], tokens[part], weights[part], spreads[part], lengths[part])
        self._check_health()
        before = np.concatenate([starts[:, None], tokens[:, :-1]], axis=1)[:, :length]
        drawn = np.arange(length) < lengths[:, None]
        totals = np.zeros(shape, dtype=np.uint64)
        totals[drawn] = slots[before[drawn]]
        return Blocks(tokens=tokens, weights=weights, spreads=spreads, totals=totals, lengths=lengths)

    def _draw_block(
        self,
        starts: npt.NDArray[np.uint32],
        tokens: npt.NDArray[np.uint32],
        weights: npt.NDArray[np.uint64],
        spreads: npt.NDArray[np.uint32],
        lengths: npt.NDArray[np.uint32],
    ) -> None:
        """One BLOCK, into contiguous rows of the caller's arrays."""
        streams, length = tokens.shape
        self._interrupted = True
        self._execute(Command(words=block_command(starts, length=length)))
        bound = ANSWER_CYCLES + DRAW_CYCLES * streams * length
        addresses = (array.ctypes.data for array in (tokens, weights, spreads, lengths))
        ended = self._library.tsd_blocks(self._handle(), streams, length, *addresses, bound)
        if ended != streams:
            self._fail(f"{ended} of {streams} streams ended within {bound} cycles: {self._message()}")
        self._interrupted = False

    def _slots(self) -> npt.NDArray[np.uint64]:
        """Z of each slot. Raises SpecError where there are none."""
        check_contexts(self._config)
        if self._totals is None:
            self._totals = np.zeros(self._config.contexts, dtype=np.uint64)
        return self._totals

    def _check_starts(self, contexts: npt.ArrayLike, slots: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint32]:
        """The contexts as an array. Raises SpecError where one is no context, or its slot holds no psi."""
        given = np.asarray(contexts)
        if given.ndim != 1 or not (given.size == 0 or np.issubdtype(given.dtype, np.integer)):
            raise SpecError("contexts", f"{given.dtype} of shape {given.shape}", "integers of shape (streams,)")
        for context in given.tolist():
            check_int("context", context, 0, len(slots) - 1)
            if not slots[context]:
                raise SpecError("context", context, "a context whose slot holds a psi: `load_bank` puts it there")
        return given.astype(np.uint32)
