# SPDX-License-Identifier: Apache-2.0
"""What every TSU backend offers: `sample(psi, n)` with exact integers, capabilities, a context manager."""

from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, Self

import numpy as np
import numpy.typing as npt

from host.psi.schema import Psi
from hw.spec.config import TsuConfig
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
    """What a backend promises.

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
        Largest total-variation distance between the law of the draws and F_hw(psi); 0 where the law is exact.
    """

    name: str
    exact: bool
    bit_true: bool
    counts_cycles: bool
    bound: float = 0.0


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
