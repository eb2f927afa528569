# SPDX-License-Identifier: Apache-2.0
"""Hold a TSU against its contract: python -m host.contract --help."""

import sys
from functools import partial
from typing import Annotated

import typer

from host.contract.adapter import find_adapter
from host.contract.subject import DRAWS_FEWEST, Opener
from host.contract.suite import CHECKS, Result, run_checks
from host.runs import command as shared
from host.runs.command import INT, optional_integer
from host.runs.options import RunOptions
from host.soundness import FAMILY_ALPHA
from host.tsu.base import TsuError
from host.tsu.registry import BACKENDS, open_tsu
from hw.spec.errors import SpecError

KEPT, BROKEN = 0, 1
"""Exit statuses, beside those of `host.runs.command`."""

app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)

HELP = f"""Hold a TSU against the contract that every backend keeps: a line for each check, and what it saw.

Checks: {", ".join(CHECKS)}.

\b
Examples
  python -m host.contract --backend rtl
  python -m host.contract --backend model --lanes 4 --check law --check seeds
  python -m host.contract --backend serial --port /dev/ttyUSB0 --max-draws 1000000
  python -m host.contract --adapter my_package.my_module:MyTsu

\b
Exit status
    0  every check is kept; those that ask for what the TSU does not promise are skipped
    1  a check is broken (a good TSU gives this with probability below {FAMILY_ALPHA:g})
    2  bad input, or a TSU that cannot be opened
  130  interrupted
"""

Names = Annotated[list[str] | None, typer.Option("--check", help="run this check alone; may be repeated")]


def _opener(options: dict[str, str | None], adapter: str | None) -> Opener:
    """What opens the TSU that the command line asks for."""
    given = [name for name, value in options.items() if value is not None]
    if adapter is not None:
        if given:
            raise SpecError(given[0], options[given[0]], "none with --adapter, which brings its own")
        return find_adapter(adapter)
    backend = options["backend"]
    if backend is None:
        raise SpecError("backend", None, f"one of {', '.join(BACKENDS)}; or --adapter MODULE:NAME")
    run = RunOptions(
        backend=backend,
        port=options["port"],
        noise=options["noise"],
        baud=optional_integer("baud", options["baud"]),
        lanes=optional_integer("lanes", options["lanes"]),
        groups=optional_integer("groups", options["groups"]),
    )
    config = None if run.has_port else run.tsu_config()
    return partial(open_tsu, backend=run.backend, config=config, port=run.port, baud=run.baud)


@app.command(help=HELP)
def command(
    backend: Annotated[str | None, typer.Option(help="TSU: " + ", ".join(BACKENDS))] = None,
    adapter: Annotated[
        str | None, typer.Option(metavar="MODULE:NAME", help="an adapter of your own, called with seed and mode")
    ] = None,
    port: shared.Port = None,
    baud: shared.Baud = None,
    noise: shared.Noise = None,
    lanes: shared.Lanes = None,
    groups: shared.Groups = None,
    check: Names = None,
    max_draws: Annotated[
        str | None,
        typer.Option(
            metavar=INT, help=f"most draws of one statistical test, at least {DRAWS_FEWEST}: it then detects less"
        ),
    ] = None,
) -> int:
    """Check and show; returns the exit status."""
    options = {"backend": backend, "port": port, "baud": baud, "noise": noise, "lanes": lanes, "groups": groups}
    broken = []
    checks = run_checks(
        _opener(options, adapter), checks=check or tuple(CHECKS), max_draws=optional_integer("max-draws", max_draws)
    )
    try:
        for result in checks:
            _show(result)
            broken += [result.check] if result.outcome == "broken" else []
    except (SpecError, TsuError):
        raise
    except Exception as error:  # what a check raises is its result; this was raised while the TSU was opened
        raise TsuError(f"the TSU cannot be opened: {type(error).__name__}: {error}") from error
    print(f"contract={'broken' if broken else 'kept'}")
    return BROKEN if broken else KEPT


def _show(result: Result) -> None:
    print(f"{result.outcome:8}{result.check:14}{result.note}", flush=True)


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit status. See `host.runs.command.main`."""
    return shared.main(app, "host.contract", arguments)


if __name__ == "__main__":
    sys.exit(main())
