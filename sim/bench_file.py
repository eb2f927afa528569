# SPDX-License-Identifier: Apache-2.0
"""A bench file: the cocotb tests of one block, and the tops they run on.

A bench file `bench_<name>.py` declares `TOPLEVELS`, a dict from the name of a variant to a function without arguments
that returns the component to simulate. All tests of the file run on every variant; `variant()` tells them on which.
"""

import importlib.util
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

FILE_PREFIX = "bench_"
"""Bench files are called `bench_<name>.py`."""

ENV_FILE = "TSD_BENCH_FILE"
"""Environment variable that tells the simulator's process which bench file to load."""

ENV_VARIANT = "TSD_BENCH_VARIANT"
"""Environment variable that tells the tests which variant they run on."""


class BenchError(RuntimeError):
    """A bench cannot be found, built or run; the message is one line."""


@dataclass(frozen=True)
class Bench:
    """One variant of one bench file.

    Parameters
    ----------
    name : str
        `<file>/<variant>`.
    path : Path
        The bench file.
    variant : str
        A key of its `TOPLEVELS`.
    toplevel : callable
        Makes the component to simulate.
    """

    name: str
    path: Path
    variant: str
    toplevel: Callable[[], Any]


def load_module(path: Path) -> ModuleType:
    """Import a bench file by its path."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None or not path.is_file():
        raise BenchError(f"bench file {path} does not exist")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def find_benches(directory: Path) -> list[Bench]:
    """Every variant of every bench file of a directory, by file name.

    Raises
    ------
    BenchError
        The directory holds no bench file, or a file declares no `TOPLEVELS`.
    """
    paths = sorted(directory.glob(f"{FILE_PREFIX}*.py"))
    if not paths:
        raise BenchError(f"{directory} holds no {FILE_PREFIX}*.py")
    benches = []
    for path in paths:
        toplevels = getattr(load_module(path), "TOPLEVELS", None)
        if not isinstance(toplevels, dict) or not toplevels:
            raise BenchError(f"{path} declares no TOPLEVELS: expected a dict of variant name to function")
        name = path.stem.removeprefix(FILE_PREFIX)
        benches += [Bench(f"{name}/{variant}", path, variant, make) for variant, make in toplevels.items()]
    return benches


def select_benches(benches: list[Bench], names: list[str]) -> list[Bench]:
    """The benches called by `names`, each `<file>` or `<file>/<variant>`; all of them without names.

    Raises
    ------
    BenchError
        A name fits no bench.
    """
    if not names:
        return benches
    chosen: dict[str, Bench] = {}
    for name in names:
        fitting = [bench for bench in benches if name in (bench.name, bench.name.partition("/")[0])]
        if not fitting:
            raise BenchError(f"bench {name!r} does not exist: expected one of {', '.join(b.name for b in benches)}")
        chosen.update((bench.name, bench) for bench in fitting)
    return list(chosen.values())


def variant() -> str:
    """Name of the variant that the running tests are simulated on."""
    return os.environ[ENV_VARIANT]
