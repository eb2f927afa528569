# SPDX-License-Identifier: Apache-2.0
"""What every TSU backend offers: `sample(psi, n)` with exact integers, capabilities, a context manager."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, Self, cast

import numpy as np
import numpy.typing as npt

from host.psi.schema import Psi
from hw.spec.config import TsuConfig
from hw.spec.errors import SpecError
from hw.spec.registers import Alarm


class TsuError(RuntimeError):
    """A TSU refused a command, did not answer within its cycle bound, or cannot be built."""


class NoiseAlarm(TsuError):  # noqa: N818  # says what happened: `except NoiseAlarm`
    """A health test of the noise failed; draws since the last SEED are not to be trusted.

    Parameters
    ----------
    message : str
        One line that names lanes and tests.
    alarms : tuple of Alarm
        The tests that failed.
    """

    def __init__(self, message: str, *, alarms: tuple[Alarm, ...]) -> None:
        super().__init__(message)
        self.alarms = alarms


@dataclass(frozen=True, kw_only=True)
class Capabilities:
    """What a backend promises; `python -m host.contract` holds it to that.

    Parameters
    ----------
    name : str
        Backend name as given to `--backend`.
    exact : bool
        The law of the draws equals weight / (total * spread) as integers, with nothing rounded.
    bit_true : bool
        The token stream equals that of every other bit-true backend of the same seed and configuration.
    counts_cycles : bool
        `cycles` advances with the work done.
    bound : float
        Largest total-variation distance, over every psi, between the law of the draws and the integer law F_hw(psi)
        that they report: 0.0 where `exact`, in (0, 1) elsewhere.
    reproducible : bool
        The same seed gives the same draws again, however those of a psi are split into calls. False for physical
        noise, and where others draw from the same stream.
    blocks : bool
        It is a `BlockTsu`, if its configuration has contexts.

    Raises
    ------
    SpecError
        `bound` or `reproducible` contradicts the other fields.
    """

    name: str
    exact: bool
    bit_true: bool
    counts_cycles: bool
    bound: float = 0.0
    reproducible: bool = True
    blocks: bool = False

    def __post_init__(self) -> None:
        if self.exact and self.bound != 0:
            raise SpecError("bound", self.bound, "0.0, because exact = True")
        if not self.exact and not 0 < self.bound < 1:
            raise SpecError("bound", self.bound, "a number in (0, 1), because exact = False")
        if self.bit_true and not self.reproducible:
            raise SpecError("reproducible", self.reproducible, "True, because bit_true = True")


@dataclass(frozen=True, kw_only=True)
class Draws:
    """n draws from one psi; draw i has probability weights[i] / (total * spreads[i]).

    Parameters
    ----------
    tokens : uint32 ndarray of shape (n,)
    weights : uint64 ndarray of shape (n,)
        Integer weight of the token's bucket: w_k of a top-K id, T of a tail token.
    spreads : uint32 ndarray of shape (n,)
        1 for a top-K id, V - K for a tail token.
    total : int
        Z of the psi.
    """

    tokens: npt.NDArray[np.uint32]
    weights: npt.NDArray[np.uint64]
    spreads: npt.NDArray[np.uint32]
    total: int

    def __len__(self) -> int:
        return len(self.tokens)

    @property
    def log_q(self) -> npt.NDArray[np.float64]:
        """Natural logarithm of each draw's probability, float64 of shape (n,)."""
        log_q: npt.NDArray[np.float64] = np.log(self.weights.astype(np.float64))
        log_q -= np.log(float(self.total))
        log_q -= np.log(self.spreads.astype(np.float64))
        return log_q


@dataclass(frozen=True, kw_only=True)
class Blocks:
    """Blocks of tokens that a TSU drew by itself, each token from the psi in the slot of the one before.

    Token j of stream i has probability weights[i, j] / (totals[i, j] * spreads[i, j]). A stream ends early behind a
    token whose slot holds no psi; what is behind its end is 0.

    Parameters
    ----------
    tokens : uint32 ndarray of shape (streams, length)
    weights : uint64 ndarray of shape (streams, length)
        As in `Draws`.
    spreads : uint32 ndarray of shape (streams, length)
        As in `Draws`.
    totals : uint64 ndarray of shape (streams, length)
        Z of the psi that the token was drawn from.
    lengths : uint32 ndarray of shape (streams,)
        Tokens of each stream.
    """

    tokens: npt.NDArray[np.uint32]
    weights: npt.NDArray[np.uint64]
    spreads: npt.NDArray[np.uint32]
    totals: npt.NDArray[np.uint64]
    lengths: npt.NDArray[np.uint32]

    def __len__(self) -> int:
        return len(self.tokens)

    @property
    def log_q(self) -> npt.NDArray[np.float64]:
        """Natural logarithm of each token's probability given the one before, float64 of shape (streams, length).

        0 behind the end, so that the sum of a row is the logarithm of the block's joint probability.
        """
        drawn = np.arange(self.tokens.shape[1]) < self.lengths[:, None]
        log_q = np.zeros(self.tokens.shape)
        for sign, values in ((1, self.weights), (-1, self.totals), (-1, self.spreads)):
            log_q[drawn] += sign * np.log(values[drawn].astype(np.float64))
        return log_q


class Tsu(Protocol):
    """A thermodynamic sampling unit: hardware, its simulation, or its model."""

    @property
    def capabilities(self) -> Capabilities:
        """What this backend promises."""
        ...

    @property
    def config(self) -> TsuConfig:
        """Widths, lanes and noise of this TSU."""
        ...

    @property
    def spec_id(self) -> int:
        """Digest of layouts and configuration, as read from the device."""
        ...

    @property
    def cycles(self) -> int:
        """Clock cycles since the device was opened; 0 where `counts_cycles` is False."""
        ...

    def sample(self, psi: Psi, n: int) -> Draws:
        """Draw n tokens from F_hw(psi); consecutive calls continue one stream."""
        ...

    def reseed(self, seed: int) -> None:
        """Start the stream again from a 64-bit seed."""
        ...

    def close(self) -> None:
        """Release the device. Closing twice is harmless."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class BlockTsu(Tsu, Protocol):
    """A TSU with a psi bank, which feeds its own last token back as the next context."""

    def load_bank(self, psis: Mapping[int, Psi] | Sequence[Psi]) -> None:
        """Put psi into the slots of their contexts; other slots keep what they hold."""
        ...

    def blocks(self, contexts: npt.ArrayLike, length: int) -> Blocks:
        """Draw `length` tokens for each stream, beginning in its context; goes on in the stream of noise."""
        ...


def block_tsu(tsu: Tsu) -> BlockTsu:
    """`tsu` as one that drafts blocks by itself.

    Raises
    ------
    TsuError
        Its backend does not offer it.
    SpecError
        Its configuration has no contexts.
    """
    if not tsu.capabilities.blocks:
        raise TsuError(f"backend {tsu.capabilities.name} drafts no blocks on chip: take one of model, rtl, cxxrtl")
    check_contexts(tsu.config)
    return cast(BlockTsu, tsu)


def check_contexts(config: TsuConfig) -> None:
    """Raise SpecError where a TSU of `config` has no psi bank."""
    if not config.contexts:
        raise SpecError("contexts", 0, "a power of two in [2, 1024], for a TSU that drafts blocks")
