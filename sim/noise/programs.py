# SPDX-License-Identifier: Apache-2.0
"""Programs of others, used where they are installed: rngtest, ent, dieharder."""

import contextlib
import math
import re
import shutil
import subprocess
import tempfile
import threading
from typing import IO

import numpy as np
from scipy import stats

from . import kernel, laws
from .checks import Progress, Source
from .report import DIEHARDER, ENT, RNGTEST, CheckResult, Status

PACKAGES = {RNGTEST: ("rngtest", "rng-tools-debian"), ENT: ("ent", "ent"), DIEHARDER: ("dieharder", "dieharder")}
"""Program and Debian package behind each check."""

DIEHARDER_TESTS = (0, 2, 3, 8, 15, 100, 101, 102, 209)
"""Numbers in `dieharder -l`: birthdays, rank 32x32 and 6x8, count of ones, runs, three of STS, DAB monobit."""

DIEHARDER_RAW_STDIN = "200"
"""Generator of dieharder that reads raw words from its standard input."""

STREAM_WORDS = 1 << 16
"""Words of one stream that go to a program before those of the next stream."""

TIME_LIMIT_S = 3600.0
"""A program that runs longer is stopped, seconds."""


class ProgramError(RuntimeError):
    """A program failed or printed something unknown; the message is one line."""


def serial_words(source: Source, n: int) -> bytes:
    """n words as little-endian bytes: a stretch of stream 0, then as much of stream 1, and so on."""
    return source.take(math.ceil(n / source.streams)).reshape(-1)[:n].astype("<u4").tobytes()


def parse_rngtest(text: str) -> tuple[int, int]:
    """Blocks that passed and that failed, from what rngtest writes to its standard error.

    Raises ProgramError where one of the two lines is missing.
    """
    counts = []
    for word in ("successes", "failures"):
        found = re.search(rf"FIPS 140-2 {word}: (\d+)", text)
        if found is None:
            raise ProgramError(f"rngtest printed no line 'FIPS 140-2 {word}'")
        counts.append(int(found[1]))
    return counts[0], counts[1]


def parse_ent(text: str) -> dict[str, float]:
    """Columns of `ent -t` by name: File-bytes, Chi-square, Serial-Correlation and others.

    Raises ProgramError where the output is no such table.
    """
    lines = [line.split(",") for line in text.split()]
    if len(lines) < 2 or len(lines[0]) != len(lines[1]):
        raise ProgramError("ent printed no table")
    try:
        values = {name: float(value) for name, value in zip(lines[0][1:], lines[1][1:], strict=True)}
    except ValueError:
        raise ProgramError("ent printed a column that is no number") from None
    if not {"File-bytes", "Chi-square", "Serial-Correlation"} <= values.keys():
        raise ProgramError("ent printed a table without the columns File-bytes, Chi-square, Serial-Correlation")
    return values


def parse_dieharder(text: str) -> list[tuple[str, float, str]]:
    """Name, p-value and assessment (PASSED, WEAK, FAILED) of every result in the output of dieharder."""
    results = []
    for line in text.splitlines():
        parts = [part.strip() for part in line.split("|")]
        if len(parts) == 6 and parts[5] in ("PASSED", "WEAK", "FAILED"):
            name = parts[0] if parts[1] == "0" else f"{parts[0]} {parts[1]}"
            results.append((name, float(parts[4]), parts[5]))
    return results


def _not_installed(name: str) -> CheckResult | None:
    program, package = PACKAGES[name]
    if shutil.which(program):
        return None
    return CheckResult(name=name, status=Status.NOT_RUN, figure=f"install the Debian package {package}")


