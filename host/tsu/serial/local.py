# SPDX-License-Identifier: Apache-2.0
"""Port, driver and board put together; this is where pyserial is needed."""

from hw.spec.config import TsuConfig

from .board import LocalBoard
from .driver import LinkDriver
from .pyserial_port import SerialPort


def open_local(*, port: str, baud: int, config: TsuConfig | None) -> LocalBoard:
    """Open a serial port and the board behind it.

    Raises
    ------
    SpecError, TsuError
        See `SerialPort`, `LinkDriver` and `LocalBoard`.
    """
    driver = LinkDriver(port=SerialPort(port=port, baud=baud))
    try:
        return LocalBoard(driver=driver, name=port, config=config)
    except BaseException:
        driver.close()
        raise
