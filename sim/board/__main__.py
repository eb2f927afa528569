# SPDX-License-Identifier: Apache-2.0
"""Serve a simulated board on a pseudo-terminal: `python -m sim.board` (`make sim-board`)."""

import signal
from inspect import cleandoc
from types import FrameType
from typing import Annotated, NoReturn

import typer

from hw.spec.config import PRESETS
from hw.spec.errors import SpecError
from sim.native.build import NativeBuildError
from sim.native.toolchain import ToolMissing

from .bridge import open_board
from .damage import FaultRates
from .device import DEFAULT_BAUD, BoardError

EXAMPLES = """Examples:

- the default board, until interrupted: python -m sim.board

- the small one at the clock of its FPGA: python -m sim.board --preset up5k --clk-hz 30375000

- a bad line, the same faults at each run: python -m sim.board --flip 0.001 --drop 0.001 --seed 7

Then, in another terminal, any user of a serial port: ... --backend serial --port /dev/pts/N

Exit status: 0 when interrupted; 1 when the board cannot be built or fails; 2 on a wrong argument or a missing tool."""


def _interrupt(number: int, frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


def main(
    preset: Annotated[str, typer.Option(help="One of " + ", ".join(PRESETS) + ".")] = "sim",
    baud: Annotated[int, typer.Option(help="Rate of the board's line, bit/s.")] = DEFAULT_BAUD,
    clk_hz: Annotated[int | None, typer.Option(help="Clock of the board, Hz; by default four cycles a bit.")] = None,
    flip: Annotated[float, typer.Option(help="Probability that a bit of a byte is inverted.")] = 0.0,
    drop: Annotated[float, typer.Option(help="Probability that a byte is lost.")] = 0.0,
    duplicate: Annotated[float, typer.Option(help="Probability that a byte comes twice.")] = 0.0,
    truncate: Annotated[float, typer.Option(help="Probability that a frame ends at a byte.")] = 0.0,
    seed: Annotated[int, typer.Option(help="Seed of the faults.")] = 0,
) -> None:
    """Run the board's top level in Verilator and serve its UART on a pseudo-terminal until interrupted.

    The first line printed is `port: PATH`. The clock runs only while the board has something to do; at the end
    the cycles and bytes are printed.
    """
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        faults = FaultRates(flip=flip, drop=drop, duplicate=duplicate, truncate=truncate)
        with open_board(preset=preset, baud=baud, clk_hz=clk_hz, faults=faults, seed=seed) as board:
            typer.echo(f"port: {board.port}")
            try:
                board.wait()
            except KeyboardInterrupt:
                pass
            board.check()
            damage = ", ".join(f"{count} {kind}" for kind, count in board.faults.items() if count)
            typer.echo(
                f"{board.cycles} cycles, {board.bytes_written} bytes to the board, {board.bytes_read} bytes from it"
                + (f"; faults: {damage}" if damage else ""),
                err=True,
            )
    except (SpecError, ToolMissing) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from None
    except (NativeBuildError, BoardError, OSError) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        raise typer.Exit(0) from None


main.__doc__ = f"{cleandoc(main.__doc__ or '')}\n\n{EXAMPLES}"

if __name__ == "__main__":
    typer.run(main)
