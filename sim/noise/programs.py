# SPDX-License-Identifier: Apache-2.0
"""Programs of others, used where they are installed: rngtest and ent; dieharder has a file of its own."""

import math
import re
import shutil
import subprocess
import tempfile

from scipy import stats

from . import kernel, laws
from .checks import Progress, Source
from .report import DIEHARDER, ENT, RNGTEST, CheckResult, Status

PACKAGES = {RNGTEST: ("rngtest", "rng-tools-debian"), ENT: ("ent", "ent"), DIEHARDER: ("dieharder", "dieharder")}
"""Program and Debian package behind each check."""

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


def not_installed(name: str) -> CheckResult | None:
    """The row of a check whose program is not on PATH; None where it is."""
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
    missing = not_installed(RNGTEST)
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
    missing = not_installed(ENT)
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
