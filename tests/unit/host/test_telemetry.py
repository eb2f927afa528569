# SPDX-License-Identifier: Apache-2.0
"""Telemetry: row schema, writer, whole files, run folders, tallies and summaries."""

import errno
import json
import math
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from host.psi.law import DraftLaw
from host.telemetry import files
from host.telemetry.dumps import DRAW_BYTES, DrawRecorder
from host.telemetry.files import OutputError, check_destination, open_run_folder, whole_file, write_json
from host.telemetry.means import mean_row, share_row
from host.telemetry.schema import STEP_FIELDS, STEP_SCHEMA_VERSION, check_step, step_table
from host.telemetry.summary import PRINTED, Tally, ce_gap_nats, mean_log_q, show, summarise
from host.telemetry.writer import SLICE_ROWS, StepWriter
from host.tsu.base import Draws
from host.verify.single import SingleVerifier, Verified
from hw.spec.errors import SpecError

CONSTANTS = {
    "run_id": "100% sure",
    "seed": 2**64 - 1,
    "position": None,
    "context": None,
    "mode": "table",
    "psi_bytes": 80,
    "ce_gap_nats": None,
    "tau": 1.0,
    "tail": 0.25,
    "backend": "model",
    "spec_id": "0x01",
}
FACTS = ("run_id", "backend", "noise", "lanes", "weights", "spec_id", "seed", "samples_per_cycle")
LAW = DraftLaw(
    ids=np.array([1, 3], dtype=np.uint32), weights=np.array([5, 2], dtype=np.uint64), tail_weight=4, vocab_size=8
)


def verified(accepted: np.ndarray) -> Verified:
    return Verified(tokens=np.zeros(len(accepted), dtype=np.uint32), accepted=accepted)


def draws(tokens: list[int]) -> Draws:
    array = np.array(tokens, dtype=np.uint32)
    return Draws(tokens=array, weights=LAW.weight_of(array), spreads=LAW.spread_of(array), total=LAW.total)


# --- rows ---------------------------------------------------------------------------------------------------------


def test_rows_follow_the_schema(tmp_path: Path) -> None:
    """Every row parses, has the documented fields in order, and says what happened in its step."""
    accepted = np.random.default_rng(0).random(SLICE_ROWS + 1000) < 0.7
    with StepWriter(tmp_path / "steps.jsonl", CONSTANTS) as writer:
        writer.append(accepted=accepted[:10], tsu_s=0.01, verifier_s=0.02)
        writer.append(accepted=accepted[10:], tsu_s=0.0, verifier_s=0.0)
    rows = [json.loads(line) for line in (tmp_path / "steps.jsonl").read_text().splitlines()]
    for row in rows:
        check_step(row)
    assert [row["step"] for row in rows] == list(range(len(accepted)))
    assert [row["num_accepted_tokens"] for row in rows] == accepted.astype(int).tolist()
    assert [row["first_reject"] for row in rows] == [None if flag else 0 for flag in accepted]
    assert rows[0]["tsu_latency_ms"] == pytest.approx(1.0)
    assert rows[0]["verifier_latency_ms"] == pytest.approx(2.0)
    assert {name: rows[-1][name] for name in CONSTANTS} == CONSTANTS
    assert rows[0]["schema_version"] == STEP_SCHEMA_VERSION


def test_rows_are_on_disk_before_the_writer_is_closed(tmp_path: Path) -> None:
    """A run that dies keeps every finished batch, under a name that says it is not finished."""
    writer = StepWriter(tmp_path / "steps.jsonl", CONSTANTS)
    writer.append(accepted=np.ones(3, dtype=np.bool_), tsu_s=0.0, verifier_s=0.0)
    writer.flush()
    part = tmp_path / "steps.jsonl.part"
    assert len(part.read_text().splitlines()) == 3
    assert not (tmp_path / "steps.jsonl").exists()
    writer.abandon()
    assert part.exists()
    with pytest.raises(ValueError, match="closed"):
        writer.append(accepted=np.ones(1, dtype=np.bool_), tsu_s=0.0, verifier_s=0.0)


def test_writer_context_renames_only_without_an_error(tmp_path: Path) -> None:
    """An exception inside the block leaves the .part name; a clean end gives the final name."""
    with pytest.raises(RuntimeError), StepWriter(tmp_path / "a.jsonl", CONSTANTS):
        raise RuntimeError
    with StepWriter(tmp_path / "b.jsonl", CONSTANTS) as writer:
        writer.append(accepted=np.ones(0, dtype=np.bool_), tsu_s=0.0, verifier_s=0.0)
    writer.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.jsonl.part", "b.jsonl"]


