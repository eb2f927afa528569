# SPDX-License-Identifier: Apache-2.0
"""Speculative decoding against plain sampling, in wall-clock time: python -m host.bench_lm --help.

Both write texts behind the same prompt with the same forward pass, in turn, and turn the tokens into text. A round's
ratio is the time of the plain text over that of the speculative one; neither has in it the prompt's own pass, or the
statistics of what was drafted.
"""

import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Annotated

import typer

from host.decode.one_text import OneTextLoop
from host.decode.plain import plain_text
from host.lm import decode
from host.lm_setup import LmExperiment, LmOptions, prepare
from host.propose.registry import PROPOSERS
from host.runs import command as shared
from host.runs.command import INT, NUMBER, integer, number, optional_integer
from host.runs.control import open_run_tsu, verifier_rng
from host.targets.language_model import DTYPE_NAMES, SMOLLM2
from host.telemetry.summary import ratio, show
from host.telemetry.text_summary import PARTS, TextTally
from host.text.stream import TextStream
from host.tsu.base import Tsu
from hw.spec.errors import check_int

app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)

HELP = """Compare speculative decoding with plain sampling by the same forward pass, in wall-clock time.

\b
Examples
  python -m host.bench_lm --proposer runs/head --backend rtl
  python -m host.bench_lm --proposer runs/head --temperature 0.7 --tokens 300 --rounds 9 --threads 2

\b
Exit status
    0  measured
    2  bad input, or a backend that cannot be opened
  130  interrupted; nothing is printed
"""

PROMPT = "The king looked over the field, and"
"""How the texts begin."""


@dataclass
class Comparison:
    """Seconds of both ways, a pair for each round, and what the speculative texts counted."""

    tokens: int = 0
    plain_s: list[float] = field(default_factory=list)
    speculative_s: list[float] = field(default_factory=list)
    passes: int = 0
    tally: TextTally = field(default_factory=TextTally)

    @property
    def ratios(self) -> list[float]:
        """Speed-up of each round."""
        return [plain / speculative for plain, speculative in zip(self.plain_s, self.speculative_s, strict=True)]

    def lines(self) -> list[str]:
        """What the command prints, name=value."""
        ratios, tally = self.ratios, self.tally
        values: dict[str, object] = {
            "rounds": len(ratios),
            "tokens": self.tokens,
            "plain_tokens_per_s": self.tokens / median(self.plain_s),
            "tokens_per_s": self.tokens / median(self.speculative_s),
            "speed_up": median(ratios),
            "speed_up_min": min(ratios),
            "speed_up_max": max(ratios),
            "accept_rate": tally.accepted / tally.steps,
            "overlap": tally.overlap / tally.steps,
            "optimum": tally.optimum / tally.steps,
            "mean_acceptance_length": tally.counts.values()["mean_acceptance_length"],
            "nodes_mean": tally.counts.num_draft_tokens / tally.steps,
            "tokens_per_pass": ratio(tally.tokens, self.passes),  # none where the target counts no passes
            **{f"{part}_ms": 1e3 * tally.seconds[part] / tally.steps for part in PARTS},
            "sound": tally.assessment.finish(tally.steps).sound,
        }
        return [f"{name}={show(value)}" for name, value in values.items()]


