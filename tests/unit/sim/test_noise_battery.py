# SPDX-License-Identifier: Apache-2.0
"""The battery on the gateware (quick sizes), and on sources made to fail."""

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import typer
from typer.testing import CliRunner

from hw.spec.config import TsuConfig
from hw.spec.errors import SpecError
from hw.spec.noise import GENERATORS, stream_states
from sim.noise import __main__ as command
from sim.noise import checks, programs
from sim.noise import source as source_module
from sim.noise.battery import LANES, full_plan, quick_plan, run_battery
from sim.noise.report import (
    BIAS,
    COMPLEXITY,
    FIPS,
    LAGS,
    RANK_BITS,
    RANK_WORDS,
    STREAMS,
    NoiseReport,
    Status,
    read_reports,
)
from sim.noise.source import RtlSource, SourceError

SEED = 1
Words = npt.NDArray[np.uint32]


def silent(_share: float) -> None:
    """Progress that nobody sees."""


class FakeSource:
    """Words of NumPy's PCG64, changed by `spoil`."""

    def __init__(
        self, spoil: Callable[[Words], Words] = lambda words: words, *, streams: int = 4, seed: int = 8
    ) -> None:
        self.streams = streams
        self._rng = np.random.default_rng(seed)
        self._spoil = spoil

    def take(self, n: int) -> Words:
        return self._spoil(self._rng.integers(0, 1 << 32, (self.streams, n), dtype=np.uint32))


@pytest.fixture(params=list(GENERATORS))
def source(request: pytest.FixtureRequest) -> Iterator[RtlSource]:
    with RtlSource(config=TsuConfig(noise=request.param, lanes=LANES), seed=12345) as opened:
        yield opened


def test_every_stream_of_the_gateware_gives_its_reference_words(source: RtlSource) -> None:
    noise = source.config.noise
    words = np.concatenate([source.take(1), source.take(70), source.take(29)], axis=1)
    for stream, state in enumerate(stream_states(noise, 12345, source.streams)):
        assert list(words[stream]) == list(itertools.islice(GENERATORS[noise].words(state), 100)), stream


def test_word_for_testu01_takes_the_streams_in_turn(source: RtlSource) -> None:
    source.library.noise_choose(source.device)
    flat = [source.library.noise_next() for _ in range(2 * source.streams)]
    expected = []
    for state in stream_states(source.config.noise, 12345, source.streams):
        expected.append(list(itertools.islice(GENERATORS[source.config.noise].words(state), 2)))
    assert flat == [pair[0] for pair in expected] + [pair[1] for pair in expected]


@pytest.mark.slow  # verilates banks that no other test uses
def test_pipelined_gateware_gives_the_same_words() -> None:
    with RtlSource(config=TsuConfig(noise="xoshiro128pp", lanes=1, level_stages=3), seed=3) as opened:
        words = opened.take(50)
    for stream, state in enumerate(stream_states("xoshiro128pp", 3, len(words))):
        assert list(words[stream]) == list(itertools.islice(GENERATORS["xoshiro128pp"].words(state), 50))


def test_bad_source_arguments() -> None:
    with pytest.raises(SpecError, match="seed"):
        RtlSource(config=TsuConfig(), seed=-1)
    with RtlSource(config=TsuConfig(lanes=LANES)) as opened, pytest.raises(SpecError, match="n ="):
        opened.take(0)


