# SPDX-License-Identifier: Apache-2.0
"""dieharder, where it is installed: chosen tests on words that come through a pipe for as long as a test wants them."""

import contextlib
import re
import subprocess
import tempfile
import threading
from typing import IO, NamedTuple

from . import programs
from .checks import Progress, Source
from .programs import ProgramError
from .report import DIEHARDER, CheckResult, Status

MILLION = 10**6


class DieharderTest(NamedTuple):
    """A test of dieharder's list, and the fewest words that its standard size takes."""

    number: int
    words: int
    meaning: str


TESTS = (
    DieharderTest(0, 38 * MILLION // 10, "gaps between the birthdays of 24 bits, 10,000 years of 512"),
    DieharderTest(2, 128 * MILLION, "4 x 10^6 matrices of 32 x 32 bits, a word each row"),
    DieharderTest(3, 60 * MILLION, "10^7 matrices of 6 x 8 bits"),
    DieharderTest(4, 26 * MILLION, "missing words of 20 bits in overlapping strings"),
    DieharderTest(8, 64 * MILLION // 10, "words of five counts of ones, of the bytes in turn"),
    DieharderTest(9, 128 * MILLION, "words of five counts of ones, of one byte of each word"),
    DieharderTest(15, 10 * MILLION, "runs of ascending and descending words"),
    DieharderTest(16, 40 * MILLION, "2 x 10^7 games of craps: games won and throws taken"),
    DieharderTest(100, 10 * MILLION, "ones"),
    DieharderTest(101, 10 * MILLION, "runs of equal bits"),
    DieharderTest(102, 10 * MILLION, "overlapping strings of 1 to 16 bits, 30 results"),
    DieharderTest(209, 65 * MILLION, "ones of strings of 2 to 2^11 words"),
)
"""The choice: each is rated good by `dieharder -l`, takes less than 2^28 words, and looks at something of its own."""

RAW_STDIN = ("200", "stdin_input_raw")
"""Generator of dieharder that reads raw words from its standard input: its number and its name."""

STREAM_WORDS = 1 << 16
"""Words of one stream that go to dieharder before those of the next stream."""


class Result(NamedTuple):
    """A line of dieharder's table."""

    name: str
    p: float
    verdict: str


def parse_dieharder(text: str) -> list[Result]:
    """Name, p-value and assessment (PASSED, WEAK, FAILED) of every result in the output of dieharder.

    Raises ProgramError where the generator was another one than the pipe, or where it was begun again from the start.
    """
    generator = RAW_STDIN[1]
    if re.search(rf"^\s*{generator}\s*\|", text, re.MULTILINE) is None:
        raise ProgramError(f"dieharder did not say that it reads {generator}")
    if "rewound" in text:
        raise ProgramError("dieharder used words twice")
    results = []
    for line in text.splitlines():
        parts = [part.strip() for part in line.split("|")]
        if len(parts) == 6 and parts[5] in ("PASSED", "WEAK", "FAILED"):
            name = parts[0] if parts[1] == "0" else f"{parts[0]} {parts[1]}"
            results.append(Result(name, float(parts[4]), parts[5]))
    return results


def _feed(pipe: IO[bytes], source: Source) -> int:
    """Write words until the reader has had enough; returns how many it took, less those of the last chunk."""
    fed = 0
    with contextlib.suppress(BrokenPipeError):
        while True:
            words = source.take(STREAM_WORDS)
            pipe.write(words.astype("<u4").tobytes())
            fed += words.size
    return fed


def _run_fed(command: list[str], source: Source) -> tuple[str, int]:
    """Standard output of a program that reads words from its standard input, and how many it took.

    Raises ProgramError where it does not run, fails or takes too long.
    """
    limit_s, fed = programs.TIME_LIMIT_S, 0
    with tempfile.TemporaryFile() as output:
        try:
            process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=output, stderr=subprocess.DEVNULL)
        except OSError as error:
            raise ProgramError(f"{command[0]} does not run: {error}") from error
        late = threading.Event()

        def stop() -> None:
            late.set()
            process.kill()

        timer = threading.Timer(limit_s, stop)
        timer.start()
        try:
            if process.stdin is not None:
                fed = _feed(process.stdin, source)
                with contextlib.suppress(BrokenPipeError):
                    process.stdin.close()
            status = process.wait()
        finally:
            timer.cancel()
            process.kill()
            process.wait()
        if late.is_set():
            raise ProgramError(f"{command[0]} took more than {limit_s:g} s")
        if status != 0:
            raise ProgramError(f"{command[0]} ended with exit status {status}")
        output.seek(0)
        return output.read().decode(errors="replace"), fed


def dieharder(source: Source, *, progress: Progress) -> CheckResult:
    """`TESTS` of dieharder, with its own sizes and its own verdicts: FAILED fails, WEAK is told.

    The figure names the words that went in; each test gets fresh ones. Raises ProgramError where a test took fewer than
    it needs: then it has not looked at what it says.
    """
    missing = programs.not_installed(DIEHARDER)
    if missing:
        return missing
    results: list[Result] = []
    words = 0
    for index, test in enumerate(TESTS):
        command = ["dieharder", "-g", RAW_STDIN[0], "-d", str(test.number)]
        text, fed = _run_fed(command, source)
        found = parse_dieharder(text)
        if not found:
            raise ProgramError(f"dieharder printed no result of test {test.number}")
        if fed < test.words:
            raise ProgramError(f"dieharder took {fed} words for test {test.number}, which needs {test.words}")
        results += found
        words += fed
        progress((index + 1) / len(TESTS))
    failed = [result.name for result in results if result.verdict == "FAILED"]
    weak = [result.name for result in results if result.verdict == "WEAK"]
    figure = f"{len(failed)} of {len(results)} results failed, {len(weak)} weak, {words / 1e9:.2f} x 10^9 words"
    if 0 < len(failed) < len(results):
        figure += ": " + ", ".join(dict.fromkeys(failed))
    lowest = min(min(result.p, 1 - result.p) for result in results)
    return CheckResult(name=DIEHARDER, status=Status.FAIL if failed else Status.PASS, figure=figure, p=lowest)
