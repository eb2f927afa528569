# SPDX-License-Identifier: Apache-2.0
"""The reviewed list of gaps: what is not covered, and why that is no missing test."""

import re
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from hw.spec.errors import SpecError

LIST = Path(__file__).with_name("explained.toml")
"""The list: tables `[[gap]]` with the fields of `Rule`."""

KINDS = ("component", "line", "toggle", "bin")
"""What a gap can be of."""


@dataclass(frozen=True, kw_only=True)
class Gap:
    """Something that no bench covered.

    Parameters
    ----------
    kind : str
        One of `KINDS`.
    where : str
        File of the component, or group of the bin.
    what : str
        Text of the line, name of the signal, or name of the bin; empty for a component.
    bits : tuple of int
        Bits of a signal that lack a toggle; empty otherwise.
    detail : str
        Line number, or what the bits did.
    """

    kind: str
    where: str
    what: str = ""
    bits: tuple[int, ...] = ()
    detail: str = ""

    @property
    def weight(self) -> int:
        """Toggles that are missing of a signal; 1 otherwise."""
        return sum(2 - kind.startswith("only") for kind in self.detail.split(", ")) if self.bits else 1

    def __str__(self) -> str:
        parts = [self.where, self.what, self.detail]
        return f"{self.kind} " + ": ".join(part for part in parts if part)


@dataclass(frozen=True, kw_only=True)
class Rule:
    """Why some gaps are there.

    Parameters
    ----------
    kind : str
        One of `KINDS`.
    where, what : str
        Patterns of the whole `Gap.where` and `Gap.what`.
    bits : str
        Of a toggle: `high:low` or a bit, all by default. Each of these bits has to lack a toggle.
    reason : str
    """

    kind: str
    where: str
    what: str = ""
    bits: str = ""
    reason: str

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise SpecError("kind of an explanation", self.kind, "one of " + ", ".join(KINDS))
        if not self.reason.strip():
            raise SpecError("reason of an explanation", self.reason, "a sentence")
        if self.bits and not re.fullmatch(r"\d+(:\d+)?", self.bits):
            raise SpecError("bits of an explanation", self.bits, "high:low or one bit")

    def means(self, gap: Gap) -> bool:
        """Whether the rule is about this gap, or some of its bits."""
        same = self.kind == gap.kind
        return bool(same and re.fullmatch(self.where, gap.where) and re.fullmatch(self.what, gap.what))

    def explained_bits(self, gap: Gap) -> set[int]:
        """Bits that the rule names; all of the gap's where it names none."""
        if not self.bits:
            return set(gap.bits)
        high, _, low = self.bits.partition(":")
        return set(range(int(low or high), int(high) + 1))


@dataclass(frozen=True, kw_only=True)
class Review:
    """The gaps of a report beside the list.

    Parameters
    ----------
    explained : list of (Gap, Rule)
        Gaps, each with the rule that covers it last.
    unexplained : list of Gap
    errors : list of str
        Rules that explain something that is covered, a line each.
    """

    explained: list[tuple[Gap, Rule]]
    unexplained: list[Gap]
    errors: list[str]


def read_rules(path: Path = LIST) -> list[Rule]:
    """All rules, in order. Raises SpecError where the list is broken."""
    try:
        entries = tomllib.loads(path.read_text(encoding="utf-8")).get("gap", [])
        return [Rule(**fields) for fields in entries]
    except (tomllib.TOMLDecodeError, TypeError) as error:
        raise SpecError(path.name, str(error), "tables [[gap]] with kind, where, what, bits, reason") from None


def review(gaps: Iterable[Gap], rules: Iterable[Rule]) -> Review:
    """Match gaps with rules: a gap is explained when every one of its bits is."""
    gaps, rules = list(gaps), list(rules)
    explained, unexplained, used = [], [], set()
    errors: list[str] = []
    for gap in gaps:
        fitting = [rule for rule in rules if rule.means(gap)]
        left = set(gap.bits)
        for rule in fitting:
            used.add(id(rule))
            bits = rule.explained_bits(gap)
            if not bits <= set(gap.bits):
                covered = ", ".join(map(str, sorted(bits - set(gap.bits))))
                errors.append(f"explained, but covered: {gap.kind} {gap.where}: {gap.what}: bits {covered}")
            left -= bits
        if fitting and not left:
            explained.append((gap, fitting[-1]))
        else:
            unexplained.append(gap)
    errors += [
        f"explained, but covered or gone: {rule.kind} {rule.where}: {rule.what}".rstrip(": ")
        for rule in rules
        if id(rule) not in used
    ]
    return Review(explained=explained, unexplained=unexplained, errors=errors)
