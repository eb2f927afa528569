# SPDX-License-Identifier: Apache-2.0
"""Where training stands: model and optimiser in one .safetensors file, everything else in checkpoint.json.

The JSON names the tensors' file and is replaced last, so that a folder always holds one whole checkpoint.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor, nn
from torch.optim import Optimizer

from host.models.store import fill, read_json, read_tensors, spec_id_text, write_tensors
from host.telemetry.files import write_json
from hw.spec.errors import SpecError, check_int

STATE = "checkpoint.json"
"""Name of the JSON."""

FORMAT = 1
"""Version of a checkpoint."""


@dataclass(kw_only=True)
class Progress:
    """What is remembered between two steps, beside model and optimiser.

    Parameters
    ----------
    step : int
        Steps done.
    best_score, best_step : float or None, int
        The best measurement so far and the steps done by then.
    misses : int
        Measurements since.
    stopped : bool
        Training is over, by `patience`.
    cpu_s : float
        Processor time so far, seconds.
    """

    step: int = 0
    best_score: float | None = None
    best_step: int = 0
    misses: int = 0
    stopped: bool = False
    cpu_s: float = 0.0


def save_checkpoint(
    folder: Path, *, model: nn.Module, optimiser: Optimizer, progress: Progress, config: Mapping[str, object]
) -> None:
    """Write a checkpoint into an existing folder; the one before is removed."""
    tensors = {f"model.{name}": tensor for name, tensor in model.state_dict().items()}
    for index, entries in optimiser.state_dict()["state"].items():
        tensors |= {f"optimiser.{index}.{name}": tensor for name, tensor in entries.items()}
    name = f"checkpoint-{progress.step:08d}.safetensors"
    write_tensors(folder / name, tensors)
    write_json(
        folder / STATE,
        {"format": FORMAT, "spec_id": spec_id_text(), "tensors": name, "config": config, **vars(progress)},
    )
    for old in folder.glob("checkpoint-*.safetensors"):
        if old.name != name:
            old.unlink()


def load_checkpoint(folder: Path, *, model: nn.Module, optimiser: Optimizer, config: Mapping[str, object]) -> Progress:
    """Put model and optimiser back where `save_checkpoint` found them.

    Parameters
    ----------
    config : Mapping
        What the run is told now; it must be what the checkpoint was made with.

    Raises
    ------
    SpecError
        There is no checkpoint, or it belongs to another run or version.
    """
    content = read_json(folder / STATE)
    for field, expected in (("format", FORMAT), ("spec_id", spec_id_text())):
        if content.get(field) != expected:
            raise SpecError(f"{field} of the checkpoint", content.get(field), f"{expected}")
    kept = content.get("config")
    if kept != dict(config):
        was = kept if isinstance(kept, dict) else {}
        changed = sorted(name for name in {*was, *config} if was.get(name) != config.get(name))
        raise SpecError("resume", str(folder), f"the run of this checkpoint; different: {', '.join(changed)}")
    tensors = read_tensors(folder / str(content["tensors"]))
    fill(model, {name.removeprefix("model."): t for name, t in tensors.items() if name.startswith("model.")})
    _fill_optimiser(optimiser, {name: t for name, t in tensors.items() if name.startswith("optimiser.")})
    fields = {name: content[name] for name in vars(Progress()) if name in content}
    check_int("step", fields.get("step"), 0, 1 << 40)
    return Progress(**fields)  # type: ignore[arg-type]  # the fields that save_checkpoint wrote


def _fill_optimiser(optimiser: Optimizer, tensors: Mapping[str, Tensor]) -> None:
    state: dict[int, dict[str, Tensor]] = {}
    for path, tensor in tensors.items():
        _, index, name = path.split(".")
        state.setdefault(int(index), {})[name] = tensor
    optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})
