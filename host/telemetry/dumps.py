# SPDX-License-Identifier: Apache-2.0
"""`--save-draws` and `--save-psi`: the exact integers of a run, for checks outside this project."""

import math
from pathlib import Path
from typing import Any

import numpy as np

from host.psi.law import DraftLaw
from host.psi.schema import Psi
from host.psi.wire import encode
from host.tsu.base import Draws
from host.verify.single import Verified
from hw.spec.config import TsuConfig

from .files import whole_file, write_json

DRAW_BYTES = 29
"""Memory per recorded step: 4 + 1 + 4 + 8 + 4 + 8 bytes."""

PSI_DUMP_VERSION = 1
"""Version of the JSON object that `save_psi` writes."""


class DrawRecorder:
    """Keeps every draft and its outcome, and writes them as one .npz (not compressed).

    Arrays (one entry per step): `drafts` uint32, `accepted` bool, `tokens` uint32 (emitted), `weights` uint64,
    `spreads` uint32, `totals` uint64; and `complete`, a bool scalar: False when the run was interrupted.

    Parameters
    ----------
    steps : int
        Steps to make room for.

    Raises
    ------
    MemoryError
        There is no room for `DRAW_BYTES` * steps bytes.
    """

    def __init__(self, steps: int) -> None:
        self.steps = steps
        self.filled = 0
        self._arrays = {
            "drafts": np.empty(steps, dtype=np.uint32),
            "accepted": np.empty(steps, dtype=np.bool_),
            "tokens": np.empty(steps, dtype=np.uint32),
            "weights": np.empty(steps, dtype=np.uint64),
            "spreads": np.empty(steps, dtype=np.uint32),
            "totals": np.empty(steps, dtype=np.uint64),
        }

    def add(self, draws: Draws, verified: Verified) -> None:
        """Append one verified batch."""
        part = slice(self.filled, self.filled + len(draws))
        self._arrays["drafts"][part] = draws.tokens
        self._arrays["accepted"][part] = verified.accepted
        self._arrays["tokens"][part] = verified.tokens
        self._arrays["weights"][part] = draws.weights
        self._arrays["spreads"][part] = draws.spreads
        self._arrays["totals"][part] = draws.total
        self.filled += len(draws)

    def save(self, path: Path) -> None:
        """Write what was recorded, whole or not at all.

        Raises
        ------
        OutputError
            The file cannot be written.
        """
        with whole_file(path) as file:
            np.savez(
                file,
                allow_pickle=False,
                complete=np.bool_(self.filled == self.steps),
                **{name: array[: self.filled] for name, array in self._arrays.items()},
            )


def psi_fields(psi: Psi, law: DraftLaw, config: TsuConfig, mode: str) -> dict[str, Any]:
    """Every field of psi, what follows from them, and the integers of F_hw; ready for JSON.

    Integers are exact; weights exceed 2^53, so read them with a parser that keeps integers (Python's does).
    q(ids[k]) = weights[k] / total; q(other) = tail_weight / (total * spread).
    """
    wire = encode(psi)
    return {
        "version": PSI_DUMP_VERSION,
        "vocab_size": psi.vocab_size,
        "k": psi.k,
        "ids": psi.ids.tolist(),
        "scores_q": psi.scores_q.tolist(),
        "scale": float(psi.scale),
        "zero_point": int(psi.zero_point),
        "tau": float(psi.tau),
        "tail": float(psi.tail),
        "scores": psi.scores.tolist(),
        "distances": psi.distances.tolist(),
        "eps": psi.eps if math.isfinite(psi.eps) else None,
        "mode": mode,
        "weights": law.weights.tolist(),
        "tail_weight": law.tail_weight,
        "spread": law.spread,
        "total": law.total,
        "shift": law.shift,
        "tsu": config.as_dict(),
        "psi_bytes": len(wire),
        "wire_hex": wire.hex(),
    }


def save_psi(path: Path, psi: Psi, law: DraftLaw, config: TsuConfig, mode: str) -> None:
    """Write `psi_fields` as JSON, whole or not at all.

    Raises
    ------
    OutputError
        The file cannot be written.
    """
    write_json(path, psi_fields(psi, law, config, mode))
