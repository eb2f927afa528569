# SPDX-License-Identifier: Apache-2.0
"""Share one board among several programs: python -m host.share --help."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from host.runs.control import stop_on_signals
from host.tsu.base import TsuError
from host.tsu.registry import missing_dependency
from host.tsu.serial.address import BAUD_DEFAULT, SHARED_PREFIX, check_baud, check_port
from hw.spec.errors import SpecError

DONE, BROKEN, REFUSED = 0, 1, 2
"""Exit statuses."""

app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)

HELP = f"""Own the board on a serial port, and let several programs draw from it over a Unix socket.

Prints one line, socket: PATH, and serves until it is interrupted. A client opens the board with --backend serial
--port {SHARED_PREFIX}PATH. The noise is one stream for all clients: the seed of a client counts only while it is alone.

\b
Examples
  python -m host.share --port /dev/ttyUSB0 --socket tsu.sock
  python -m host.run_m0 --backend serial --port {SHARED_PREFIX}tsu.sock

\b
Exit status
    0  interrupted, which is the way to end it
    1  the board died
    2  bad input, or a port or socket that cannot be opened
"""


@app.command(help=HELP)
def command(
    port: Annotated[str, typer.Option(help="serial port of the board: a path, or a URL of pyserial")],
    socket: Annotated[Path, typer.Option(help="where to make the Unix socket")],
    baud: Annotated[str, typer.Option(metavar="<int>", help="rate of the line, bits per second")] = str(BAUD_DEFAULT),
) -> int:
    """Serve; returns the exit status."""
    try:
        rate = int(baud)
    except ValueError:
        raise SpecError("baud", baud, "an integer") from None
    if check_port(port).startswith(SHARED_PREFIX):
        raise SpecError("port", port, "a serial port; this board is shared already")
    check_baud(rate)
    try:
        from host.tsu.serial.local import open_local
    except ImportError as error:
        raise missing_dependency("serial", error) from error
    from host.tsu.serial.broker import Broker

    with stop_on_signals() as stop:
        board = open_local(port=port, baud=rate, config=None)
        try:
            with Broker(board=board, path=socket) as broker:
                print(f"socket: {socket}", flush=True)
                try:
                    broker.serve(stop=stop)
                except TsuError as error:
                    return _refuse(str(error), BROKEN)
        finally:
            board.close()
    return DONE


def main(arguments: list[str] | None = None) -> int:
    """Parse, serve, and turn every expected error into one line on standard error and an exit status.

    Parameters
    ----------
    arguments : list of str or None
        Command line without the program name; None takes `sys.argv`.
    """
    try:
        status: int = app(arguments, prog_name="python -m host.share", standalone_mode=False)
    except typer.TyperException as error:
        return _refuse(f"{error.format_message()} (--help shows all options)", REFUSED)
    except (SpecError, TsuError) as error:
        return _refuse(str(error), REFUSED)
    except KeyboardInterrupt:
        return _refuse("interrupted before the board was open", REFUSED)
    return status or DONE


def _refuse(message: str, status: int) -> int:
    print("error: " + " ".join(message.split()), file=sys.stderr)
    return status


if __name__ == "__main__":
    sys.exit(main())
