# SPDX-License-Identifier: Apache-2.0
"""How a TSU behaves at its limits: what it must refuse, and how it is closed."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import numpy as np

from host.psi.schema import Psi
from host.tsu.base import Tsu, TsuError
from hw.spec.config import K_LIMIT, VOCAB_LIMIT
from hw.spec.errors import SpecError

from . import cases
from .errors import Violation
from .subject import Subject

_DRAWS = 200

Attempt = Callable[[Tsu], object]
"""Something that a TSU must refuse."""


def _attempts(subject: Subject) -> dict[str, Attempt]:
    """What must be refused, by what it is."""
    config, good = subject.config, cases.small(subject.config)
    found: dict[str, Attempt] = {
        "n = -1": lambda tsu: tsu.sample(good, -1),
        "n = 1.5": lambda tsu: tsu.sample(good, 1.5),  # type: ignore[arg-type]  # refused, that is the point
        "seed = -1": lambda tsu: tsu.reseed(-1),
        "seed = 2^64": lambda tsu: tsu.reseed(1 << 64),
    }
    if config.k_max < K_LIMIT:
        k = config.k_max + 1
        wide = Psi(ids=range(k), scores_q=[0] * k, scale=0.1, zero_point=0, tau=1.0, tail=0.0, vocab_size=k)  # type: ignore[arg-type]  # Psi converts
        found[f"a psi of K = {k}, k_max = {config.k_max}"] = lambda tsu: tsu.sample(wide, 1)
    if config.vocab_max < VOCAB_LIMIT:
        vocab = config.vocab_max + 1
        large = cases.make_psi([0], [0], vocab_size=vocab, tail=1.0)
        found[f"a psi of V = {vocab}, vocab_max = {config.vocab_max}"] = lambda tsu: tsu.sample(large, 1)
    return found


def refusals(subject: Subject) -> str:
    """A psi above the capacity, a wrong n, a wrong seed: refused in one line; the TSU then goes on as if unasked."""
    good, attempts = cases.small(subject.config), _attempts(subject)
    with subject.open(seed=31) as tsu:
        expected = [tsu.sample(good, _DRAWS).tokens for _ in range(len(attempts) + 1)]
    with subject.open(seed=31) as tsu:
        found = [tsu.sample(good, _DRAWS).tokens]
        for name, attempt in attempts.items():
            _require_refusal(tsu, name, attempt)
            try:
                found.append(tsu.sample(good, _DRAWS).tokens)
            except (SpecError, TsuError) as error:
                raise Violation(f"{name} was refused, and the TSU was not usable afterwards: {error}") from error
            if subject.capabilities.reproducible and not np.array_equal(found[-1], expected[len(found) - 1]):
                raise Violation(f"{name} was refused, and the draws after it are not those of a TSU that was not asked")
    return f"{len(attempts)} refused: {'; '.join(attempts)}"


def _require_refusal(tsu: Tsu, name: str, attempt: Attempt) -> None:
    try:
        attempt(tsu)
    except (SpecError, TsuError) as error:
        if "\n" in str(error) or not str(error):
            raise Violation(f"{name} was refused with {len(str(error).splitlines())} lines, not one") from error
        return
    except Exception as error:  # whatever else an adapter raises is what this check is for
        raise Violation(f"{name} raised {type(error).__name__}; SpecError or TsuError was due: {error}") from error
    raise Violation(f"{name} was accepted; SpecError or TsuError was due")


class _Passing(Exception):  # noqa: N818  # no error: it passes through a `with` block
    """Raised inside a `with` block, to be seen outside."""


def lifecycle(subject: Subject) -> str:
    """Closed, a TSU says so; closing twice is harmless; `with` closes and hides no error; reopened, it starts again."""
    psi = cases.small(subject.config)
    uses: dict[str, Attempt] = {"sample": lambda tsu: tsu.sample(psi, 1), "reseed": lambda tsu: tsu.reseed(1)}
    with _closing(subject.fresh(seed=32)) as tsu:
        first = tsu.sample(psi, _DRAWS).tokens
        tsu.close()
        try:
            tsu.close()
        except Exception as error:  # as above
            raise Violation(f"closing twice raised {type(error).__name__}: {error}") from error
        for name, use in uses.items():
            _require_closed(tsu, name, use, "close()")
    with _closing(subject.fresh(seed=32)) as opened:
        try:
            with opened as entered:
                if entered is not opened:
                    raise Violation("`with` gives another object than the TSU itself")
                again = entered.sample(psi, _DRAWS).tokens
                raise _Passing
        except _Passing:
            pass
        else:
            raise Violation("an error inside `with` did not come out: __exit__ must not return True")
        _require_closed(opened, "sample", uses["sample"], "the end of `with`")
    if subject.capabilities.reproducible and not np.array_equal(first, again):
        raise Violation("closed and opened again with the same seed, it gives other draws")
    return "close, close again, reopen, with"


@contextmanager
def _closing(tsu: Tsu) -> Iterator[Tsu]:
    """Closes the TSU whatever was found: the next check opens it again."""
    try:
        yield tsu
    finally:
        with suppress(Exception):  # what is wrong with closing, the check itself says
            tsu.close()


def _require_closed(tsu: Tsu, name: str, use: Attempt, since: str) -> None:
    try:
        use(tsu)
    except TsuError:
        return
    except Exception as error:  # as above
        raise Violation(f"{name} after {since} raised {type(error).__name__}; TsuError was due: {error}") from error
    raise Violation(f"{name} works after {since}; TsuError was due")
