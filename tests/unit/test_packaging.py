# SPDX-License-Identifier: Apache-2.0
"""The wheel: built, installed into a fresh environment and imported outside the checkout."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.slow


def run(*command: str, cwd: Path) -> str:
    env = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "build", "--wheel", "--outdir", str(folder), str(ROOT), cwd=folder)
    (path,) = folder.glob("*.whl")
    return path


def test_wheel_holds_every_source_file_and_nothing_else(wheel: Path) -> None:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "hw", "sim", "host"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    sources = {name for name in listed.stdout.split() if (ROOT / name).is_file()}
    packed = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert packed == sources


def test_wheel_imports_outside_the_checkout(wheel: Path, tmp_path: Path) -> None:
    run(sys.executable, "-m", "venv", "--without-pip", "env", cwd=tmp_path)
    python = str(tmp_path / "env" / "bin" / "python")
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    site_packages = tmp_path / "env" / "lib" / version / "site-packages"
    target = ("--target", str(site_packages))
    run(sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", *target, str(wheel), cwd=tmp_path)
    code = "import hw.spec.config, sim, host; print(hw.__file__, sim.__file__, host.__file__, sep='\\n')"
    files = run(python, "-I", "-c", code, cwd=tmp_path).split()
    assert all(Path(name).is_relative_to(site_packages) for name in files)
    assert len(files) == 3
