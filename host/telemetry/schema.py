# SPDX-License-Identifier: Apache-2.0
"""Fields of one row of `steps.jsonl`: one JSON object a line, one line per verified step."""

from collections.abc import Mapping
from dataclasses import dataclass

from hw.spec.markdown import table

STEP_SCHEMA_VERSION = 2
"""Version of the row; raised when a field changes its name, type or meaning."""


@dataclass(frozen=True)
class StepField:
    """JSON types (as Python types), unit and meaning of one field."""

    types: tuple[type, ...]
    unit: str
    meaning: str


STEP_FIELDS: dict[str, StepField] = {
    "schema_version": StepField((int,), "", "`STEP_SCHEMA_VERSION`"),
    "run_id": StepField((str,), "", "UTC start time of the run, as in summary.json"),
    "seed": StepField((int,), "", "seed of target, TSU noise and verifier"),
    "step": StepField((int,), "", "0, 1, 2, ..."),
    "text": StepField((int, type(None)), "", "which text of the batch; null in M0, where there is no text"),
    "position": StepField((int, type(None)), "tokens", "length of that text before this step"),
    "context": StepField((int, type(None)), "", "its last token, where the target looks at no more; else null"),
    "mode": StepField((str,), "", "weight mode of the TSU: table or exp2"),
    "L": StepField((int,), "tokens", "drafted positions per step"),
    "n_drafts": StepField((int,), "tokens", "drafts per position"),
    "psi_bytes": StepField((int,), "bytes", "wire bytes of the psi that was sampled"),
    "tsu_latency_ms": StepField((float,), "ms", "time in the TSU, shared out evenly over the steps of one batch"),
    "verifier_latency_ms": StepField((float,), "ms", "time in the verifier, shared out in the same way"),
    "num_accepted_tokens": StepField((int,), "tokens", "accepted drafts, 0..L"),
    "first_reject": StepField((int, type(None)), "", "position of the first refused draft; null when none was"),
    "ce_gap_nats": StepField(
        (float, type(None)), "nats", "sum p (ln p - ln q): cross entropy of q less the entropy of p; null if infinite"
    ),
    "tau": StepField((float,), "", "temperature of the psi"),
    "tail": StepField((float,), "", "tail mass of the psi over the weight of its best id"),
    "backend": StepField((str,), "", "TSU backend"),
    "spec_id": StepField((str,), "", "SPEC_ID of the TSU, hexadecimal"),
}
"""Every field of a row, in the order they are written."""


def step_table() -> str:
    """Every field as a Markdown table, for docs/reference/telemetry.md."""
    names = {int: "integer", float: "number", str: "string", type(None): "null"}
    rows = [
        (f"`{name}`", " or ".join(names[kind] for kind in field.types), field.unit or "-", field.meaning)
        for name, field in STEP_FIELDS.items()
    ]
    return table(("Field", "JSON type", "Unit", "Meaning"), rows)


def check_step(row: Mapping[str, object]) -> None:
    """Raise ValueError unless `row` has exactly the fields of `STEP_FIELDS`, with their types and this version."""
    if list(row) != list(STEP_FIELDS):
        raise ValueError(f"fields are {list(row)}: expected {list(STEP_FIELDS)}")
    for name, field in STEP_FIELDS.items():
        if isinstance(row[name], bool) or not isinstance(row[name], field.types):
            expected = " or ".join("null" if kind is type(None) else kind.__name__ for kind in field.types)
            raise ValueError(f"{name} = {row[name]!r} is not legal: expected {expected}")
    if row["schema_version"] != STEP_SCHEMA_VERSION:
        raise ValueError(f"schema_version = {row['schema_version']!r} is not legal: expected {STEP_SCHEMA_VERSION}")