def test_gateware_without_words_is_an_error_and_no_endless_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a seed a bank needs more than one cycle for its first words: with so little patience it is stuck."""
    monkeypatch.setattr(source_module, "PATIENCE_CYCLES", 1)
    with RtlSource(config=TsuConfig(lanes=LANES)) as opened, pytest.raises(SourceError, match="gave 0 words of 5"):
        opened.take(5)


def quick(generator: str) -> NoiseReport:
    return run_battery(
        generator=generator,
        seed=SEED,
        plan=quick_plan(),
        quick=True,
        progress=lambda name, share: None,
        save=lambda report: None,
    )


def failed(report: NoiseReport) -> set[str]:
    return {check.name for check in report.checks if check.status is Status.FAIL}


def test_quick_run_passes_xoshiro() -> None:
    """Seed 1, fixed before the first run; sizes of `quick_plan`. An ideal source fails with probability 0.05."""
    report = quick("xoshiro128pp")
    assert failed(report) == set()
    assert report.unexpected() == []
    made = {check.name for check in report.checks if check.status is Status.PASS}
    assert {BIAS, LAGS, STREAMS, COMPLEXITY, FIPS, RANK_WORDS[512], RANK_WORDS[2048], RANK_BITS[512]} <= made


def test_quick_run_fails_the_plain_lfsr() -> None:
    report = quick("lfsr")
    assert {LAGS, RANK_WORDS[512], RANK_WORDS[2048], RANK_BITS[512], COMPLEXITY, FIPS} <= failed(report)
    assert report.unexpected() == []


def test_quick_run_sees_that_the_leap_lfsr_is_linear_and_not_correlated() -> None:
    report = quick("lfsr-leap")
    assert {RANK_WORDS[512], RANK_WORDS[2048], RANK_BITS[512], COMPLEXITY} <= failed(report)
    assert not {BIAS, LAGS, FIPS} & failed(report)
    assert report.unexpected() == []


def verdicts(source: FakeSource) -> list[Status]:
    """Bias, lags and streams with 4 x 98,304 words."""
    return [result.status for result in checks.correlations(source, words=4 * 98_304, progress=silent)]


def test_correlations_pass_an_ideal_source() -> None:
    """PCG64, seed 8: 17,008 z-scores, an exceedance of 5 sigma has probability 0.01."""
    assert verdicts(FakeSource()) == [Status.PASS] * 3


def test_biased_bit_fails() -> None:
    """Bit 5 of stream 2 is set with probability 1/2 + 1/32: z = 2/32 sqrt(98,304) = 19.6."""
    rng = np.random.default_rng(0)

    def spoil(words: Words) -> Words:
        words[2] |= ((rng.random(words.shape[1]) < 1 / 16) << 5).astype(np.uint32)
        return words

    assert verdicts(FakeSource(spoil))[0] is Status.FAIL


def test_bit_that_comes_back_at_another_position_fails_the_lags_alone() -> None:
    """Bit 9 is bit 20 of 64 words before with probability 5/8, in every stream: z = sqrt(393,216) / 4 = 157."""
    rng = np.random.default_rng(0)
    past: list[Words] = []

    def spoil(words: Words) -> Words:
        before = past.pop() if past else np.zeros((4, 64), dtype=np.uint32)
        joined = np.concatenate([before, words], axis=1)
        past.append(words[:, -64:].copy())
        wanted = joined[:, : words.shape[1]] >> 20 & 1
        chosen = rng.random(words.shape) < 0.25
        words[:] = np.where(chosen, words & ~np.uint32(1 << 9) | wanted << 9, words)
        return words

    assert verdicts(FakeSource(spoil)) == [Status.PASS, Status.FAIL, Status.PASS]


def test_streams_that_share_a_bit_fail_the_streams_alone() -> None:
    """Bit 7 of stream 3 is bit 30 of stream 1 with probability 5/8: z = sqrt(98,304) / 4 = 78."""
    rng = np.random.default_rng(0)

    def spoil(words: Words) -> Words:
        chosen = rng.random(words.shape[1]) < 0.25
        words[3] = np.where(chosen, words[3] & ~np.uint32(1 << 7) | (words[1] >> 30 & 1) << 7, words[3])
        return words

    assert verdicts(FakeSource(spoil)) == [Status.PASS, Status.PASS, Status.FAIL]


def test_other_checks_pass_an_ideal_source() -> None:
    """PCG64, seed 8; each check fails an ideal source with probability 5.7e-7."""
    ideal = FakeSource()
    assert checks.rank_of_words(ideal, n=512, matrices=50, progress=silent).status is Status.PASS
    assert checks.rank_of_bits(ideal, n=512, matrices=6, progress=silent).status is Status.PASS
    assert checks.linear_complexity(ideal, bits=2048, progress=silent).status is Status.PASS
    assert checks.fips(ideal, blocks=50, progress=silent).status is Status.PASS


def test_one_linear_bit_is_seen_by_complexity_and_its_rank() -> None:
    """Bit 0 of an otherwise ideal source follows x^127 + x + 1 (Mersenne primitive trinomial)."""
    register = np.random.default_rng(4).integers(0, 2, 127).tolist()

    def spoil(words: Words) -> Words:
        while len(register) < words.shape[1] + 127:
            register.append(register[-127] ^ register[-126])
        fresh = np.array(register[: words.shape[1]], dtype=np.uint32)
        del register[: words.shape[1]]
        return words & ~np.uint32(1) | fresh

    linear = FakeSource(spoil, streams=1)
    assert checks.linear_complexity(linear, bits=2048, progress=silent).status is Status.FAIL
    assert checks.rank_of_bits(linear, n=512, matrices=1, progress=silent).status is Status.FAIL
    assert checks.rank_of_words(linear, n=512, matrices=4, progress=silent).status is Status.PASS


def test_rank_needs_full_rank_with_more_rows_too() -> None:
    good = [[512, 512], [511, 512], [511, 512]]
    assert checks.rank_result("rank", 512, good).status is Status.PASS
    assert checks.rank_result("rank", 512, [*good, [511, 511]]).status is Status.FAIL


def test_full_plan_has_the_sizes_of_the_requirement() -> None:
    plan = full_plan()
    assert plan.words >= 10**9
    assert {512, 2048, 8192} == set(plan.word_matrices) == set(plan.bit_matrices)
    for words in (10**6 - 1, 10**12 + 1):
        with pytest.raises(SpecError, match="words"):
            full_plan(words=words)


app = typer.Typer()
app.command()(command.main)


def test_command_line_keeps_a_report_and_leaves_the_document_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, ["--quick", "--generator", "lfsr", "--seed", "4", "--out", "here"])
    assert done.exit_code == 0, done.output
    (report,) = read_reports(tmp_path / "here")
    assert (report.generator, report.seed, report.quick) == ("lfsr", 4, True)
    assert [path.name for path in tmp_path.iterdir()] == ["here"]


@pytest.mark.parametrize(
    "arguments, field", [(["--generator", "mt"], "noise"), (["--words", "7"], "words"), (["--seed", "-1"], "seed")]
)
def test_bad_arguments_end_with_2_and_one_line(
    arguments: list[str], field: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 2
    assert done.stderr.startswith(field) and done.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_a_bad_default_generator_ends_with_1(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The default generator's name with the words of the leap LFSR: the run must not be taken for a good one."""
    monkeypatch.chdir(tmp_path)

    def spoiled(**arguments: object) -> NoiseReport:
        report = run_battery(**{**arguments, "generator": "lfsr-leap"})  # type: ignore[arg-type]
        report.generator = "xoshiro128pp"
        return report

    monkeypatch.setattr(command, "run_battery", spoiled)
    done = CliRunner().invoke(app, ["--quick", "--generator", "xoshiro128pp", "--out", "here"])
    assert done.exit_code == 1
    assert f"xoshiro128pp fails {COMPLEXITY}" in done.stderr


def test_interrupted_run_keeps_finished_checks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_args: object, **_options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(programs, "rngtest", interrupt)
    done = CliRunner().invoke(app, ["--quick", "--generator", "xoshiro128pp", "--out", str(tmp_path)])
    assert done.exit_code == 130
    (report,) = read_reports(tmp_path)
    assert [check.name for check in report.checks][-1] == FIPS
