# SPDX-License-Identifier: Apache-2.0
"""The checks by name, and the one call that holds a TSU against all of them."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from host.tsu.base import TsuError
from hw.spec.errors import SpecError

from . import blocks, conduct, form, law, stream
from .errors import ContractError, NotApplicable, Violation
from .subject import Opener, Subject

Check = Callable[[Subject], str]
"""Says in a line what it saw; raises `Violation` or `NotApplicable`."""

CHECKS: dict[str, Check] = {
    "capabilities": form.capabilities,
    "shapes": form.shapes,
    "integers": form.integers,
    "modes": form.modes,
    "cycles": form.cycles,
    "refusals": conduct.refusals,
    "lifecycle": conduct.lifecycle,
    "seeds": stream.seeds,
    "batches": stream.batches,
    "switches": stream.switches,
    "bit-true": stream.bit_true,
    "blocks": blocks.blocks,
    "law": law.law,
    "corners": law.corners,
    "reported-q": law.reported_q,
    "tail": law.tail,
    "independence": law.independence,
    "rare-events": law.rare_events,
}
"""Every check by name, the quick ones first."""


@dataclass(frozen=True, kw_only=True)
class Result:
    """What became of one check.

    Parameters
    ----------
    check : str
        A key of `CHECKS`.
    outcome : str
        "kept", "broken", or "skipped" where the TSU does not promise what the check is about.
    note : str
        One line: what was seen, what is wrong, or why it was skipped.
    """

    check: str
    outcome: Literal["kept", "broken", "skipped"]
    note: str


def check_contract(
    open_tsu: Opener, *, checks: Iterable[str] = tuple(CHECKS), max_draws: int | None = None
) -> list[Result]:
    """Hold a TSU against the contract; the first check that it breaks is raised.

    Parameters
    ----------
    open_tsu : Opener
        Gives an open TSU when it is called with keywords `seed` and `mode`: the class of an adapter will do.
    checks : iterable of str
        Keys of `CHECKS`.
    max_draws : int or None
        Most draws that one statistical test may ask for, at least 4096: with fewer it detects less, and says so.

    Returns
    -------
    list of Result
        One for each check, kept or skipped.

    Raises
    ------
    ContractError
        A check is broken; the message says which, and what is wrong.
    SpecError, TsuError
        There is no such check, or the TSU cannot be opened.
    """
    results = []
    for result in run_checks(open_tsu, checks=checks, max_draws=max_draws):
        if result.outcome == "broken":
            raise ContractError(result.check, result.note)
        results.append(result)
    return results


def run_checks(
    open_tsu: Opener, *, checks: Iterable[str] = tuple(CHECKS), max_draws: int | None = None
) -> Iterator[Result]:
    """The results of all checks, one after the other, broken ones too. See `check_contract`.

    Raises
    ------
    SpecError, TsuError
        There is no such check, or the TSU cannot be opened.
    """
    names = list(checks)
    for name in names:
        if name not in CHECKS:
            raise SpecError("check", name, "one of " + ", ".join(CHECKS))
    try:
        subject = Subject(open_tsu, max_draws=max_draws)
    except Violation as violation:
        yield Result(check="capabilities", outcome="broken", note=str(violation))
        return
    for name in names:
        yield _run(name, subject)


def _run(name: str, subject: Subject) -> Result:
    try:
        return Result(check=name, outcome="kept", note=CHECKS[name](subject))
    except NotApplicable as reason:
        return Result(check=name, outcome="skipped", note=str(reason))
    except Violation as violation:
        return Result(check=name, outcome="broken", note=str(violation))
    except (SpecError, TsuError) as error:
        return Result(check=name, outcome="broken", note=f"what is legal was refused: {error}")
    except Exception as error:  # an adapter may raise anything
        text = " ".join(f"{type(error).__name__}: {error}".split())
        return Result(check=name, outcome="broken", note=f"the adapter failed: {text}")
