# SPDX-License-Identifier: Apache-2.0
"""Milestone 1 by blocks: chains, several drafts of a position, token trees. See `host.m1`."""

import math
import time
from collections.abc import Callable
from typing import Any

from host.block_soundness import assess_blocks
from host.decode.block_loop import BlockLoop, BlockStep
from host.m1_setup import M1Experiment, M1Options
from host.runs.control import verifier_rng
from host.telemetry.block_summary import summarise_blocks
from host.telemetry.block_tally import BlockTally
from host.telemetry.contexts import ContextRow
from host.telemetry.draft_rows import TREE_CHANGING, append_tree
from host.telemetry.means import MeanRow
from host.telemetry.summary import Summary
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

    changing = ("context", *TREE_CHANGING)
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
    append_tree(
        rows, step.tree, p=step.judged[0].p, accepted=step.accepted, text=step.text, tsu_s=step.tsu_s,
        verifier_s=step.verifier_s, position=step.position, context=step.contexts[0].context[-1],
    )  # fmt: skip
