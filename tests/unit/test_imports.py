# SPDX-License-Identifier: Apache-2.0
"""Imports run one way: the contracts of pyproject.toml hold, and each of them fails on a violation."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LINT = [str(Path(sys.executable).parent / "lint-imports"), "--no-logo", "--no-cache"]

MODULES = (
    "hw.spec.config",
    "hw.tsu.core",
    "hw.axi.axi_tsu",
    "hw.boards.harness",
    "hw.link.serial_tsu",
    "hw.synth.report",
    "hw.testplan",
    "hw.build",
    "hw.docgen",
    "sim.native",
    "sim.inprocess.library",
    "sim.verilated.library",
    "sim.cxxrtl.library",
    "host.stats",
    "host.tsu.rtl",
    "host.tsu.cxxrtl",
    "host.tsu.model",
)
"""A skeleton of the project with one module in every layer."""


def skeleton(folder: Path, module: str, line: str) -> Path:
    """A project of empty modules under the real contracts, where `module` holds `line`."""
    (folder / "pyproject.toml").write_text((ROOT / "pyproject.toml").read_text())
    for name in MODULES:
        path = folder.joinpath(*name.split("."))
        path.parent.mkdir(parents=True, exist_ok=True)
        for package in path.relative_to(folder).parents:
            if package.parts:
                (folder / package / "__init__.py").touch()
        path.with_suffix(".py").write_text(line + "\n" if name == module else "")
    return folder


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(LINT, cwd=folder, capture_output=True, text=True, timeout=120, check=False)


def test_project_keeps_its_contracts() -> None:
    done = lint(ROOT)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("hw.tsu.core", "import hw.spec.config"),
        ("sim.native", "import hw.tsu.core"),
        ("host.stats", "import hw.spec.config, host.tsu.rtl"),
        ("host.tsu.rtl", "def load():\n    from sim import native"),
        ("host.tsu.cxxrtl", "def load():\n    from sim import native"),
        ("sim.verilated.library", "import sim.inprocess.library"),
    ],
)
def test_allowed_imports_pass(tmp_path: Path, module: str, line: str) -> None:
    done = lint(skeleton(tmp_path, module, line))
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("module", "line", "contract"),
    [
        ("hw.tsu.core", "import sim.native", "imports run one way"),
        ("sim.native", "import host.stats", "imports run one way"),
        ("hw.spec.config", "import hw.tsu.core", "inside hw"),
        ("hw.tsu.core", "import hw.boards.harness", "inside hw"),
        ("hw.spec.config", "import numpy", "standard library only"),
        ("host.stats", "from hw.tsu import core", "host imports hw.spec only"),
        ("host.stats", "def load():\n    from sim import native", "only the adapters in process"),
        ("sim.cxxrtl.library", "from sim.verilated import toolchain", "needs no Verilator"),
    ],
)
def test_forbidden_imports_fail(tmp_path: Path, module: str, line: str, contract: str) -> None:
    done = lint(skeleton(tmp_path, module, line))
    assert done.returncode == 1
    assert [row for row in done.stdout.splitlines() if contract in row and "BROKEN" in row], done.stdout


def imported(tree: ast.AST) -> Iterator[str]:
    """Top-level names of the absolute imports anywhere in `tree`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield str(node.module).split(".")[0]


def test_spec_imports_only_the_standard_library_and_itself() -> None:
    sources = sorted((ROOT / "hw" / "spec").rglob("*.py"))
    assert sources
    for source in sources:
        names = set(imported(ast.parse(source.read_text())))
        assert names <= sys.stdlib_module_names | {"hw"}, source


@pytest.mark.parametrize("adapter", ["rtl", "cxxrtl", "model"])
def test_adapters_load_the_simulation_only_when_it_is_used(adapter: str) -> None:
    code = f"import sys, host.tsu.{adapter}; sys.exit('sim' in sys.modules or 'amaranth' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
