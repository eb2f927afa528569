# SPDX-License-Identifier: Apache-2.0
"""A line that damages what passes: flipped bits, lost and doubled bytes, frames cut short."""

import random
from dataclasses import dataclass

from hw.spec.errors import SpecError, check_int
from hw.spec.frames import DELIMITER

KINDS = ("flip", "drop", "duplicate", "truncate")
"""Faults by name; a rate belongs to each."""


@dataclass(frozen=True, kw_only=True)
class FaultRates:
    """Probabilities of a fault at each byte.

    Parameters
    ----------
    flip : float
        One bit of the byte is inverted.
    drop : float
        The byte is lost.
    duplicate : float
        The byte comes twice.
    truncate : float
        The byte and the rest of its frame up to the delimiter are lost.

    Raises
    ------
    SpecError
        A rate is outside [0, 0.5].
    """

    flip: float = 0.0
    drop: float = 0.0
    duplicate: float = 0.0
    truncate: float = 0.0

    def __post_init__(self) -> None:
        for kind in KINDS:
            rate = getattr(self, kind)
            if not 0 <= rate <= 0.5:
                raise SpecError(kind, rate, "a probability in [0, 0.5]")

    @property
    def any(self) -> bool:
        """Whether something can happen."""
        return any(getattr(self, kind) for kind in KINDS)


class FaultyLine:
    """One direction of a line, with faults from a seed.

    Parameters
    ----------
    rates : FaultRates
    seed : int

    Attributes
    ----------
    faults : dict of str to int
        How often each fault happened.
    """

    def __init__(self, rates: FaultRates, *, seed: int) -> None:
        self._rates = rates
        self._rng = random.Random(check_int("seed", seed, 0, (1 << 64) - 1))
        self._cut = False  # the rest of this frame is lost
        self.faults = dict.fromkeys(KINDS, 0)

    def __call__(self, data: bytes) -> bytes:
        """What arrives of `data`."""
        rates = self._rates
        if not rates.any:
            return data
        out = bytearray()
        for byte in data:
            if byte == DELIMITER:
                self._cut = False
            elif not self._cut and self._happens("truncate", rates.truncate):
                self._cut = True
            if self._cut or self._happens("drop", rates.drop):
                continue
            if self._happens("flip", rates.flip):
                byte ^= 1 << self._rng.randrange(8)
            out.append(byte)
            if self._happens("duplicate", rates.duplicate):
                out.append(byte)
        return bytes(out)

    def _happens(self, kind: str, rate: float) -> bool:
        happens = rate > 0 and self._rng.random() < rate
        self.faults[kind] += happens
        return happens
