# SPDX-License-Identifier: Apache-2.0
"""The reviewed list of survivors: which are equivalent, and why."""

import re
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

LIST = Path(__file__).with_name("explained.toml")
"""The list: tables `[[rule]]` with target, pattern, equivalent, reason."""


@dataclass(frozen=True, kw_only=True)
class Rule:
    """Why some mutants live.

    Parameters
    ----------
    target : str
        Pattern of the target's name.
    pattern : str
        Matches the whole `Mutant.text`.
    equivalent : bool
        Whether they behave as the TSU does, whatever is asked of it.
    reason : str
    """

    target: str
    pattern: str
    equivalent: bool
    reason: str

    def covers(self, target: str, text: str) -> bool:
        """Whether this mutant is meant."""
        return bool(re.fullmatch(self.target, target) and re.fullmatch(self.pattern, text))


def read_rules(path: Path = LIST) -> list[Rule]:
    """All rules, in order."""
    return [Rule(**fields) for fields in tomllib.loads(path.read_text(encoding="utf-8")).get("rule", [])]


def explain(rules: Iterable[Rule], target: str, text: str) -> Rule | None:
    """The first rule for a survivor, or None."""
    return next((rule for rule in rules if rule.covers(target, text)), None)


def contradictions(rules: Iterable[Rule], target: str, killed: Iterable[str]) -> list[str]:
    """Rules that say a killed mutant is equivalent, a line each: such a rule is wrong."""
    known = list(rules)
    pairs = ((explain(known, target, text), text) for text in killed)
    return [
        f"{target}: killed, but explained as equivalent ({rule.reason}): {text}"
        for rule, text in pairs
        if rule is not None and rule.equivalent
    ]