def compare(*, experiment: LmExperiment, tsu: Tsu, options: LmOptions, rounds: int) -> Iterator[Comparison]:
    """Decode in rounds; the comparison so far comes after each.

    Parameters
    ----------
    experiment : LmExperiment
    tsu : Tsu
    options : LmOptions
        `steps` is the number of tokens of a text.
    rounds : int
    """
    model, prompt, tokens = experiment.model, experiment.prompt, options.steps
    rng, found = verifier_rng(options.seed), Comparison(tokens=tokens)

    def warm() -> None:
        """The prompt but its last token is in the cache, as behind the step before."""
        if len(prompt) > 1:
            model.target.logprobs(prompt[None, :-1])

    def plain() -> None:
        warm()
        begin, stream = time.perf_counter(), TextStream(model.tokenizer.decode, prompt.tolist())
        for token in plain_text(target=model.target, begin=prompt, tokens=tokens, rng=rng):
            stream.push(token)
        found.plain_s.append(time.perf_counter() - begin)

    def speculative() -> None:
        warm()
        passes = getattr(model.target, "passes", 0)
        begin, stream = time.perf_counter(), TextStream(model.tokenizer.decode, prompt.tolist())
        counting = found.tally.counting_s
        loop = OneTextLoop(
            tsu=tsu, target=model.target, proposer=experiment.proposer, begin=prompt, mode=options.weights, rng=rng,
            drafting=experiment.drafting, method=options.drafting.verify, seed=options.seed, end=len(prompt) + tokens,
            positions=model.positions,
        )  # fmt: skip
        decode(
            loop=loop, tally=found.tally, tokens=found.tally.tokens + tokens, end_ids=frozenset(), stream=stream
        )  # fmt: skip
        counting = found.tally.counting_s - counting
        found.speculative_s.append(time.perf_counter() - begin - counting)
        found.passes += getattr(model.target, "passes", 0) - passes

    for number_of in range(rounds):
        for way in (plain, speculative) if number_of % 2 == 0 else (speculative, plain):
            way()
        yield found


@app.command(help=HELP)
def command(
    proposer: Annotated[str, typer.Option(help="as in host.run_lm: a folder, or " + ", ".join(PROPOSERS))],
    target: Annotated[str, typer.Option(help=f"language model: {SMOLLM2}, or a folder")] = SMOLLM2,
    prompt: Annotated[str, typer.Option(help="how the texts begin")] = PROMPT,
    tokens: Annotated[str, typer.Option(metavar=INT, help="tokens of a text")] = "200",
    rounds: Annotated[str, typer.Option(metavar=INT, help="texts of each way")] = "7",
    temperature: Annotated[str, typer.Option(metavar=NUMBER, help="T of softmax(logits / T), above 0")] = "1.0",
    dtype: Annotated[str, typer.Option(help="numbers of the model: " + ", ".join(DTYPE_NAMES))] = "float32",
    corpus: Annotated[Path | None, typer.Option(help="text file (UTF-8) that the proposer counts")] = None,
    backend: shared.Backend = "rtl",
    port: shared.Port = None,
    baud: shared.Baud = None,
    weights: shared.Weights = "exp2",
    k: shared.TopK = "64",
    tau: shared.Tau = "1.0",
    eps: shared.Eps = "auto",
    length: shared.Length = None,
    drafts: shared.Drafts = None,
    tree_nodes: shared.TreeNodes = None,
    verify: shared.Verify = None,
    seed: Annotated[str, typer.Option(metavar=INT, help="seed of noise and decisions")] = "0",
    threads: Annotated[str | None, typer.Option(metavar=INT, help="threads of torch")] = None,
) -> int:
    """Measure and print; returns the exit status."""
    count = check_int("rounds", integer("rounds", rounds), 1, 1 << 16)
    options = LmOptions(
        backend=backend,
        port=port,
        baud=optional_integer("baud", baud),
        weights=weights,
        steps=integer("tokens", tokens),
        k=integer("K", k),
        tau=number("tau", tau),
        eps=shared.floor(eps),
        seed=integer("seed", seed),
        telemetry="off",
        target=target,
        prompt=prompt,
        temperature=number("temperature", temperature),
        dtype=dtype,
        proposer=proposer,
        corpus=corpus,
        threads=optional_integer("threads", threads),
        drafting=shared.draft_options(length, drafts, tree_nodes, verify),
    )
    experiment = prepare(options)
    found = Comparison()
    with (
        open_run_tsu(options, None if options.has_port else options.tsu_config()) as tsu,
        shared.progress_bar(count) as progress,
    ):
        for done, found in enumerate(compare(experiment=experiment, tsu=tsu, options=options, rounds=count), 1):
            if progress is not None:
                progress(done, found.tally.accepted / found.tally.steps)
    print("\n".join(found.lines()), flush=True)
    return 0


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit status. See `host.runs.command.main`."""
    return shared.main(app, "host.bench_lm", arguments)


if __name__ == "__main__":
    sys.exit(main())
