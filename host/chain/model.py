# SPDX-License-Identifier: Apache-2.0
"""A draft of several tokens as an energy model: a chain of categorical nodes with couplings of neighbours."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hw.spec.errors import SpecError, check_int

LENGTH_LIMIT = 64
"""Most nodes of a chain."""

K_LIMIT = 256
"""Most states of a node."""

JOINT_LIMIT = 1 << 20
"""Most joint states that are enumerated."""

LOG_WEIGHT_LIMIT = 300.0
"""Largest bias or coupling, in nats: exp of a difference of two of them still is a float64."""

Floats = npt.NDArray[np.float64]


def _finite(field: str, values: npt.ArrayLike, shape: tuple[int, ...]) -> Floats:
    """A read-only float64 copy of `values`, checked."""
    array = np.array(values, dtype=np.float64)
    if array.shape != shape:
        raise SpecError(f"{field}.shape", array.shape, str(shape))
    wrong = ~(np.abs(array) <= LOG_WEIGHT_LIMIT)
    if wrong.any():
        raise SpecError(field, float(array[wrong][0]), f"numbers in [-{LOG_WEIGHT_LIMIT:g}, {LOG_WEIGHT_LIMIT:g}]")
    array.flags.writeable = False
    return array


@dataclass(frozen=True, kw_only=True, eq=False)
class ChainModel:
    """P(x) proportional to exp(sum_i biases[i, x_i] + sum_i couplings[i, x_i, x_(i+1)]), the negative energy in nats.

    With biases[0] = ln p(x_1 | context), the others 0, and couplings[i] = ln p(x_(i+2) | x_(i+1)), both over K kept
    tokens, it is the law of a bigram given that it stays within them.

    Parameters
    ----------
    biases : float array of shape (L, K), 1 <= L <= 64, 1 <= K <= 256
    couplings : float array of shape (L - 1, K, K)

    Raises
    ------
    SpecError
        A shape is wrong, or a number is not in [-300, 300].
    """

    biases: Floats
    couplings: Floats

    def __post_init__(self) -> None:
        shape = np.shape(self.biases)
        if len(shape) != 2:
            raise SpecError("biases.shape", shape, "(L, K)")
        length, k = check_int("L", shape[0], 1, LENGTH_LIMIT), check_int("K", shape[1], 1, K_LIMIT)
        object.__setattr__(self, "biases", _finite("biases", self.biases, (length, k)))
        object.__setattr__(self, "couplings", _finite("couplings", self.couplings, (length - 1, k, k)))

    @property
    def length(self) -> int:
        """L: number of nodes."""
        return len(self.biases)

    @property
    def k(self) -> int:
        """K: states of a node."""
        return int(self.biases.shape[1])

    def log_weights(self, states: npt.NDArray[np.integer]) -> Floats:
        """Negative energies in nats, float64 of shape (n,), of joint states of shape (n, L)."""
        logs: Floats = self.biases[np.arange(self.length), states].sum(axis=1)
        if self.length > 1:
            logs += self.couplings[np.arange(self.length - 1), states[:, :-1], states[:, 1:]].sum(axis=1)
        return logs

    def every_log_weight(self) -> Floats:
        """`log_weights` of every joint state, float64 of shape (K, K, ..., K), less the largest.

        Raises
        ------
        SpecError
            There are more than 2**20 joint states.
        """
        if self.k**self.length > JOINT_LIMIT:
            raise SpecError("K ** L", self.k**self.length, f"at most {JOINT_LIMIT}, to be enumerated")
        logs = self.log_weights(np.indices((self.k,) * self.length).reshape(self.length, -1).T)
        relative: Floats = (logs - logs.max()).reshape((self.k,) * self.length)
        return relative

    def joint(self) -> Floats:
        """P of every joint state by enumeration, float64 of shape (K, K, ..., K), sums to 1; see `every_log_weight`."""
        weights = np.exp(self.every_log_weight())
        joint: Floats = weights / weights.sum()
        return joint

    def strengthened(self, factor: float) -> "ChainModel":
        """The chain with its couplings multiplied by `factor`."""
        return ChainModel(biases=self.biases, couplings=factor * self.couplings)

    def reversed(self) -> "ChainModel":
        """The same law of (x_L, ..., x_1)."""
        return ChainModel(biases=self.biases[::-1], couplings=self.couplings[::-1].transpose(0, 2, 1))


def random_chain(*, length: int, k: int, coupling: float, seed: int) -> ChainModel:
    """A chain with biases from N(0, 1) and couplings from N(0, coupling^2), all in nats.

    The same seed gives the same chain in every strength but for the factor of its couplings.
    """
    check_int("L", length, 1, LENGTH_LIMIT)
    check_int("K", k, 1, K_LIMIT)
    check_int("seed", seed, 0, (1 << 64) - 1)
    if not 0 <= coupling <= LOG_WEIGHT_LIMIT / 10:
        raise SpecError("coupling", coupling, f"a number in [0, {LOG_WEIGHT_LIMIT / 10:g}]")
    rng = np.random.Generator(np.random.PCG64(seed))
    biases = rng.standard_normal((length, k))
    return ChainModel(biases=biases, couplings=coupling * rng.standard_normal((length - 1, k, k)))