@pytest.mark.parametrize("constants", [{}, {**CONSTANTS, "step": 1}, {**CONSTANTS, "colour": "red"}])
def test_writer_refuses_other_fields(tmp_path: Path, constants: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="constants are"):
        StepWriter(tmp_path / "steps.jsonl", constants)
    assert not list(tmp_path.iterdir())


def test_full_disk_is_one_line(tmp_path: Path) -> None:
    """/dev/full, behind a link with the .part name, refuses every write: the file and the reason are named."""
    if not Path("/dev/full").exists():
        pytest.skip("needs /dev/full")
    (tmp_path / "steps.jsonl.part").symlink_to("/dev/full")
    writer = StepWriter(tmp_path / "steps.jsonl", CONSTANTS)
    with pytest.raises(OutputError, match=r"steps\.jsonl' cannot be written: No space left on device"):
        writer.append(accepted=np.ones(SLICE_ROWS, dtype=np.bool_), tsu_s=0.0, verifier_s=0.0)
    with pytest.raises(OutputError, match="No space left on device"):
        writer.close()
    assert not (tmp_path / "steps.jsonl").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"step": 1.5}, "step = 1.5"),
        ({"step": True}, "step = True"),
        ({"first_reject": "none"}, "first_reject = 'none'"),
        ({"ce_gap_nats": 3}, "ce_gap_nats = 3"),
        ({"schema_version": 1}, "schema_version = 1"),
        ({"extra": 1}, "fields are"),
    ],
)
def test_check_step_names_the_field(change: dict[str, object], message: str) -> None:
    row: dict[str, object] = {"schema_version": 2, "run_id": "x", "seed": 0, "step": 0}
    row |= {"text": None, "position": None, "context": None, "mode": "table", "L": 1}
    row |= {"n_drafts": 1, "psi_bytes": 9, "tsu_latency_ms": 0.1, "verifier_latency_ms": 0.1}
    row |= {"num_accepted_tokens": 1, "first_reject": None, "ce_gap_nats": 0.1, "tau": 1.0, "tail": 0.0}
    row |= {"backend": "model", "spec_id": "0x0"}
    check_step(row)
    assert list(row) == list(STEP_FIELDS)
    with pytest.raises(ValueError, match=message):
        check_step({**row, **change})


# --- files --------------------------------------------------------------------------------------------------------


def test_whole_file_or_none(tmp_path: Path) -> None:
    """An error inside the block leaves the old content and no .part file."""
    path = tmp_path / "summary.json"
    write_json(path, {"a": 1})
    for error in (KeyboardInterrupt, ValueError):
        with pytest.raises(error), whole_file(path) as file:
            file.write(b"half")
            raise error
    with pytest.raises(OutputError, match=r"summary\.json' cannot be written: No space left"), whole_file(path) as file:
        raise OSError(errno.ENOSPC, "No space left on device")
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(path, {"a": math.nan})
    assert json.loads(path.read_text()) == {"a": 1}
    assert [entry.name for entry in tmp_path.iterdir()] == ["summary.json"]


def test_destination_checks(tmp_path: Path) -> None:
    """A folder, a device or a missing folder is refused before a run starts."""
    assert check_destination("plot", tmp_path / "a.png") == tmp_path.resolve() / "a.png"
    for bad, message in (
        (tmp_path, "the name of a regular file"),
        (Path("/dev/null"), "the name of a regular file"),
        (tmp_path / "none" / "a.png", "an existing folder"),
    ):
        with pytest.raises(SpecError, match=message) as caught:
            check_destination("plot", bad)
        assert caught.value.field == "plot"


