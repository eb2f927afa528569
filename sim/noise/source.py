# SPDX-License-Identifier: Apache-2.0
"""Words of the noise banks, clocked out of the Verilated gateware."""

import ctypes
from types import TracebackType
from typing import Self

import numpy as np
import numpy.typing as npt

from hw.spec.config import TsuConfig
from hw.spec.errors import check_int
from hw.spec.noise import stream_states

from .library import bank_library

Words = npt.NDArray[np.uint32]
"""Words of every stream; uint32 of shape (streams, n)."""

PATIENCE_CYCLES = 64
"""Cycles without a word after which the gateware is taken for stuck."""


class SourceError(RuntimeError):
    """The gateware gave no words; the message is one line."""


class RtlSource:
    """The noise banks of all lanes of a TSU, run in process.

    Parameters
    ----------
    config : TsuConfig
    seed : int
        In [0, 2**64 - 1]; every stream starts where `hw.spec.noise.stream_states` says.

    Raises
    ------
    SpecError
        `seed` is not legal.
    ToolMissing, NativeBuildError
        See `bank_library`.
    """

    def __init__(self, *, config: TsuConfig, seed: int = 0) -> None:
        self.config = config
        self.streams = config.noise_streams
        states = stream_states(config.noise, seed, self.streams)
        self.library = ctypes.CDLL(str(bank_library(config)))
        handle, u64 = ctypes.c_void_p, ctypes.c_uint64
        prototypes: dict[str, tuple[object, list[object]]] = {
            "noise_open": (handle, []),
            "noise_close": (None, [handle]),
            "noise_seed": (None, [handle, handle]),
            "noise_fill": (u64, [handle, handle, u64, u64, ctypes.c_uint32]),
            "noise_choose": (None, [handle]),
            "noise_next": (ctypes.c_uint, []),
        }
        for name, (result, arguments) in prototypes.items():
            function = getattr(self.library, name)
            function.restype, function.argtypes = result, arguments
        self.device: int | None = self.library.noise_open()
        if self.device is None:
            raise SourceError("no memory for the simulated noise banks")
        words = np.array(states, dtype=np.uint32)
        self.library.noise_seed(self.device, words.ctypes.data)

    def take(self, n: int) -> Words:
        """The next n words of every stream.

        Raises
        ------
        SpecError
            n is below 1 or above 2**28.
        SourceError
            The gateware stopped giving words.
        """
        check_int("n", n, 1, 1 << 28)
        words = np.empty((self.streams, n), dtype=np.uint32)
        taken = self.library.noise_fill(self.device, words.ctypes.data, n, n, PATIENCE_CYCLES)
        if taken != n:
            raise SourceError(f"the noise banks gave {taken} words of {n} and then none for {PATIENCE_CYCLES} cycles")
        return words

    def serial(self, n: int) -> npt.NDArray[np.uint32]:
        """The next n words of stream 0 (those of the other streams are dropped); uint32 of shape (n,)."""
        words: npt.NDArray[np.uint32] = self.take(n)[0]
        return words

    def close(self) -> None:
        """Free the simulation; the source cannot be used any more."""
        self.library.noise_close(self.device)
        self.device = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
