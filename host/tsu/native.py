# SPDX-License-Identifier: Apache-2.0
"""A bit-true TSU in a shared library behind sim/native/tsd_abi.h: one class for model and simulated RTL."""

import ctypes
from pathlib import Path
from types import TracebackType
from typing import NoReturn, Self

import numpy as np
import numpy.typing as npt

from host.psi.schema import Psi
from hw.spec.commands import Status, WeightMode
from hw.spec.config import TsuConfig
from hw.spec.digest import spec_id
from hw.spec.errors import check_int
from hw.spec.registers import Alarm

from .base import Capabilities, Draws, TsuError
from .health import noise_alarm
from .held import Command, HeldPsi, refusal
from .lowering import COUNT_MAX, Words, check_mode, seed_command

ANSWER_CYCLES = 20_000
"""Cycles that any single step may take: loads, tables, dividers and the fill of the pipelines are far below it."""

_WORD_CYCLES = 64
"""Cycles allowed for each word of a command."""

DRAW_CYCLES = 64
"""Cycles allowed for each draw; a candidate is accepted with probability above 1/4 in every configuration."""


def _draw_arrays(n: int) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.uint64], npt.NDArray[np.uint32]]:
    """Tokens, weights and spreads of n draws, not yet filled: parts of one block, widest first."""
    block = np.empty(2 * n, dtype=np.uint64)
    narrow = block[n:].view(np.uint32)
    return narrow[:n], block[:n], narrow[n:]


def _open_library(path: Path, *, contexts: int) -> ctypes.CDLL:
    """The library with the prototypes of sim/native/tsd_abi.h; with contexts it must have `tsd_blocks` too."""
    try:
        library = ctypes.CDLL(str(path))
    except OSError as error:
        raise TsuError(f"cannot load the TSU library {path}: {error}") from error
    u32, u64, handle = ctypes.c_uint32, ctypes.c_uint64, ctypes.c_void_p
    out32, out64 = ctypes.POINTER(u32), ctypes.POINTER(u64)
    prototypes: dict[str, tuple[object, list[object]]] = {
        "tsd_open": (handle, []),
        "tsd_close": (None, [handle]),
        "tsd_spec_id": (u64, [handle]),
        "tsd_cycles": (u64, [handle]),
        "tsd_command": (ctypes.c_int, [handle, ctypes.c_void_p, u32, u64, out32, out64]),
        "tsd_draws": (u64, [handle, u64, *[ctypes.c_void_p] * 3, u64]),
        "tsd_health": (u32, [handle, out32]),
        "tsd_message": (ctypes.c_char_p, [handle]),
    }
    if contexts:
        prototypes["tsd_blocks"] = (u32, [handle, u32, u32, *[ctypes.c_void_p] * 4, u64])
    for name, (result, arguments) in prototypes.items():
        try:
            function = getattr(library, name)
        except AttributeError:
            raise TsuError(f"{path} is not a TSU library: it has no function {name}") from None
        function.restype, function.argtypes = result, arguments
    return library


