# SPDX-License-Identifier: Apache-2.0
"""`python -m host.run_m0` from outside: output lines, files, exit statuses, and one clear line for every bad input."""

import json
import os
import resource
import signal
import subprocess
import sys
import time
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from host import m0, run_m0
from host.golden.exact import draft_law
from host.psi.wire import decode
from host.telemetry.schema import check_step
from host.tsu.base import Draws
from hw.spec.config import TsuConfig

ROOT = Path(__file__).parents[2]
OLDER_FORM = ["run", "--steps", "5000", "--vocab", "500", "--K", "32", "--seed", "11"]


def call(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, dict[str, str], str]:
    """Exit status, name=value lines, and standard error of one command line, in process."""
    status = run_m0.main(list(arguments))
    captured = capsys.readouterr()
    lines = dict(line.split("=", 1) for line in captured.out.splitlines() if "=" in line)
    return status, lines, captured.err


def start(*arguments: str, **options: object) -> "subprocess.Popen[str]":
    """The command line as a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "host.run_m0", *arguments],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)},
        **options,  # type: ignore[call-overload]
    )  # fmt: skip


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The library of the model stays cached in the checkout; runs/ goes to the test's folder."""
    monkeypatch.chdir(tmp_path)


# --- good runs ----------------------------------------------------------------------------------------------------


def test_older_form_meets_the_bar(capsys: pytest.CaptureFixture[str]) -> None:
    """V = 500, K = 32, seed 11: p as documented, acceptance within 3 sigma of the overlap, overlap, bytes."""
    status, lines, errors = call(capsys, *OLDER_FORM, "--save-psi", "psi.json")
    assert (status, errors) == (0, "")
    for name in ("metrics_path", "accept_rate", "chi2_stat", "p_value", "psi_bytes_mean", "overlap", "residual_mass"):
        assert name in lines
    assert {name: lines[name] for name in ("backend", "weights", "steps", "complete", "sound")} == {
        "backend": "model", "weights": "table", "steps": "5000", "complete": "yes", "sound": "yes",
    }  # fmt: skip
    accept, overlap = float(lines["accept_rate"]), float(lines["overlap"])
    assert abs(accept - overlap) <= 3 * (overlap * (1 - overlap) / 5000) ** 0.5
    assert overlap >= 0.735
    assert float(lines["psi_bytes_mean"]) <= 130
    assert float(lines["residual_mass"]) == pytest.approx(1 - overlap, abs=1e-5)
    p = np.random.Generator(np.random.PCG64(11)).dirichlet(np.ones(500))
    saved = json.loads(Path("psi.json").read_text())
    assert saved["ids"] == sorted(np.argsort(-p)[:32].tolist())
    summary = json.loads(Path(lines["metrics_path"]).read_text())
    assert summary["complete"] is True
    assert summary["accept_low"] < summary["accept_rate"] < summary["accept_high"]
    assert summary["spec_id"] == lines["spec_id"]
    config = json.loads(Path(lines["metrics_path"]).with_name("config.json").read_text())
    assert config["options"]["vocab"] == 500
    assert config["tsu"]["k_max"] == 64


def test_as_a_process(tmp_path: Path) -> None:
    """`python -m host.run_m0` and the literal word `run`; nothing but the lines on standard output."""
    process = start(*OLDER_FORM, "--telemetry", "off", cwd=tmp_path)
    out, errors = process.communicate(timeout=120)
    assert (process.returncode, errors) == (0, "")
    assert out.splitlines()[0] == "metrics_path=none"
    assert all("=" in line for line in out.splitlines())
    assert not list(tmp_path.iterdir())


