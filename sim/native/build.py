# SPDX-License-Identifier: Apache-2.0
"""Compile C++ to a shared library, once: the cache is keyed by everything that the result depends on."""

import fcntl
import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path

from hw.spec.cache import cache_folder

from .toolchain import find_cxx

FLAGS = (
    "-x",
    "c++",
    "-std=c++17",
    "-O3",
    "-march=native",
    "-fPIC",
    "-shared",
    "-fvisibility=hidden",
    "-Wall",
    "-Wextra",
)
"""Compiler flags of every native library."""


class NativeBuildError(RuntimeError):
    """Native code did not compile, or the cache cannot be written; the message is one line."""


@cache
def _compiler_version(compiler: Path) -> str:
    """What the compiler says of itself."""
    try:
        return subprocess.run([compiler, "--version"], capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        raise NativeBuildError(f"the C++ compiler {compiler} does not run: {error}") from error


@cache
def processor() -> str:
    """What -march=native depends on: the machine's architecture and, on Linux, the flags of its first core."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    facts = [line for line in lines[:40] if line.split(":")[0].strip() in ("model name", "flags", "Features", "isa")]
    return "\n".join([platform.machine(), *facts])


def _key(facts: Mapping[str, str]) -> str:
    digest = hashlib.sha256()
    for name, text in sorted(facts.items()):
        digest.update(f"{name}\0{len(text)}\0".encode())
        digest.update(text.encode())
    return digest.hexdigest()


def _one_line(log: str) -> str:
    lines = [line.strip() for line in log.splitlines() if "error" in line.lower()]
    return lines[0] if lines else (log.strip().splitlines() or ["it printed nothing"])[-1]


def build_library(
    *,
    name: str,
    source: Path,
    headers: Sequence[Path],
    generated: Mapping[str, str],
    flags: Sequence[str] = FLAGS,
) -> Path:
    """The shared library of one C++ source, from the cache or compiled now.

    Sources are copied to a fresh folder and compiled there, so that only what is listed, and hence part of the key, can
    be included beside system headers. The library appears under its final name in one step: processes that build the
    same thing at the same time do not disturb each other.

    Parameters
    ----------
    name : str
        Start of the library's file name.
    source : Path
        The translation unit.
    headers : sequence of Path
        Files it includes, each by its base name.
    generated : mapping of str to str
        Names and texts of generated headers.
    flags : sequence of str
        Compiler flags.

    Returns
    -------
    Path
        <cache>/native/<name>-<digest>.so

    Raises
    ------
    ToolMissing
        There is no C++ compiler.
    NativeBuildError
        The compiler failed, or the cache cannot be written.
    """
    files = {path.name: path.read_text(encoding="utf-8") for path in (source, *headers)} | dict(generated)

    def compile_in(work: Path) -> Path:
        for file_name, text in files.items():
            (work / file_name).write_text(text, encoding="utf-8")
        return compile_library(work, [work / source.name], flags=flags)

    return build_once(name=name, facts=files | compiler_facts(flags) | {"source": source.name}, build=compile_in)


def compiler_facts(flags: Sequence[str]) -> dict[str, str]:
    """What a compiled file depends on beside its sources: flags, compiler and processor."""
    compiler = find_cxx()
    return {
        "flags": " ".join([str(compiler), *flags]),
        "compiler": _compiler_version(compiler),
        "cpu": processor(),
    }


def compile_library(work: Path, sources: Sequence[Path], *, flags: Sequence[str]) -> Path:
    """Compile sources to `work`/library.so with includes from `work`. Raises NativeBuildError."""
    compiler, built = find_cxx(), work / "library.so"
    run_tool([str(compiler), *flags, "-I", str(work), "-o", str(built), *map(str, sources)], what=sources[0].name)
    return built


def run_tool(command: Sequence[str], *, what: str, env: Mapping[str, str] | None = None) -> None:
    """Run a compiler on `what`; raise NativeBuildError with the first line that says `error` when it fails."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=env)
    if done.returncode != 0:
        raise NativeBuildError(f"{command[0]} did not compile {what}: {_one_line(done.stderr)}")


def build_once(*, name: str, facts: Mapping[str, str], build: Callable[[Path], Path]) -> Path:
    """The file that `build` makes in a fresh folder, kept under the digest of `facts`.

    It appears under its final name in one step: processes that build the same thing at the same time do not disturb
    each other.

    Parameters
    ----------
    name : str
        Start of the file name.
    facts : mapping of str to str
        Everything that the result depends on.
    build : callable
        Takes an empty folder and returns the path of the result inside it.

    Returns
    -------
    Path
        <cache>/native/<name>-<digest>.so

    Raises
    ------
    NativeBuildError
        `build` raised it, or the cache cannot be written.
    """
    folder = cache_folder("native")
    result = folder / f"{name}-{_key(facts)[:32]}.so"
    if result.is_file():
        return result
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock_file = folder / f".{result.name}.lock"
        with open(lock_file, "w", encoding="utf-8") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # one process builds, the others wait for its result
            try:
                if not result.is_file():
                    _build_into(folder, name, build, result)
            finally:
                lock_file.unlink(missing_ok=True)
    except OSError as error:
        raise NativeBuildError(f"cannot write to the build cache {folder}: {error}") from error
    return result


def _build_into(folder: Path, name: str, build: Callable[[Path], Path], result: Path) -> None:
    """Build in a fresh folder and move the result to its name in one step."""
    work = Path(tempfile.mkdtemp(prefix=f".{name}-", dir=folder))
    try:
        os.replace(build(work), result)
    finally:
        shutil.rmtree(work, ignore_errors=True)