class NativeTsu:
    """A TSU in process. Seeded when it is opened; used by one thread at a time.

    Parameters
    ----------
    library : Path
        Shared library built for `config`.
    capabilities : Capabilities
    config : TsuConfig
    seed : int
        In [0, 2**64 - 1].
    mode : str or None
        Weights from a "table" or from the on-chip "exp2" unit; None takes the table where the TSU has one.

    Raises
    ------
    SpecError
        `seed` or `mode` is not legal.
    TsuError
        The library cannot be loaded, or was built from another hw.spec.
    NoiseAlarm
        The noise failed its known-answer test.
    """

    _device: int | None = None  # on the class: `close` must work where the constructor failed

    def __init__(
        self, *, library: Path, capabilities: Capabilities, config: TsuConfig, seed: int = 0, mode: str | None = None
    ) -> None:
        self._capabilities = capabilities
        self._config = config
        self._mode = check_mode(config, mode)
        self._held = HeldPsi(config)
        self._total = 0
        self._interrupted = False
        self._alarm_lanes = (ctypes.c_uint32 * len(Alarm))()
        seed_words = seed_command(config, seed)
        self._library = _open_library(library, contexts=config.contexts)
        self._device = self._library.tsd_open()
        if not self._device:
            raise TsuError(f"the {capabilities.name} TSU cannot be opened: out of memory")
        try:
            if self.spec_id != spec_id(config):
                raise TsuError(
                    f"spec_id = {self.spec_id:#018x} of the {capabilities.name} TSU is not legal: "
                    f"expected {spec_id(config):#018x}, the host's"
                )
            self._execute(Command(words=seed_words))
            self._check_health()
        except TsuError:
            self.close()
            raise

    @property
    def capabilities(self) -> Capabilities:
        """What this backend promises."""
        return self._capabilities

    @property
    def config(self) -> TsuConfig:
        """Widths, lanes and noise of this TSU."""
        return self._config

    @property
    def mode(self) -> WeightMode:
        """Where weights come from."""
        return self._mode

    @property
    def spec_id(self) -> int:
        """Digest of layouts and configuration, as read from the device."""
        return int(self._library.tsd_spec_id(self._handle()))

    @property
    def cycles(self) -> int:
        """Clock cycles since the device was opened; 0 where it has no clock."""
        return int(self._library.tsd_cycles(self._handle()))

    def sample(self, psi: Psi, n: int) -> Draws:
        """Draw n tokens from F_hw(psi); consecutive calls continue one stream.

        The arrays of the result are views of one block of 16 n bytes: the allocator hands such a block out again
        without new pages, which halves the time of large calls.

        Raises
        ------
        SpecError
            `n` is negative, or the psi exceeds the capacity of this TSU.
        TsuError
            The TSU refused the psi, or did not answer within its cycle bound.
        NoiseAlarm
            A health test of its noise failed: these draws, and others since the last seed, are not to be trusted.
        """
        check_int("n", n, 0, 1 << 48)
        self._check_whole()
        tokens, weights, spreads = _draw_arrays(n)
        for start in range(0, max(n, 1), COUNT_MAX):
            count = min(n - start, COUNT_MAX)
            part = slice(start, start + count)
            self._ask(psi, count)
            self._take(tokens[part], weights[part], spreads[part])
            self._interrupted = False
            self._check_health()
        return Draws(tokens=tokens, weights=weights, spreads=spreads, total=self._total)

    def reseed(self, seed: int) -> None:
        """Start the stream again from a 64-bit seed; psi and table stay loaded."""
        words = seed_command(self._config, seed)
        self._check_whole()
        self._execute(Command(words=words))

    def command(self, words: Words) -> tuple[Status, int]:
        """Execute one command as it stands: (status, total). For tests of the command layer.

        Draws that it asks for are delivered first by the next `sample`; ask for none, or use `take`.
        """
        self._held.forget()
        return self._send(np.ascontiguousarray(words, dtype=np.uint32))

    def take(self, n: int) -> Draws:
        """Take n draws that commands given to `command` have asked for; `total` is 0."""
        tokens, weights, spreads = _draw_arrays(n)
        self._take(tokens, weights, spreads)
        return Draws(tokens=tokens, weights=weights, spreads=spreads, total=0)

    def close(self) -> None:
        """Release the device. Closing twice is harmless."""
        if self._device:
            self._library.tsd_close(self._device)
            self._device = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()

    def _handle(self) -> int:
        if not self._device:
            raise TsuError(f"the {self._capabilities.name} TSU is closed")
        return self._device

    def _check_whole(self) -> None:
        """Refuse to go on behind a call that asked for draws and was interrupted before it had taken them."""
        self._handle()
        if self._interrupted:
            self._fail("an interrupted call left draws behind")

    def _ask(self, psi: Psi, count: int) -> None:
        """Have `count` draws of `psi` made: a DRAW where it is the psi loaded last, else a LOAD.

        `_interrupted` is set from before the command until its caller has taken the draws; what fails earlier, a psi
        above the capacity for instance, leaves the stream whole.
        """
        commands = self._held.commands(psi, count, self._mode)
        if not commands:
            return
        self._held.forget(table=len(commands) > 1)
        for command in commands[:-1]:
            self._execute(command)
        self._interrupted = True
        self._total = self._execute(commands[-1])
        self._held.hold(psi, self._mode)

    def _execute(self, command: Command) -> int:
        """Execute a command that must succeed; its total."""
        status, total = self._send(command.words)
        if status is not Status.OK:
            self._interrupted = False  # a refused command leaves no draw behind
            raise refusal(command.words, status, self._config, command.lowered)
        return total

    def _send(self, words: Words) -> tuple[Status, int]:
        status, total = ctypes.c_uint32(), ctypes.c_uint64()
        bound = ANSWER_CYCLES + _WORD_CYCLES * len(words)
        answer = self._library.tsd_command(
            self._handle(), words.ctypes.data, len(words), bound, ctypes.byref(status), ctypes.byref(total)
        )
        if answer != 0:
            self._fail(f"no answer to a command within {bound} cycles: {self._message()}")
        return Status(status.value), int(total.value)

    def _take(
        self, tokens: npt.NDArray[np.uint32], weights: npt.NDArray[np.uint64], spreads: npt.NDArray[np.uint32]
    ) -> None:
        """Fill three contiguous arrays of equal length with draws asked for."""
        n = len(tokens)
        bound = ANSWER_CYCLES + DRAW_CYCLES * n
        taken = self._library.tsd_draws(
            self._handle(), n, tokens.ctypes.data, weights.ctypes.data, spreads.ctypes.data, bound
        )
        if taken != n:
            self._fail(f"{taken} of {n} draws within {bound} cycles: {self._message()}")

    def _check_health(self) -> None:
        """Raise NoiseAlarm where a health test has failed."""
        health = self._library.tsd_health(self._handle(), self._alarm_lanes)
        if health:
            raise noise_alarm(health, list(self._alarm_lanes), self._config)

    def _fail(self, reason: str) -> NoReturn:
        """Close a device whose stream is no longer known, and say why."""
        self.close()
        raise TsuError(f"the {self._capabilities.name} TSU was closed: {reason}")

    def _message(self) -> str:
        text: bytes = self._library.tsd_message(self._handle())
        return text.decode()
