# SPDX-License-Identifier: Apache-2.0
"""Runs the cocotb benches on Verilated RTL: `python -m sim.benches [NAME ...] [--waves] [--list]`.

Exit status: 0 when at least one test ran and all passed, 1 when a test failed, when a bench ran none, or when a build
failed, 2 when a tool, a bench or an argument is wrong.
"""

import argparse
import contextlib
import logging
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from cocotb_tools.check_results import get_results
from cocotb_tools.runner import get_runner

from .bench_build import PLAIN, TOP, Flow, build_bench
from .bench_file import ENV_FILE, ENV_VARIANT, Bench, BenchError, find_benches, select_benches
from .native.toolchain import ToolMissing
from .verilated.toolchain import Verilator, find_verilator


@dataclass(frozen=True)
class TestResult:
    """Outcome of one cocotb test; `message` is empty where it passed."""

    name: str
    seconds: float
    message: str


def read_results(path: Path) -> list[TestResult]:
    """Outcomes in a results file of cocotb, in the order of execution.

    Raises
    ------
    BenchError
        The file is missing or broken, holds no test that ran, or its counts contradict its test cases.
    """
    try:
        count, failed = get_results(path)
        cases = list(ElementTree.parse(path).getroot().iter("testcase"))
    except RuntimeError as error:
        raise BenchError("the simulation ended without results") from error
    except ElementTree.ParseError as error:
        raise BenchError(f"the results file is broken: {error}") from error
    results = []
    for case in cases:
        if case.find("skipped") is not None:
            continue
        problem = case.find("failure")
        if problem is None:
            problem = case.find("error")
        message = ""
        if problem is not None:
            lines = (problem.get("message") or problem.text or "").strip().splitlines()
            message = lines[0] if lines else "failed"
        results.append(TestResult(case.get("name", "?"), float(case.get("time", 0)), message))
    if not results:
        raise BenchError("no test ran")
    if failed != sum(1 for result in results if result.message) or count < len(results):
        raise BenchError(f"the results file counts {count} tests and {failed} failures, its cases differ")
    return results


def run_directory(bench: Bench, build_root: Path) -> Path:
    """Where a run of a bench leaves its log, its results and whatever else its simulation writes."""
    return build_root / "benches" / "runs" / bench.name.replace("/", "-")


def run_bench(
    bench: Bench,
    *,
    verilator: Verilator,
    build_root: Path,
    waves: bool = False,
    seed: int = 1,
    flow: Flow = PLAIN,
    environment: Mapping[str, str] | None = None,
    built: Path | None = None,
) -> list[TestResult]:
    """Build a bench and run all its tests in one simulation.

    Parameters
    ----------
    bench : Bench
    verilator : Verilator
        Its environment has to be in force, see `main`.
    build_root : Path
        Builds go to `benches/` below it, waves to `waves/<bench>.vcd`.
    waves : bool
        Record every signal.
    seed : int
        Seed of Python's `random` in the tests.
    flow : Flow
        How the program is made.
    environment : mapping, optional
        Further variables of the simulator's environment.
    built : Path, optional
        What `build_bench` returned; it is built first where this is not given.

    Raises
    ------
    BenchError
        The build failed, the simulation ended without results, or no test ran.
    """
    directory = built or build_bench(bench, verilator=verilator, build_root=build_root, waves=waves, flow=flow)
    run_folder = run_directory(bench, build_root)
    run_folder.mkdir(parents=True, exist_ok=True)
    results_path = run_folder / "results.xml"
    results_path.unlink(missing_ok=True)
    waves_path = build_root / "waves" / f"{bench.name.replace('/', '-')}.vcd"
    if waves:
        waves_path.parent.mkdir(parents=True, exist_ok=True)
    log_path = run_folder / "run.log"
    try:
        # A test that fails, or a simulator that crashes, is seen in the results file.
        with contextlib.suppress(RuntimeError, SystemExit):
            get_runner("verilator").test(
                test_module="sim.bench_entry",
                hdl_toplevel=TOP,
                hdl_toplevel_lang="verilog",
                build_dir=directory,
                test_dir=run_folder,
                results_xml=str(results_path),
                extra_env={**(environment or {}), ENV_FILE: str(bench.path.resolve()), ENV_VARIANT: bench.variant},
                test_args=["--trace-file", str(waves_path)] if waves else [],
                waves=waves,
                seed=seed,
                log_file=log_path,
            )
        return read_results(results_path)
    except BenchError as error:
        raise BenchError(f"{error}, see {log_path}") from error


def run_all(benches: list[Bench], *, build_root: Path, waves: bool, seed: int) -> int:
    """Run benches one after the other, print one line per test and a summary; returns the exit status."""
    verilator = find_verilator()
    os.environ.update(verilator.changes())
    passed = failed = 0
    for bench in benches:
        try:
            results = run_bench(bench, verilator=verilator, build_root=build_root, waves=waves, seed=seed)
        except BenchError as error:
            print(f"FAIL {bench.name}: {error}", flush=True)
            failed += 1
            continue
        for result in results:
            line = f"{bench.name}.{result.name} ({result.seconds:.2f} s)"
            print(f"FAIL {line}: {result.message}" if result.message else f"pass {line}", flush=True)
        failures = sum(1 for result in results if result.message)
        failed += failures
        passed += len(results) - failures
    print(f"{passed} passed, {failed} failed, in {len(benches)} benches")
    return 0 if passed and not failed else 1


def main(arguments: list[str] | None = None) -> int:
    """Command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m sim.benches", description="Run the cocotb benches under Verilator."
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="bench, or bench/variant; all of them by default")
    parser.add_argument("--waves", action="store_true", help="record all signals to BUILD/waves/<bench>.vcd")
    parser.add_argument("--list", action="store_true", help="print the benches and stop")
    parser.add_argument("--seed", type=int, default=1, help="seed of the random stalls and data (default: %(default)s)")
    parser.add_argument("--dir", type=Path, default=Path("tests/benches"), help="where bench_*.py are")
    parser.add_argument("--build", type=Path, default=Path("build"), help="where builds and waves go")
    options = parser.parse_args(arguments)
    logging.getLogger("Verilator").setLevel(logging.ERROR)
    try:
        benches = select_benches(find_benches(options.dir), options.names)
        if options.list:
            print("\n".join(bench.name for bench in benches))
            return 0
        return run_all(benches, build_root=options.build.resolve(), waves=options.waves, seed=options.seed)
    except (BenchError, ToolMissing) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