def test_help_has_examples_and_exit_statuses(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_m0.main(["--help"]) == 0
    text = capsys.readouterr().out
    for word in ("--pgen", "--save-draws", "--backend rtl", "Exit status", "130", "Examples"):
        assert word in text


def test_saved_integers_explain_the_run(capsys: pytest.CaptureFixture[str]) -> None:
    """From the two dumps alone: q in rationals, acceptance, wire bytes, and the same law as the golden model."""
    arguments = ["--vocab", "300", "--K", "20", "--steps", "70000", "--seed", "8", "--weights", "exp2", "--lanes", "4"]
    status, lines, _ = call(capsys, *arguments, "--save-draws", "draws.npz", "--save-psi", "psi.json")
    assert status == 0
    saved = json.loads(Path("psi.json").read_text())
    psi = decode(bytes.fromhex(saved["wire_hex"]))
    assert saved["psi_bytes"] == float(lines["psi_bytes_mean"])
    assert psi.ids.tolist() == saved["ids"]
    assert psi.scores_q.tolist() == saved["scores_q"]
    assert saved["scores"] == [saved["scale"] * (code - saved["zero_point"]) for code in saved["scores_q"]]
    assert saved["distances"] == [max(saved["scores_q"]) - code for code in saved["scores_q"]]
    assert saved["total"] == sum(saved["weights"]) + saved["tail_weight"]
    assert saved["spread"] == 300 - 20
    law = draft_law(psi, TsuConfig(**saved["tsu"]), saved["mode"])
    assert law.weights.tolist() == saved["weights"]
    with np.load("draws.npz") as arrays:
        draws = {name: arrays[name] for name in arrays}
    assert {len(draws[name]) for name in ("drafts", "accepted", "tokens", "weights", "spreads", "totals")} == {70000}
    for i in range(0, 70000, 997):
        q = Fraction(int(draws["weights"][i]), int(draws["totals"][i]) * int(draws["spreads"][i]))
        assert q == law.q(int(draws["drafts"][i]))
    accepted = draws["accepted"]
    assert np.array_equal(draws["tokens"][accepted], draws["drafts"][accepted])
    assert accepted.mean() == pytest.approx(float(lines["accept_rate"]), rel=1e-5)
    reported = Draws(
        tokens=draws["drafts"], weights=draws["weights"], spreads=draws["spreads"], total=int(draws["totals"][0])
    )
    assert reported.log_q.mean() == pytest.approx(float(lines["mean_log_q"]), rel=1e-5)


def test_same_seed_same_draws_whatever_the_batch(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Drafts and emitted tokens do not depend on the batch size, and do depend on the seed."""
    arguments = ["--vocab", "300", "--K", "20", "--steps", "3000", "--telemetry", "off", "--save-draws"]
    call(capsys, *arguments, "a.npz")
    call(capsys, *arguments, "c.npz", "--seed", "1")
    monkeypatch.setattr(m0, "BATCH_STEPS", 77)
    call(capsys, *arguments, "b.npz")
    with np.load("a.npz") as a, np.load("b.npz") as b, np.load("c.npz") as c:
        assert all(np.array_equal(a[name], b[name]) for name in a)
        assert not np.array_equal(a["drafts"], c["drafts"])


def test_step_telemetry(capsys: pytest.CaptureFixture[str]) -> None:
    """One row per step that follows the schema; the rows give the acceptance rate of the summary."""
    status, lines, _ = call(capsys, "--steps", "70000", "--vocab", "100", "--K", "8", "--telemetry", "step")
    assert status == 0
    assert lines["metrics_path"].endswith("steps.jsonl")
    rows = [json.loads(line) for line in Path(lines["metrics_path"]).read_text().splitlines()]
    assert len(rows) == 70000
    for row in rows[::501]:
        check_step(row)
    assert sum(row["num_accepted_tokens"] for row in rows) / 70000 == pytest.approx(
        float(lines["accept_rate"]), rel=1e-5
    )
    summary = json.loads(Path(lines["metrics_path"]).with_name("summary.json").read_text())
    assert rows[0]["run_id"] == summary["run_id"]
    assert rows[0]["ce_gap_nats"] == summary["ce_gap_nats"]


def test_target_file_with_zeros(capsys: pytest.CaptureFixture[str]) -> None:
    """Tokens with p = 0 are drafted from the tail and never emitted; V comes from the file."""
    Path("p.txt").write_text("0.5\n0\n0.25\n0\n0.25\n0\n")
    arguments = ["--pgen", "file", "--target", "p.txt", "--K", "2", "--steps", "20000", "--save-draws", "d.npz"]
    status, lines, _ = call(capsys, *arguments)
    assert status == 0
    assert lines["sound"] == "yes"
    with np.load("d.npz") as draws:
        assert np.isin(draws["drafts"], [1, 3, 5]).any()
        assert not np.isin(draws["tokens"], [1, 3, 5]).any()


def test_files_may_lie_in_the_run_folder(capsys: pytest.CaptureFixture[str]) -> None:
    """Also in one that the run itself makes."""
    assert call(capsys, *OLDER_FORM, "--out", "a/b", "--save-psi", "a/b/psi.json", "--save-draws", "a/b/d.npz")[0] == 0
    assert sorted(p.name for p in Path("a/b").iterdir()) == ["config.json", "d.npz", "psi.json", "summary.json"]


@pytest.mark.parametrize("ending", ["png", "svg"])
def test_picture(capsys: pytest.CaptureFixture[str], ending: str) -> None:
    """The picture is written in the format of its name, for flat and for steep targets."""
    pytest.importorskip("matplotlib")
    for pgen in ("dirichlet", "zipf"):
        arguments = ["--pgen", pgen, "--vocab", "300", "--K", "16", "--steps", "2000", "--telemetry", "off"]
        assert call(capsys, *arguments, "--plot", f"{pgen}.{ending}")[0] == 0
        start_bytes = Path(f"{pgen}.{ending}").read_bytes()[:8]
        assert start_bytes == (b"\x89PNG\r\n\x1a\n" if ending == "png" else b"<?xml ve")


def test_picture_without_matplotlib(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Said before the run, with the extra to install."""
    monkeypatch.setattr("host.report.figure.importlib.util.find_spec", lambda name: None)
    status, _, errors = call(capsys, "--plot", "a.png")
    assert status == 2
    assert "report" in errors
    assert not list(Path.cwd().iterdir())


# --- verdicts -----------------------------------------------------------------------------------------------------


def test_an_unsound_run_exits_1(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A verifier that accepts every draft: status 1 and the tests that failed."""
    verify = m0.SingleVerifier.verify

    def careless(self: m0.SingleVerifier, draws: Draws, rng: np.random.Generator) -> m0.Verified:
        verified = verify(self, draws, rng)
        return m0.Verified(tokens=draws.tokens, accepted=np.ones_like(verified.accepted))

    monkeypatch.setattr(m0.SingleVerifier, "verify", careless)
    status, lines, errors = call(capsys, *OLDER_FORM)
    assert status == 1
    assert lines["sound"] == "no"
    assert lines["complete"] == "yes"
    assert errors.startswith("not sound: emitted (p = ")
    assert "accepted" in errors
    assert "drafts" not in errors
    assert errors.count("\n") == 1


def test_a_tsu_that_reports_another_law_exits_1(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The law says one weight more than the TSU: one line, status 1, no summary that could pass for a result."""
    original = draft_law

    def shifted(*arguments: object) -> object:
        law = original(*arguments)  # type: ignore[arg-type]
        weights = law.weights.copy()
        weights[0] += 1
        weights[1] -= 1
        return type(law)(ids=law.ids, weights=weights, tail_weight=law.tail_weight, vocab_size=law.vocab_size)

    monkeypatch.setattr("host.m0_setup.draft_law", shifted)
    status, lines, errors = call(capsys, *OLDER_FORM, "--out", "run")
    assert status == 1
    assert lines == {}
    assert errors.count("\n") == 1
    assert "the TSU reported weight =" in errors
    assert not Path("run/summary.json").exists()


# --- interruptions and full disks -----------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_keeps_what_it_had(tmp_path: Path, number: int) -> None:
    """Status 130; summary, rows and draws agree on the steps that were done and say they are not complete."""
    steps = str(1 << 25)
    arguments = ["--steps", steps, "--vocab", "50", "--K", "8", "--telemetry", "step", "--out", "run"]
    process = start(*arguments, "--save-draws", "d.npz", cwd=tmp_path)
    rows = tmp_path / "run" / "steps.jsonl.part"
    deadline = time.monotonic() + 60
    while not (rows.exists() and rows.stat().st_size) and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(number)
    out, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert "complete=no" in out.splitlines()
    assert errors.count("\n") == 1
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["complete"] is False
    assert 0 < summary["steps"] < 1 << 25
    assert summary["steps_requested"] == 1 << 25
    with (tmp_path / "run" / "steps.jsonl").open() as lines:
        assert sum(1 for _ in lines) == summary["steps"]
    with np.load(tmp_path / "d.npz") as draws:
        assert not draws["complete"]
        assert len(draws["tokens"]) == summary["steps"]


@pytest.mark.parametrize("extra", [["--telemetry", "step"], ["--save-draws", "draws.npz"]])
def test_full_disk(tmp_path: Path, extra: list[str]) -> None:
    """No file may grow beyond 1 MB: one line, status 2, and nothing that could pass for a whole result.

    The limit is set from outside: `preexec_fn` would fork, which JAX warns of where another test has loaded it.
    """
    process = start("--steps", "100000", "--out", "run", *extra, cwd=tmp_path)
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))
    out, errors = process.communicate(timeout=60)
    assert (process.returncode, out) == (2, "")
    assert errors.count("\n") == 1, errors
    assert "cannot be written: File too large" in errors
    names = {path.name for path in tmp_path.rglob("*") if path.is_file()}
    assert names <= {"config.json", "steps.jsonl.part"}


def test_full_disk_under_standard_output(tmp_path: Path) -> None:
    """Redirected to a full disk: one line and status 2, although the run itself was sound."""
    if not Path("/dev/full").exists():
        pytest.skip("needs /dev/full")
    with open("/dev/full", "w") as full:
        arguments = [sys.executable, "-m", "host.run_m0", *OLDER_FORM]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        done = subprocess.run(arguments, stdout=full, stderr=subprocess.PIPE, text=True, cwd=tmp_path, env=environment)
    assert done.returncode == 2
    assert done.stderr == "error: standard output cannot be written: No space left on device\n"


def test_closed_pipe(tmp_path: Path) -> None:
    """The reader went away: one line, no traceback."""
    process = start(*OLDER_FORM, cwd=tmp_path)
    assert process.stdout is not None
    process.stdout.close()
    process.stdout = None
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 2
    assert errors == "error: standard output cannot be written: Broken pipe\n"


# --- bad input ----------------------------------------------------------------------------------------------------

BAD_INPUT = [
    (["--K", "0"], "K = 0 "),
    (["--K", "1025", "--vocab", "2000"], "K = 1025 "),
    (["--K", "51", "--vocab", "50"], "K = 51 is not legal: expected an integer in [1, 50]"),
    (["--K", "many"], "K = 'many' is not legal: expected an integer"),
    (["--vocab", "0"], "vocab = 0 "),
    (["--vocab", "-3"], "vocab = -3 "),
    (["--vocab", str(2**20 + 1)], f"vocab = {2**20 + 1} "),
    (["--steps", "0"], "steps = 0 is not legal: expected an integer in [1, "),
    (["--steps", "-1"], "steps = -1 "),
    (["--steps", "1.5"], "steps = '1.5' is not legal: expected an integer"),
    (["--tau", "warm"], "tau = 'warm' is not legal: expected a finite number > 0"),
    (["--tau", "0"], "tau = 0.0 is not legal: expected a finite number > 0"),
    (["--tau", "-1"], "tau = -1.0 "),
    (["--tau", "nan"], "tau = nan "),
    (["--tau", "inf"], "tau = inf "),
    (["--tau", "1e-60"], "tau = 1e-60 "),
    (["--eps", "-1e-9"], "eps = -1e-09 "),
    (["--eps", "nan"], "eps = nan "),
    (["--eps", "some"], "eps = 'some' is not legal: expected auto, or"),
    (["--eps", "1e300"], "eps = 1e+300 "),
    (["--backend", "abacus"], "backend = 'abacus' is not legal: expected one of model, rtl, cxxrtl, thrml, serial"),
    (["--noise", "dice"], "noise = 'dice' is not legal: expected one of xoshiro128pp"),
    (["--lanes", "3"], "lanes = 3 "),
    (["--lanes", "128"], "lanes = 128 "),
    (["--groups", "17"], "groups = 17 "),
    (["--groups", "many"], "groups = 'many' is not legal: expected an integer"),
    (["--groups", "3", "--lanes", "32"], "groups * lanes = 96 "),
    (["--weights", "rom"], "weights = 'rom' is not legal: expected one of table, exp2"),
    (["--pgen", "uniform"], "pgen = 'uniform' is not legal: expected one of dirichlet, zipf, file"),
    (["--alpha", "0"], "alpha = 0.0 "),
    (["--alpha", "nan", "--pgen", "zipf"], "alpha = nan "),
    (["--seed", "-1"], "seed = -1 "),
    (["--seed", str(2**64)], f"seed = {2**64} "),
    (["--telemetry", "all"], "telemetry = 'all' is not legal: expected one of off, summary, step"),
    (["--telemetry", "off", "--out", "x"], "out = 'x' "),
    (["--pgen", "file"], "target = None "),
    (["--target", "p.npy"], "target = 'p.npy' "),
    (["--pgen", "file", "--target", "missing.npy"], "target = 'missing.npy' cannot be read: No such file"),
    (["--pgen", "file", "--target", "sum.npy"], "target = 'sum.npy': sum = 0.8: expected 1 within 1e-06"),
    (["--pgen", "file", "--target", "nan.npy"], "target = 'nan.npy': entry 1 is nan"),
    (["--pgen", "file", "--target", "square.npy"], "target = 'square.npy' has shape (2, 2): expected (V,)"),
    (["--pgen", "file", "--target", "word.txt"], "target = 'word.txt': line 1 is 'half'"),
    (["--pgen", "file", "--target", "good.npy", "--vocab", "5", "--K", "1"], "vocab_size = 5 "),
    (["--pgen", "file", "--target", "good.npy", "--K", "3"], "K = 3 is not legal: expected an integer in [1, 2]"),
    (["--out", "word.txt"], "'word.txt' cannot be written"),
    (["--out", "word.txt/run"], "'word.txt/run' cannot be written"),
    (["--save-draws", "none/d.npz"], "save-draws = 'none/d.npz' "),
    (["--save-psi", "."], "save-psi = '.' "),
    (["--plot", "/dev/null"], "plot = '/dev/null' "),
    (["--plot", "a.docx"], "plot = 'a.docx' is not legal: expected a name that ends in"),
    (["--out", "run", "--save-psi", "run/summary.json"], "save-psi = 'run/summary.json' "),
    (["--save-draws", "same", "--save-psi", "same"], "save-psi = 'same' "),
    (["--colour", "red"], "No such option: --colour"),
    (["walk"], "unexpected extra argument"),
]


@pytest.mark.parametrize(("arguments", "message"), BAD_INPUT, ids=[" ".join(row[0])[:60] for row in BAD_INPUT])
def test_bad_input_is_one_clear_line(capsys: pytest.CaptureFixture[str], arguments: list[str], message: str) -> None:
    """Status 2, nothing on standard output, one line on standard error, and nothing written."""
    np.save("sum.npy", np.array([0.4, 0.4]))
    np.save("nan.npy", np.array([0.5, np.nan, 0.5]))
    np.save("square.npy", np.full((2, 2), 0.25))
    np.save("good.npy", np.array([0.5, 0.5]))
    Path("word.txt").write_text("half\n")
    before = sorted(Path.cwd().rglob("*"))
    status, lines, errors = call(capsys, *arguments)
    assert status == 2
    assert lines == {}
    assert message in errors
    assert errors.startswith("error: ")
    assert errors.count("\n") == 1
    assert "Traceback" not in errors
    assert sorted(Path.cwd().rglob("*")) == before


def test_bad_input_as_a_process(tmp_path: Path) -> None:
    """The same from outside, where an uncaught exception would show a traceback."""
    process = start("--K", "51", "--vocab", "50", cwd=tmp_path)
    out, errors = process.communicate(timeout=60)
    assert (process.returncode, out) == (2, "")
    assert errors == "error: K = 51 is not legal: expected an integer in [1, 50]\n"


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may write anywhere")
def test_folder_without_permission(capsys: pytest.CaptureFixture[str]) -> None:
    Path("closed").mkdir(mode=0o500)
    for arguments in (["--out", "closed"], ["--out", "closed/run"], ["--save-psi", "closed/psi.json"]):
        status, _, errors = call(capsys, *arguments)
        assert status == 2
        assert errors.count("\n") == 1
