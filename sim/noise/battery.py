# SPDX-License-Identifier: Apache-2.0
"""Runs every check on one generator: sizes, order, and what is kept when a run is interrupted."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from hw.spec.config import TsuConfig
from hw.spec.errors import check_int

from . import checks, programs, testu01
from .dieharder import dieharder
from .report import DIEHARDER, ENT, RNGTEST, TESTU01, CheckResult, NoiseReport, Status
from .source import RtlSource

LANES = 4
"""Lanes whose noise banks are tested: with three words each, 12 streams and 66 pairs of streams."""

DEFAULT_WORDS = 10**9
"""Words in the correlations of a full run."""

DEFAULT_SEED = 1
"""Seed of the published figures, fixed before the first run."""

Progress = Callable[[str, float], None]
"""Called with the name of the part that runs and its finished share, 0..1."""


Part = Callable[[checks.Progress], list[CheckResult]]
"""One part of a run; it tells how far it is."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Sizes of one run.

    Parameters
    ----------
    words : int
        Words of all streams in the correlations.
    word_matrices, bit_matrices : dict of int to int
        Size of a GF(2) matrix to the number of matrices filled with whole words, and with bit 0.
    complexity_bits : int
        Bits of each of the 32 sequences given to Berlekamp-Massey.
    fips_blocks : int
        Blocks of 20,000 bits, for our own code and for rngtest.
    ent_words : int
        Words given to ent.
    dieharder : bool
        Whether dieharder is run; it takes minutes.
    testu01 : bool
        Whether TestU01 is run where it is installed.
    """

    words: int
    word_matrices: dict[int, int]
    bit_matrices: dict[int, int]
    complexity_bits: int
    fips_blocks: int
    ent_words: int
    dieharder: bool
    testu01: bool


def full_plan(*, words: int = DEFAULT_WORDS) -> Plan:
    """Sizes of `make noise`. Raises SpecError where `words` is outside [10**6, 10**12]."""
    return Plan(
        words=check_int("words", words, 10**6, 10**12),
        word_matrices={512: 1200, 2048: 120, 8192: 12},
        bit_matrices={512: 120, 2048: 24, 8192: 12},
        complexity_bits=1 << 16,
        fips_blocks=10_000,
        ent_words=25 * 10**6,
        dieharder=True,
        testu01=True,
    )


def quick_plan(*, words: int = 10**6) -> Plan:
    """Sizes of `--quick`: seconds, and enough to see the known weaknesses."""
    return Plan(
        words=check_int("words", words, 10**6, 10**12),
        word_matrices={512: 60, 2048: 4},
        bit_matrices={512: 12},
        complexity_bits=1 << 12,
        fips_blocks=600,
        ent_words=10**6,
        dieharder=False,
        testu01=False,
    )


def _testu01(source: RtlSource, wanted: bool) -> CheckResult:
    """SmallCrush, or why it was not run."""
    if not wanted:
        return CheckResult(name=TESTU01, status=Status.NOT_RUN, figure="left out; --testu01 asks for it")
    library = testu01.find_testu01()
    if library is None:
        return CheckResult(name=TESTU01, status=Status.NOT_RUN, figure="the library libtestu01 is not installed")
    return testu01.small_crush(source, library)


def _single(check: Callable[..., CheckResult]) -> Part:
    """A part that is one check."""
    return lambda tell: [check(progress=tell)]


def _program(name: str, check: Callable[..., CheckResult]) -> Part:
    """A part that is one program of others; one that broke counts as not run."""

    def run(tell: checks.Progress) -> list[CheckResult]:
        try:
            return [check(progress=tell)]
        except programs.ProgramError as error:
            return [CheckResult(name=name, status=Status.NOT_RUN, figure=str(error))]

    return run


def _parts(source: RtlSource, plan: Plan) -> Iterator[tuple[str, Part]]:
    """Name and function of every part of a run, in order."""
    yield "correlations", lambda tell: checks.correlations(source, words=plan.words, progress=tell)
    ranks = ((checks.rank_of_words, plan.word_matrices), (checks.rank_of_bits, plan.bit_matrices))
    for check, sizes in ranks:
        for n, count in sizes.items():
            yield f"rank {n}", _single(partial(check, source, n=n, matrices=count))
    yield "complexity", _single(partial(checks.linear_complexity, source, bits=plan.complexity_bits))
    yield "FIPS 140-2", _single(partial(checks.fips, source, blocks=plan.fips_blocks))
    yield "rngtest", _program(RNGTEST, partial(programs.rngtest, source, blocks=plan.fips_blocks))
    yield "ent", _program(ENT, partial(programs.ent, source, words=plan.ent_words))
    if plan.dieharder:
        yield "dieharder", _program(DIEHARDER, partial(dieharder, source))
    yield "TestU01", lambda tell: [_testu01(source, plan.testu01)]


def run_battery(
    *, generator: str, seed: int, plan: Plan, quick: bool, progress: Progress, save: Callable[[NoiseReport], None]
) -> NoiseReport:
    """All checks on the Verilated gateware of one generator.

    Checks follow each other on the same streams: no word is used twice. `save` is called after each part, so that an
    interrupted run keeps what it had.

    Parameters
    ----------
    generator : str
        A key of `hw.spec.noise.GENERATORS`.
    seed : int
        In [0, 2**64 - 1].
    plan : Plan
    quick : bool
        Noted in the report.
    progress, save : callable

    Raises
    ------
    SpecError
        `generator` or `seed` is not legal.
    ToolMissing, NativeBuildError
        The gateware or the kernel cannot be built.
    SourceError
        The gateware stopped giving words.
    """
    config = TsuConfig(noise=generator, lanes=LANES)
    with RtlSource(config=config, seed=seed) as source:
        report = NoiseReport(
            generator=generator,
            seed=seed,
            lanes=config.lanes,
            streams=source.streams,
            words=checks.correlation_words(plan.words, source.streams),
            quick=quick,
        )

        for name, run in _parts(source, plan):
            progress(name, 0.0)
            report.checks += run(partial(progress, name))
            save(report)
    return report


def write_report(report: NoiseReport, folder: Path) -> Path:
    """Store a report as <folder>/<generator>.json and return its path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{report.generator}.json"
    path.write_text(report.to_json(), encoding="utf-8")
    return path