def _run(command: list[str], *, data: bytes | None, legal: tuple[int, ...]) -> subprocess.CompletedProcess[bytes]:
    """Run a program on `data`. Raises ProgramError where it fails or takes too long."""
    try:
        done = subprocess.run(command, input=data, capture_output=True, timeout=TIME_LIMIT_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ProgramError(f"{command[0]} did not end well: {error}") from error
    if done.returncode not in legal:
        raise ProgramError(f"{command[0]} ended with exit status {done.returncode}")
    return done


def rngtest(source: Source, *, blocks: int, progress: Progress) -> CheckResult:
    """`rngtest` on blocks of 20,000 bits; the count of failing blocks has to fit an ideal source."""
    missing = _not_installed(RNGTEST)
    if missing:
        return missing
    data = serial_words(source, blocks * kernel.FIPS_BLOCK_WORDS + 1)  # the first 32 bits only start its tests
    text = _run(["rngtest", "-c", str(blocks)], data=data, legal=(0, 1)).stderr.decode(errors="replace")
    progress(1.0)
    passed, failed = parse_rngtest(text)
    if passed + failed != blocks:
        raise ProgramError(f"rngtest tested {passed + failed} blocks of {blocks}")
    p = laws.fips_p_value(blocks, failed)
    status = Status.PASS if p >= laws.ALPHA else Status.FAIL
    return CheckResult(name=RNGTEST, status=status, figure=f"{failed} of {blocks:,} blocks fail", p=p)


def ent(source: Source, *, words: int, progress: Progress) -> CheckResult:
    """`ent`: chi-squared of the 256 byte values (255 degrees of freedom), correlation of neighbouring bytes."""
    missing = _not_installed(ENT)
    if missing:
        return missing
    with tempfile.NamedTemporaryFile(prefix="tsd-noise-") as file:
        file.write(serial_words(source, words))
        file.flush()
        table = parse_ent(_run(["ent", "-t", file.name], data=None, legal=(0,)).stdout.decode(errors="replace"))
    progress(1.0)
    if table["File-bytes"] != 4 * words:
        raise ProgramError(f"ent read {table['File-bytes']:.0f} bytes of {4 * words}")
    chi2 = table["Chi-square"]
    p_bytes = 2 * min(float(stats.chi2.sf(chi2, 255)), float(stats.chi2.cdf(chi2, 255)))
    serial = table["Serial-Correlation"]
    p_serial = float(2 * stats.norm.sf(abs(serial) * math.sqrt(table["File-bytes"])))
    p = min(1.0, 2 * min(p_bytes, p_serial))
    status = Status.PASS if p >= laws.ALPHA else Status.FAIL
    figure = f"{4 * words:,} bytes: chi-squared {chi2:.1f} of 255, serial correlation {serial:.6f}"
    return CheckResult(name=ENT, status=status, figure=figure, p=p)


def _feed(pipe: IO[bytes], source: Source) -> None:
    """Write words until the reader has had enough."""
    with contextlib.suppress(BrokenPipeError):
        while True:
            pipe.write(source.take(STREAM_WORDS).astype("<u4").tobytes())


def _run_fed(command: list[str], source: Source) -> str:
    """Standard output of a program that reads words from its standard input for as long as it likes.

    Raises ProgramError where it does not run, fails or takes too long.
    """
    with tempfile.TemporaryFile() as output:
        try:
            process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=output, stderr=subprocess.DEVNULL)
        except OSError as error:
            raise ProgramError(f"{command[0]} does not run: {error}") from error
        late = threading.Event()

        def stop() -> None:
            late.set()
            process.kill()

        timer = threading.Timer(TIME_LIMIT_S, stop)
        timer.start()
        try:
            if process.stdin is not None:
                _feed(process.stdin, source)
                with contextlib.suppress(BrokenPipeError):
                    process.stdin.close()
            status = process.wait()
        finally:
            timer.cancel()
            process.kill()
            process.wait()
        if late.is_set():
            raise ProgramError(f"{command[0]} took more than {TIME_LIMIT_S:g} s")
        if status != 0:
            raise ProgramError(f"{command[0]} ended with exit status {status}")
        output.seek(0)
        return output.read().decode(errors="replace")


def dieharder(source: Source, *, progress: Progress) -> CheckResult:
    """`DIEHARDER_TESTS` of dieharder, with its own sizes and its own verdicts: FAILED fails, WEAK is told."""
    missing = _not_installed(DIEHARDER)
    if missing:
        return missing
    results: list[tuple[str, float, str]] = []
    for index, number in enumerate(DIEHARDER_TESTS):
        found = parse_dieharder(_run_fed(["dieharder", "-g", DIEHARDER_RAW_STDIN, "-d", str(number)], source))
        if not found:
            raise ProgramError(f"dieharder printed no result of test {number}")
        results += found
        progress((index + 1) / len(DIEHARDER_TESTS))
    failed = [name for name, _, verdict in results if verdict == "FAILED"]
    weak = [name for name, _, verdict in results if verdict == "WEAK"]
    figure = f"{len(failed)} of {len(results)} failed, {len(weak)} weak"
    if failed:
        figure += ": " + ", ".join(dict.fromkeys(failed))
    p_values = np.array([p for _, p, _ in results])
    lowest = float(np.minimum(p_values, 1 - p_values).min())
    return CheckResult(name=DIEHARDER, status=Status.FAIL if failed else Status.PASS, figure=figure, p=lowest)
