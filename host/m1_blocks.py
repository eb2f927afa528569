# SPDX-License-Identifier: Apache-2.0
"""Milestone 1 by blocks: chains, several drafts of a position, token trees. See `host.m1`."""

import math
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from host.block_soundness import assess_blocks
from host.decode.block_loop import BlockLoop, BlockStep
from host.m1_setup import M1Experiment, M1Options
from host.psi.wire import psi_bytes
from host.runs.control import verifier_rng
from host.telemetry.block_summary import summarise_blocks
from host.telemetry.block_tally import BlockTally
from host.telemetry.contexts import ContextRow
from host.telemetry.means import MeanRow
from host.telemetry.summary import Summary, ce_gap_nats
from host.telemetry.writer import StepWriter
from host.tsu.base import Tsu


class BlockRun:
    """Texts that grow by blocks, up to one length, which gives `steps` tokens in all, or up to one more for each text.

    Parameters
    ----------
    options : M1Options
    experiment : M1Experiment
    tsu : Tsu
    """

    changing = ("position", "context", "L", "n_drafts", "psi_bytes", "ce_gap_nats", "tau", "tail")
    """Fields of a row of steps.jsonl that differ from step to step."""

    def __init__(self, *, options: M1Options, experiment: M1Experiment, tsu: Tsu) -> None:
        begin = experiment.begin(options)
        self._drafting = options.drafting.drafting(experiment.proposer.horizon)
        self.texts = len(begin)
        self._loop = BlockLoop(
            tsu=tsu,
            target=experiment.target,
            proposer=experiment.proposer,
            begin=begin,
            end=begin.shape[1] + math.ceil(options.steps / len(begin)),
            mode=options.weights,
            rng=verifier_rng(options.seed),
            drafting=self._drafting,
            method=options.drafting.verify,
            seed=options.seed,
        )
        self.tally = BlockTally(experiment.target.vocab_size)
        self.complete = False

    @property
    def samples(self) -> int:
        """Drafts so far."""
        return self.tally.counts.num_draft_tokens

    def measure(
        self,
        *,
        rows: StepWriter | None,
        stop: Callable[[], bool],
        progress: Callable[[int, float], None] | None,
    ) -> None:
        """Decode; ends early, after a step of all texts, where `stop()` is true."""
        begin, counts = time.perf_counter(), self.tally.counts
        for steps in self._loop.steps():
            for step in steps:
                self.tally.add(step)
                if rows is not None:
                    _write_row(rows, step)
            if rows is not None:
                rows.flush()
            self.tally.elapsed_s = time.perf_counter() - begin
            if progress is not None:
                progress(self.tally.tokens, counts.num_accepted_tokens / max(1, counts.num_draft_tokens))
            if stop():
                return
        self.complete = True

    def summarise(self, facts: dict[str, Any]) -> tuple[Summary, list[ContextRow], list[MeanRow]]:
        """Figures and tests of what was decoded."""
        soundness, p_values = assess_blocks(self.tally)
        rows = self.tally.rows(p_values)
        summary, means = summarise_blocks(
            self.tally, rows, soundness, complete=self.complete,
            tree=self._drafting.shape.children, facts=facts,
        )  # fmt: skip
        return summary, rows, means


def _write_row(rows: StepWriter, step: BlockStep) -> None:
    tree, first = step.tree, step.judged[0]
    root = tree.places[0]
    rows.append(
        accepted=np.array([step.accepted]),
        tsu_s=step.tsu_s,
        verifier_s=step.verifier_s,
        texts=np.array([step.text]),
        position=step.position,
        context=step.contexts[0].context[-1],
        L=tree.shape.depth,
        n_drafts=max(tree.shape.children),
        psi_bytes=sum(psi_bytes(place.psi) for place in tree.places.values()),
        ce_gap_nats=ce_gap_nats(first.p, root.law.probabilities()),
        tau=float(root.psi.tau),
        tail=float(root.psi.tail),
    )
