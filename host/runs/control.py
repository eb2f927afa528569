# SPDX-License-Identifier: Apache-2.0
"""How a run begins and ends: its TSU, its files, signals, and the mark of noise that failed."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np

from host.telemetry.files import RunFolder, check_destination, write_json
from host.telemetry.summary import SUMMARY_SCHEMA_VERSION
from host.tsu.base import NoiseAlarm, Tsu
from host.tsu.registry import open_tsu
from hw.spec.config import TsuConfig
from hw.spec.errors import SpecError

from .options import RunOptions

VERIFIER_STREAM = 1
"""The verifier's generator is PCG64(SeedSequence([seed, 1])): independent of the target's and of the TSU's noise."""


def verifier_rng(seed: int) -> np.random.Generator:
    """The generator of the verifier's decisions."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, VERIFIER_STREAM])))


def open_run_tsu(options: RunOptions, config: TsuConfig | None) -> Tsu:
    """The TSU of a run; `config` is None for a board, which brings its own.

    Raises
    ------
    SpecError, TsuError
        See `open_tsu`.
    """
    return open_tsu(
        backend=options.backend,
        config=config,
        seed=options.seed,
        mode=options.weights,
        port=options.port,
        baud=options.baud,
    )


@contextmanager
def stop_on_signals() -> Iterator[Callable[[], bool]]:
    """Turn the first SIGINT or SIGTERM into a flag: the batch under way is finished. A second one interrupts."""
    caught: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        if caught:
            raise KeyboardInterrupt
        caught.append(number)

    previous = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: bool(caught)
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


@contextmanager
def marked(folder: RunFolder | None, facts: dict[str, Any]) -> Iterator[None]:
    """Where the noise raises an alarm, say so in summary.json: what was drawn before is not to be trusted either."""
    try:
        yield
    except NoiseAlarm as error:
        if folder is not None:
            mark = {"complete": False, "sound": False, **facts, "noise_alarm": str(error)}
            write_json(folder.path / "summary.json", {"schema_version": SUMMARY_SCHEMA_VERSION, **mark})
        raise


def destinations(options: RunOptions, *names: str) -> dict[str, Path]:
    """Checked path of each file that the options name, by the name of the option.

    Raises
    ------
    SpecError
        A file cannot be put there, or two options name the same.
    """
    files: dict[str, Path] = {}
    for name in names:
        path: Path | None = getattr(options, name)
        if path is None:
            continue
        field = name.replace("_", "-")
        target = check_destination(field, path, options.out)
        if target in files.values():
            raise SpecError(field, str(path), "a file of its own; another option writes it too")
        files[name] = target
    if "plot" in files:
        from host.report.figure import check_plot

        check_plot(files["plot"])
    return files


def run_facts(options: RunOptions, config: TsuConfig, tsu: Tsu, folder: RunFolder | None) -> dict[str, Any]:
    """What identifies a run and what its TSU promises, for summary.json and for every row."""
    promised = tsu.capabilities
    return {
        "run_id": None if folder is None else folder.run_id,
        "backend": options.backend,
        "exact": promised.exact,
        "law_bound": promised.bound,
        "noise": options.generator or config.noise,
        "lanes": config.lanes,
        "groups": config.groups,
        "weights": options.weights,
        "spec_id": f"{tsu.spec_id:#018x}",
        "seed": options.seed,
        "steps_requested": options.steps,
    }


def cycle_facts(cycles: int, steps: int) -> dict[str, Any]:
    """Cycles of a finished run, None where the backend counts none; no alarm came."""
    return {
        "noise_alarm": None,
        "cycles": cycles or None,
        "samples_per_cycle": steps / cycles if cycles else None,
    }
