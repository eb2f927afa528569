# SPDX-License-Identifier: Apache-2.0
"""Functional coverage: everything that the benches have to have done to a TSU at least once, declared in one place.

A group is a set of axes; its bins are all combinations of their values, less the impossible ones.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import product

from hw.spec.commands import opcodes, statuses
from hw.spec.errors import SpecError
from hw.spec.noise import GENERATORS

OPCODES = tuple(opcode.name for opcode in opcodes(0))
MODES = ("table", "exp2")
K_CLASSES = ("1", "2", "3 to k_max/2", "more", "k_max")
TAILS = ("V = K", "T = 0", "below 1 %", "1 % to 50 %", "50 % and more")
STEPS = ("0", "below 0.01", "0.01 to 0.1", "0.1 to 1", "1 and more")
COUNTS = ("0", "1", "2 to 9", "10 to 99", "100 and more")
STALLS = ("none", "command gaps", "status held", "draws held")
LENGTHS = ("1 to 9", "10 to 99", "100 and more")
SPREADS = ("0", "1", "power of two", "other")

REFUSALS = {
    "LOAD": ("BAD_K", "BAD_VOCAB", "BAD_MODE", "NO_TABLE", "BAD_ID", "BAD_SCORE", "BAD_TAIL", "BAD_TOTAL", "NO_SEED"),
    "DRAW": ("NO_PSI", "NO_SEED"),
    "TABLE": ("BAD_MODE",),
    "SEED": ("BAD_SEED",),
}
"""Statuses of one opcode, beside OK, BAD_VERSION and BAD_LENGTH, which any may get."""


def never(*_: str) -> bool:
    """No combination is impossible."""
    return False


@dataclass(frozen=True, kw_only=True)
class Group:
    """Bins that belong together.

    Parameters
    ----------
    name : str
    meaning : str
        What is counted, and when.
    axes : dict of str to tuple of str
        Values by the name of the axis.
    impossible : callable
        Whether a combination (one value for each axis) cannot occur.
    """

    name: str
    meaning: str
    axes: dict[str, tuple[str, ...]]
    impossible: Callable[..., bool] = field(default=never)

    def bins(self) -> Iterator[str]:
        """All bins, the values joined by ` / `."""
        return (" / ".join(values) for values in product(*self.axes.values()) if not self.impossible(*values))


def _no_status(opcode: str, status: str) -> bool:
    if opcode == "unknown":
        return status != "BAD_OPCODE"
    return status not in ("OK", "BAD_VERSION", "BAD_LENGTH", *REFUSALS[opcode])


GROUPS = (
    Group(
        name="status",
        meaning="a command was answered",
        axes={"command": (*OPCODES, "unknown"), "status": tuple(status.name for status in statuses(0))},
        impossible=_no_status,
    ),
    Group(
        name="length",
        meaning="a command with fewer or more words than it should have",
        axes={"command": OPCODES, "words": ("fewer", "more")},
    ),
    Group(
        name="command and draws",
        meaning="a command was answered; whether draws were owed when its first word was offered",
        axes={
            "command": (*OPCODES, "unknown"),
            "outcome": ("executed", "refused"),
            "draws": ("none owed", "owed"),
        },
        impossible=lambda command, outcome, _: command == "unknown" and outcome == "executed",
    ),
    Group(
        name="psi",
        meaning="a draw was delivered from a psi of this K, share T / Z of its tail, and weight mode",
        axes={"K": K_CLASSES, "tail": TAILS, "mode": MODES},
    ),
    Group(
        name="scale / tau",
        meaning="a draw was delivered from a psi with so many nats between two codes",
        axes={"nats": STEPS, "mode": MODES},
    ),
    Group(
        name="codes",
        meaning="a draw was delivered from a psi with this distance between its largest and smallest code",
        axes={"distance": ("0", "1 to 127", "128 to 254", "255"), "mode": MODES},
    ),
    Group(
        name="shift",
        meaning="a draw was delivered from a psi with this right shift h of its weights",
        axes={"h": ("0", "1 to 7", "8 and more"), "mode": MODES},
    ),
    Group(
        name="ids",
        meaning="a draw was delivered from a psi with these ids at the ends of this vocabulary",
        axes={
            "V": ("K", "K + 1", "between", "vocab_max"),
            "first id": ("0", "above 0"),
            "last id": ("V - 1", "below V - 1"),
        },
        impossible=lambda v, first, last: (
            (v == "K" and (first != "0" or last != "V - 1")) or (v == "K + 1" and first != "0" and last != "V - 1")
        ),
    ),
    Group(
        name="draw",
        meaning="a draw: which id of the top K, or where its token lies among them",
        axes={
            "token": (
                "the only id",
                "the first id",
                "an inner id",
                "the last id",
                "tail below all ids",
                "tail between ids",
                "tail above all ids",
            ),
            "mode": MODES,
        },
    ),
    Group(
        name="batch",
        meaning="a command asked for so many draws and got them",
        axes={"command": ("LOAD", "DRAW"), "draws": COUNTS},
    ),
    Group(
        name="lanes",
        meaning="a batch began and ended at these lanes",
        axes={"lanes": ("1", "2", "4"), "begins": ("at lane 0", "later"), "ends": ("at the last lane", "before")},
        impossible=lambda lanes, begins, ends: lanes == "1" and (begins == "later" or ends == "before"),
    ),
    Group(
        name="psi switch",
        meaning="a psi was loaded in this situation, with these stalls until its first draw",
        axes={
            "situation": ("first psi", "no draws owed", "draws owed", "both banks in use", "after a refused psi"),
            "stall": STALLS,
        },
    ),
    Group(
        name="stall",
        meaning="a stream waited for so many cycles: its receiver for it inside a command, or it for its receiver",
        axes={
            "stream": ("i_command gap", "i_command refused", "o_status held", "o_draw held"),
            "cycles": LENGTHS,
        },
    ),
    Group(
        name="seed",
        meaning="a SEED was answered; the situation when its first word was offered",
        axes={
            "situation": ("no psi", "no draws owed", "draws owed", "after a refused SEED"),
            "outcome": ("executed", "refused"),
        },
    ),
    Group(
        name="zero state",
        meaning="a SEED was refused for the all-zero state of this stream",
        axes={"stream": ("the first", "an inner one", "the last")},
    ),
    Group(
        name="noise",
        meaning="a draw was delivered from this generator, in the stream of reset or of a SEED",
        axes={"generator": tuple(GENERATORS), "stream": ("of reset", "of a SEED")},
    ),
    Group(
        name="reset",
        meaning="the TSU was reset in this situation, after it had been in use",
        axes={"situation": ("idle", "inside a command", "before a status", "draws owed")},
    ),
    Group(
        name="configuration",
        meaning="a draw was delivered by a TSU built so",
        axes={
            "field": (
                "k_max 2",
                "k_max 4 to 16",
                "k_max 32 to 128",
                "k_max 256 to 1024",
                "level_stages 1",
                "level_stages 2",
                "level_stages 3",
                "block_ram",
                "weight_source both",
                "weight_source table",
                "weight_source exp2",
            )
        },
    ),
    Group(
        name="candidate",
        meaning="a candidate at the filter: what becomes of it, for n = V - K",
        axes={
            "outcome": (
                "head",
                "tail",
                "rejected for u",
                "rejected for the tail index",
                "rejected for both",
            ),
            "n": SPREADS,
        },
        impossible=lambda outcome, n: (
            (n == "0" and outcome == "tail")
            or (n != "other" and outcome in ("rejected for the tail index", "rejected for both"))
        ),
    ),
)
"""All groups."""

BINS: dict[str, tuple[str, ...]] = {group.name: tuple(group.bins()) for group in GROUPS}
"""All bins by the name of their group."""


class Functional:
    """Counts of every bin."""

    def __init__(self) -> None:
        self.counts: dict[str, dict[str, int]] = {name: dict.fromkeys(bins, 0) for name, bins in BINS.items()}

    def hit(self, group: str, *values: str) -> None:
        """Count one bin. Raises SpecError where it is not declared: it was held for impossible, and is not."""
        name = " / ".join(values)
        if name not in self.counts.get(group, {}):
            raise SpecError(f"bin of {group!r}", name, "a declared bin, see sim/coverage/groups.py")
        self.counts[group][name] += 1

    def add(self, counts: dict[str, dict[str, int]]) -> None:
        """Add the counts of another run. Raises SpecError where it has other bins than are declared."""
        for group, bins in counts.items():
            for name, count in bins.items():
                if name not in self.counts.get(group, {}):
                    raise SpecError(f"bin of {group!r}", name, "a declared bin, see sim/coverage/groups.py")
                self.counts[group][name] += count

    def empty(self) -> list[tuple[str, str]]:
        """Group and bin of what never happened."""
        return [(group, name) for group, bins in self.counts.items() for name, count in bins.items() if not count]
