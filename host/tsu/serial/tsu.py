# SPDX-License-Identifier: Apache-2.0
"""Backend `serial`: a board on a serial port, or a share of one."""

from types import TracebackType
from typing import Self

from host.psi.schema import Psi
from host.tsu.base import Capabilities, Draws, TsuError
from host.tsu.lowering import check_mode
from hw.spec.commands import WeightMode
from hw.spec.config import TsuConfig, check_no_contexts
from hw.spec.errors import check_int

from .address import BAUD_DEFAULT, SHARED_PREFIX, check_baud, check_port
from .board import Board
from .statistics import LinkStatistics

CAPABILITIES = Capabilities(name="serial", exact=True, bit_true=True, counts_cycles=False, bound=0.0)
"""What a board of one's own promises."""

SHARED_CAPABILITIES = Capabilities(
    name="serial", exact=True, bit_true=False, counts_cycles=False, bound=0.0, reproducible=False
)
"""What a shared board promises: every draw follows its law, but draws of others come between."""


class SerialTsu:
    """A TSU on a serial line. Seeded when it is opened; several threads may use it at the same time.

    Draws of threads that call it at the same time take turns in one stream: equality with `model`, draw for draw, holds
    for the order in which the board got the commands, and so for one thread.

    Parameters
    ----------
    port : str
        Path of a serial port, URL of pyserial, or unix:PATH of a shared board.
    baud : int
        Bits per second; of no meaning for a shared board.
    config : TsuConfig or None
        None takes the board's own.
    seed : int
        In [0, 2**64 - 1]. On a shared board it is used where nobody else shares it at that moment, else ignored.
    mode : str or None
        Weights from a "table" or from the on-chip "exp2" unit; None takes the table where the TSU has one.

    Raises
    ------
    SpecError
        An argument is not legal.
    NoiseAlarm
        The noise failed its known-answer test.
    TsuError
        The port cannot be opened, the board does not answer, or it is not `config`.
    """

    def __init__(
        self,
        *,
        port: str,
        baud: int = BAUD_DEFAULT,
        config: TsuConfig | None = None,
        seed: int = 0,
        mode: str | None = None,
    ) -> None:
        check_port(port)
        check_baud(baud)
        check_int("seed", seed, 0, (1 << 64) - 1)
        if config is not None:
            check_no_contexts(config, who="backend serial")
        self._name = port
        self._interrupted = self._closed = False
        self._shared = port.startswith(SHARED_PREFIX)
        self._board: Board = _open_board(port, baud, config, seed)
        try:
            self._mode = check_mode(self._board.config, mode)
            if not self._shared:
                self._board.seed(seed)
        except BaseException:
            self.close()
            raise

    @property
    def capabilities(self) -> Capabilities:
        """What this backend promises."""
        return SHARED_CAPABILITIES if self._shared else CAPABILITIES

    @property
    def config(self) -> TsuConfig:
        """Widths, lanes and noise of the board."""
        return self._board.config

    @property
    def mode(self) -> WeightMode:
        """Where weights come from."""
        return self._mode

    @property
    def spec_id(self) -> int:
        """Digest of layouts and configuration, as read from the board."""
        return self._board.spec_id

    @property
    def cycles(self) -> int:
        """0: a board does not count its cycles."""
        return 0

    @property
    def statistics(self) -> LinkStatistics:
        """Counts of the line since it was opened; on a shared board those of all clients."""
        return self._board.statistics

    def sample(self, psi: Psi, n: int) -> Draws:
        """Draw n tokens from F_hw(psi); consecutive calls continue one stream.

        Raises
        ------
        SpecError
            `n` is negative, or the psi exceeds the capacity of the board.
        NoiseAlarm
            A health test of the noise failed: these draws, and others since the last seed, are not to be trusted.
        TsuError
            The board refused the psi or is dead, or an earlier call was interrupted.
        """
        self._check_whole()
        try:
            return self._board.sample(psi, n, self._mode)
        except (KeyboardInterrupt, SystemExit):
            self._interrupted = True  # the draws under way are lost, and with them the place in the stream
            raise

    def reseed(self, seed: int) -> None:
        """Start the stream again from a 64-bit seed; refused on a shared board that others use too."""
        self._check_whole()
        self._board.seed(seed)

    def close(self) -> None:
        """Release the board. Closing twice is harmless."""
        self._closed = True
        self._board.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _check_whole(self) -> None:
        """Refuse to go on behind a call that asked for draws and was interrupted before it had taken them."""
        if self._interrupted:
            self.close()
            raise TsuError("the serial TSU was closed: an interrupted call left draws behind")
        if self._closed:
            raise TsuError("the serial TSU is closed")


def _open_board(port: str, baud: int, config: TsuConfig | None, seed: int) -> Board:
    """The board at `port`; what each way needs is imported only where it is taken."""
    if port.startswith(SHARED_PREFIX):
        from .remote import RemoteBoard

        return RemoteBoard(path=port.removeprefix(SHARED_PREFIX), seed=seed, config=config)
    from .local import open_local

    return open_local(port=port, baud=baud, config=config)
