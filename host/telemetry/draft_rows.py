# SPDX-License-Identifier: Apache-2.0
"""A row of steps.jsonl for a step whose drafts are a tree."""

import numpy as np
import numpy.typing as npt

from host.draft.tree import DraftTree

from .summary import ce_gap_nats
from .writer import StepWriter

TREE_CHANGING = ("position", "L", "n_drafts", "psi_bytes", "ce_gap_nats", "tau", "tail")
"""Fields that differ from step to step."""


def append_tree(
    rows: StepWriter,
    tree: DraftTree,
    *,
    p: npt.NDArray[np.float64],
    accepted: int,
    text: int,
    tsu_s: float,
    verifier_s: float,
    **fields: object,
) -> None:
    """Write the row of one step.

    Parameters
    ----------
    rows : StepWriter
    tree : DraftTree
    p : float64 ndarray of shape (V,)
        Target at the context.
    accepted : int
        Accepted drafts.
    text : int
        Which text of the batch.
    tsu_s, verifier_s : float
        Seconds.
    fields : position, and what else changes
    """
    root = tree.places[0]
    rows.append(
        accepted=np.array([accepted]),
        tsu_s=tsu_s,
        verifier_s=verifier_s,
        texts=np.array([text]),
        L=tree.shape.depth,
        n_drafts=max(tree.shape.children),
        psi_bytes=tree.psi_bytes,
        ce_gap_nats=ce_gap_nats(p, root.law.probabilities()),
        tau=float(root.psi.tau),
        tail=float(root.psi.tail),
        **fields,
    )
