# SPDX-License-Identifier: Apache-2.0
"""Runs benches with coverage and keeps a record of each, so that an interrupted run loses one bench at most."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from ..bench_build import BUILD_ARGS, TOP, Flow, build_bench
from ..bench_file import Bench, BenchError
from ..benches import run_bench, run_directory
from ..verilated.toolchain import Verilator
from .groups import Functional
from .instrument import marked_verilog
from .observe import ENV_OUT
from .structure import CoverageError, Structure, from_json, merge, read_structure, to_json

FLOW = Flow(
    convert=partial(marked_verilog, name=TOP),
    options=(*BUILD_ARGS[: BUILD_ARGS.index("-CFLAGS")], "--coverage-toggle", "--coverage-max-width", "4096"),
)
"""Marked Verilog, and Verilator's toggle coverage, which counts the marks too. `--coverage` alone does not compile."""

MAKE_VARIABLES = "OPT_FAST=-O1"
"""Optimises what runs in every cycle, and not the many calls that only enter the points of coverage."""

DATA_FILE = "coverage.dat"
"""What the simulation writes for Verilator's counts."""

COUNTS_FILE = "functional.json"
"""What the simulation writes for the functional counts."""


@dataclass(frozen=True, kw_only=True)
class Record:
    """What one bench covered.

    Parameters
    ----------
    bench : str
    build : str
        Name of the build, which is a digest of the gateware and the tools.
    failures : list of str
        Failed tests; one entry where the bench did not build or run.
    structure : dict
        See `structure.to_json`.
    functional : dict
        Counts by group and bin; empty where the bench drives no TSU.
    """

    bench: str
    build: str
    failures: list[str]
    structure: dict[str, Any]
    functional: dict[str, dict[str, int]]


def record_path(bench: Bench, build_root: Path) -> Path:
    """Where the record of a bench is kept."""
    return build_root / "records" / f"{bench.name.replace('/', '-')}.json"


def read_record(bench: Bench, build_root: Path) -> Record | None:
    """The record that a run before left, where it is complete and without failure."""
    try:
        record = Record(**json.loads(record_path(bench, build_root).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None
    return None if record.failures else record


def run_one(bench: Bench, *, verilator: Verilator, build_root: Path) -> Record:
    """Build and run a bench with coverage, and keep its record."""
    counts_path = run_directory(bench, build_root) / COUNTS_FILE
    data_path = counts_path.with_name(DATA_FILE)
    for path in (counts_path, data_path):
        path.unlink(missing_ok=True)
    structure: Structure = {}
    functional: dict[str, dict[str, int]] = {}
    build = ""
    try:
        directory = build_bench(bench, verilator=verilator, build_root=build_root, waves=False, flow=FLOW)
        build = directory.name
        environment = {ENV_OUT: str(counts_path)}
        results = run_bench(
            bench, verilator=verilator, build_root=build_root, flow=FLOW, environment=environment, built=directory
        )
        failures = [f"{result.name}: {result.message}" for result in results if result.message]
        structure = read_structure(data_path, directory / f"{TOP}.v")
        if counts_path.is_file():
            functional = json.loads(counts_path.read_text(encoding="utf-8"))
    except (BenchError, CoverageError) as error:
        failures = [str(error)]
    record = Record(
        bench=bench.name, build=build, failures=failures, structure=to_json(structure), functional=functional
    )
    path = record_path(bench, build_root)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(asdict(record)) + "\n", encoding="utf-8")
    return record


def merge_records(records: Iterable[Record]) -> tuple[Structure, Functional]:
    """What the benches that passed have covered together. Raises SpecError for bins that are not declared."""
    records = [record for record in records if not record.failures]
    functional = Functional()
    for record in records:
        functional.add(record.functional)
    return merge(from_json(record.structure) for record in records), functional
