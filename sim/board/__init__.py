# SPDX-License-Identifier: Apache-2.0
"""The board's top level in simulation, its UART pins bridged to a pseudo-terminal."""

from .bridge import Board, open_board
from .damage import FaultRates
from .device import BoardDevice, BoardError, BoardOptions

__all__ = ["Board", "BoardDevice", "BoardError", "BoardOptions", "FaultRates", "open_board"]