def test_runs_of_one_moment_get_folders_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock stands still: three runs, three folders, three run_ids."""

    class Stopped(datetime):
        @classmethod
        def now(cls, tz: object = None) -> "Stopped":
            return cls(2030, 1, 2, 3, 4, 5, 600, tzinfo=UTC)

    monkeypatch.setattr(files, "datetime", Stopped)
    monkeypatch.chdir(tmp_path)
    folders = [open_run_folder(None) for _ in range(3)]
    assert [folder.run_id for folder in folders] == [
        "20300102T030405.000600Z", "20300102T030405.000600Z-2", "20300102T030405.000600Z-3",
    ]  # fmt: skip
    assert all(folder.path.is_dir() and folder.path.parent == Path("runs") for folder in folders)


def test_a_named_folder_loses_the_results_of_an_earlier_run(tmp_path: Path) -> None:
    """Nothing of the earlier run can pass for a result of this one; other files stay."""
    for name in ("summary.json", "steps.jsonl", "steps.jsonl.part", "notes.txt"):
        (tmp_path / name).write_text("old")
    assert open_run_folder(tmp_path).path == tmp_path
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file", tmp_path / "file" / "run"):
        with pytest.raises(OutputError, match="cannot be written") as caught:
            open_run_folder(path)
        assert "\n" not in str(caught.value)


# --- draws --------------------------------------------------------------------------------------------------------


def test_recorder_keeps_exact_integers(tmp_path: Path) -> None:
    """Dtypes and values as documented; an interrupted run is marked."""
    recorder = DrawRecorder(6)
    assert sum(array.dtype.itemsize for array in recorder._arrays.values()) == DRAW_BYTES
    recorder.add(draws([1, 3, 0]), verified(np.array([True, False, True])))
    recorder.save(tmp_path / "half.npz")
    recorder.add(draws([7, 7, 1]), verified(np.array([True, True, True])))
    recorder.save(tmp_path / "draws")
    with np.load(tmp_path / "draws") as saved:
        assert {name: str(saved[name].dtype) for name in saved} == {
            "drafts": "uint32", "accepted": "bool", "tokens": "uint32", "weights": "uint64", "spreads": "uint32",
            "totals": "uint64", "complete": "bool",
        }  # fmt: skip
        assert saved["drafts"].tolist() == [1, 3, 0, 7, 7, 1]
        assert saved["weights"].tolist() == [5, 2, 4, 4, 4, 5]
        assert saved["spreads"].tolist() == [1, 1, 6, 6, 6, 1]
        assert saved["totals"].tolist() == [11] * 6
        assert bool(saved["complete"])
    with np.load(tmp_path / "half.npz") as saved:
        assert len(saved["tokens"]) == 3
        assert not bool(saved["complete"])


# --- summary ------------------------------------------------------------------------------------------------------


def test_mean_log_q_equals_the_mean_over_draws() -> None:
    """From counts per token, and from the reported integers in rationals."""
    batch = draws([1, 1, 3, 0, 7, 5, 1])
    counts = np.bincount(batch.tokens, minlength=8)
    exact = [Fraction(int(w), LAW.total * int(s)) for w, s in zip(batch.weights, batch.spreads, strict=True)]
    expected = sum(math.log(x) for x in exact) / len(exact)
    assert mean_log_q(counts, LAW) == pytest.approx(expected, rel=1e-14)
    assert float(batch.log_q.mean()) == pytest.approx(expected, rel=1e-14)
    assert math.isnan(mean_log_q(np.zeros(8, dtype=np.int64), LAW))


def test_ce_gap_by_hand() -> None:
    """KL((1/2, 1/2) || (1/4, 3/4)) = ln(2)/2 + ln(2/3)/2; infinite where q = 0 < p; zeros in p do not count."""
    gap = ce_gap_nats(np.array([0.5, 0.5]), np.array([0.25, 0.75]))
    assert gap == pytest.approx(0.5 * math.log(2) + 0.5 * math.log(2 / 3))
    assert ce_gap_nats(np.array([0.5, 0.5]), np.array([1.0, 0.0])) is None
    assert ce_gap_nats(np.array([1.0, 0.0]), np.array([0.5, 0.5])) == pytest.approx(math.log(2))


def test_summary_is_json_and_counts_add_up() -> None:
    """emitted = accepted drafts + recovered; every printed value exists; infinities become null."""
    p = np.array([0.3, 0.3, 0.0, 0.2, 0.1, 0.1, 0.0, 0.0])
    verifier, rng = SingleVerifier(p=p, law=LAW), np.random.default_rng(2)
    tally = Tally(8)
    for _ in range(3):
        batch = draws(rng.choice(8, size=2000, p=LAW.probabilities()).tolist())
        tally.add(batch, verifier.verify(batch, rng), tsu_s=0.5, verifier_s=0.25)
    facts = dict.fromkeys(FACTS, 0)
    summary = summarise(tally, p=p, law=LAW, psi_bytes=33, complete=True, facts=facts)
    values = json.loads(json.dumps(summary.values, allow_nan=False))
    assert tally.steps == 6000 == tally.drafts.sum() == tally.emitted.sum()
    assert tally.recovered.sum() == 6000 - tally.accepted
    assert values["samples_per_s"] == pytest.approx(4000)
    assert values["accept_low"] < values["accept_rate"] < values["accept_high"]
    overlap = sum(min(Fraction(a).limit_denominator(100), LAW.q(i)) for i, a in enumerate(p.tolist()))
    assert values["overlap"] == pytest.approx(float(overlap))
    assert values["residual_mass"] == pytest.approx(float(1 - overlap))
    assert values["sound"]
    assert [line.split("=")[0] for line in summary.lines()] == list(PRINTED)
    wrong = np.array([0.3, 0.3, 0.4, 0.0, 0.0, 0.0, 0.0, 0.0])
    refused = summarise(tally, p=wrong, law=LAW, psi_bytes=33, complete=True, facts=facts).values
    assert not refused["sound"]
    assert refused["chi2_stat"] is None
    assert refused["p_value"] == 0.0
    json.dumps(refused, allow_nan=False)


def test_summary_of_nothing() -> None:
    """Interrupted before the first batch: no division by zero, no NaN in JSON."""
    facts = dict.fromkeys(FACTS, 0)
    p = LAW.probabilities()
    values = summarise(Tally(8), p=p, law=LAW, psi_bytes=33, complete=False, facts=facts).values
    assert values["accept_rate"] is None
    assert values["sound"]
    assert not values["complete"]
    json.dumps(values, allow_nan=False)


def test_show() -> None:
    assert [show(x) for x in (True, False, None, 0.75129, 3, "a")] == ["yes", "no", "none", "0.75129", "3", "a"]


def test_document_lists_every_field() -> None:
    """docs/reference/telemetry.md holds the table that the schema gives."""
    text = (Path(__file__).parents[3] / "docs/reference/telemetry.md").read_text()
    assert step_table() in text


def test_changing_fields_are_given_with_every_batch(tmp_path: Path) -> None:
    """Fields named `changing` come with `append`; texts are numbered row by row; others are refused."""
    constants = {name: value for name, value in CONSTANTS.items() if name not in ("psi_bytes", "context")}
    with StepWriter(tmp_path / "steps.jsonl", constants, ("psi_bytes", "context")) as writer:
        flags = np.array([True, False])
        writer.append(accepted=flags, tsu_s=0, verifier_s=0, texts=np.array([5, 2]), psi_bytes=70, context=1)
        writer.append(accepted=flags[:1], tsu_s=0, verifier_s=0, texts=np.array([9]), psi_bytes=71, context=4)
        with pytest.raises(ValueError, match="fields are"):
            writer.append(accepted=flags, tsu_s=0, verifier_s=0, psi_bytes=70)
    rows = [json.loads(line) for line in (tmp_path / "steps.jsonl").read_text().splitlines()]
    for row in rows:
        check_step(row)
    assert [(row["step"], row["text"], row["context"], row["psi_bytes"]) for row in rows] == [
        (0, 5, 1, 70),
        (1, 2, 1, 70),
        (2, 9, 4, 71),
    ]


def test_a_lost_batch_never_gets_the_final_name(tmp_path: Path) -> None:
    """After a write that failed, the file keeps its .part name even where later writes would succeed."""
    writer = StepWriter(tmp_path / "steps.jsonl", CONSTANTS)
    file = writer._file
    assert file is not None

    class Full:
        def write(self, data: bytes) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

    writer._file = Full()  # type: ignore[assignment]
    with pytest.raises(OutputError, match="No space left"):
        writer.append(accepted=np.ones(SLICE_ROWS, dtype=np.bool_), tsu_s=0.0, verifier_s=0.0)
    writer._file = file
    with pytest.raises(OutputError, match="No space left"):
        writer.close()
    assert [path.name for path in tmp_path.iterdir()] == ["steps.jsonl.part"]


def test_means_and_intervals() -> None:
    """Mean over steps by hand; the normal interval is mean +- 1.96 s / sqrt(n); infinite values leave it open."""
    row = mean_row("x", "nats", [1.0, 3.0, 7.0], np.array([2, 2, 0]))
    assert row.mean == 2.0
    assert row.high - row.mean == pytest.approx(1.959964 * math.sqrt(4 / 3 / 4))
    assert row.steps == 4
    assert mean_row("x", "", [1.0, None], np.array([2, 1])).mean is None
    assert mean_row("x", "", [1.0, None], np.array([2, 0])).mean == 1.0
    assert mean_row("x", "", [], np.array([], dtype=np.int64)).low is None
    share = share_row("a", 0, 100)
    assert (share.mean, share.low) == (0.0, 0.0)
    assert share.high == pytest.approx(1 - 0.025 ** (1 / 100))
    assert share_row("a", 0, 0).mean is None
