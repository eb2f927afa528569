# SPDX-License-Identifier: Apache-2.0
"""The test plan: which test shows which requirement (`tests/testplan.toml`)."""

import ast
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hw.spec.errors import SpecError
from hw.spec.markdown import table

PLAN_FILE = Path("tests/testplan.toml")
"""The plan, relative to the checkout."""

STAGES = ("unit", "bench", "contract", "equiv", "stat", "e2e")
"""Kinds of tests, from the smallest to the whole system."""


@dataclass(frozen=True)
class PlanRow:
    """One requirement, and the tests (`file::function`) that would fail without it."""

    id: str
    requirement: str
    stage: str
    tests: tuple[str, ...]


def read_plan(root: Path) -> list[PlanRow]:
    """Rows of the plan of the checkout `root`.

    Raises SpecError where a row has a wrong field, a stage that does not exist, no test, or the id of another row.
    """
    with (root / PLAN_FILE).open("rb") as file:
        raw_rows = tomllib.load(file)["row"]
    rows: list[PlanRow] = []
    for raw in raw_rows:
        if set(raw) != {"id", "requirement", "stage", "tests"}:
            raise SpecError("testplan row", raw.get("id", raw), "the fields id, requirement, stage, tests")
        row = PlanRow(raw["id"], raw["requirement"], raw["stage"], tuple(raw["tests"]))
        if row.stage not in STAGES:
            raise SpecError(f"stage of {row.id}", row.stage, "one of " + ", ".join(STAGES))
        if not row.tests:
            raise SpecError(f"tests of {row.id}", [], "at least one test")
        if any(row.id == other.id for other in rows):
            raise SpecError("testplan id", row.id, "an id that occurs once")
        rows.append(row)
    return rows


def missing_tests(rows: Sequence[PlanRow], root: Path) -> list[str]:
    """Listed tests that the checkout does not have."""
    functions: dict[str, set[str]] = {}
    missing = []
    for name in (name for row in rows for name in row.tests):
        file_name, _, function = name.partition("::")
        if file_name not in functions:
            path = root / file_name
            tree = ast.parse(path.read_text(encoding="utf-8")) if path.is_file() else ast.Module([], [])
            functions[file_name] = {
                node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
            }
        if function not in functions[file_name]:
            missing.append(name)
    return missing


def plan_table(root: Path) -> str:
    """The plan as Markdown.

    Raises SpecError where a listed test does not exist.
    """
    rows = read_plan(root)
    missing = missing_tests(rows, root)
    if missing:
        raise SpecError("tests", ", ".join(missing), f"tests that exist, as file::function, in {PLAN_FILE}")
    return table(
        ["id", "requirement", "stage", "tests"],
        [(row.id, row.requirement, row.stage, "<br>".join(f"`{name}`" for name in row.tests)) for row in rows],
    )
