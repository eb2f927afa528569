# SPDX-License-Identifier: Apache-2.0
"""The sub-commands of `python -m host.train`: parse, call host.train.run, show."""

import sys
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from host.models.config import GruConfig, LowRankConfig, TransformerConfig
from host.runs.command import INT, NUMBER, Eps, Tau, floor, integer, number
from host.targets.categorical import TargetError
from host.telemetry.files import OutputError, check_destination, whole_file
from host.text.corpus import TextError
from host.text.tokens import keep_tokenizer
from hw.spec.errors import SpecError, check_int

from .data import load_tokens
from .head_command import head
from .options import (
    OutOption,
    PlotOption,
    ResumeOption,
    ThreadsOption,
    prepare,
    print_lines,
    progress_bar,
    setting,
    settings_from,
    show,
)  # fmt: skip
from .recipes import GRU, KL_SHARE, LOW_RANK, STARTS, TARGET

DONE, ASTRAY, REFUSED, INTERRUPTED = 0, 1, 2, 130
"""Exit statuses."""

PROPOSERS = ("gru", "low-rank")
"""Kinds of proposers, by the name on the command line."""

HELP = """Train a target, a proposer that drafts for it, or a head on the states of a language model.

Writes a model, its learning log (log.jsonl) and a checkpoint to --out; --resume goes on from there, to the same bits.

\b
Examples
  python -m host.train target --tokens text.npz --out runs/target
  python -m host.train proposer --tokens text.npz --target runs/target --out runs/gru --objective kl-tv --plot gru.png
  python -m host.train measure --tokens text.npz --target runs/target --proposer ngram:3
  python -m host.train sample --target runs/target --out samples.npz
  python -m host.train head --target smollm2 --out runs/head --plot head.png
  python -m host.train proposer --tokens text.npz --target bigram --proposer low-rank --rank 4 --out runs/rank4

\b
Exit status
    0  trained
    1  the loss is no longer finite
    2  bad input, or a result that cannot be written
  130  interrupted; the last checkpoint is kept
"""

app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False, help=HELP)

TokensOption = Annotated[Path, typer.Option(help=".npz of train and heldout (token ids) and vocab_size")]


_TARGETS = {"transformer": TARGET}
_PROPOSERS = {"gru": GRU, "low-rank": LOW_RANK}
_SHARES = f"[default: {', '.join(f'{KL_SHARE[kind]:g} ({kind})' for kind in _PROPOSERS)}]"


@app.command(help="Train a small causal transformer on a text.")
def target(
    tokens: TokensOption,
    out: OutOption,
    width: Annotated[str, typer.Option(metavar=INT, help="length of a position's vector")] = "120",
    layers: Annotated[str, typer.Option(metavar=INT)] = "4",
    heads: Annotated[str, typer.Option(metavar=INT, help="attention heads of a layer")] = "4",
    span: Annotated[str, typer.Option(metavar=INT, help="positions that a head sees")] = "32",
    steps: Annotated[str | None, setting("steps", "updates", INT, _TARGETS)] = None,
    batch: Annotated[str | None, setting("batch", "pieces of text per update", INT, _TARGETS)] = None,
    length: Annotated[str | None, setting("length", "tokens of a piece", INT, _TARGETS)] = None,
    rate: Annotated[str | None, setting("rate", "largest learning rate", NUMBER, _TARGETS)] = None,
    every: Annotated[str | None, setting("every", "updates between checkpoints", INT, _TARGETS)] = None,
    patience: Annotated[str | None, setting("patience", "measurements without gain, 0: all", INT, _TARGETS)] = None,
    seed: Annotated[str, typer.Option(metavar=INT)] = "0",
    resume: ResumeOption = False,
    plot: PlotOption = None,
    threads: ThreadsOption = "1",
) -> int:
    """Train a transformer; returns the exit status."""
    settings = settings_from(
        TARGET, seed, steps=steps, batch=batch, length=length, rate=rate, every=every, patience=patience
    )
    prepare("tokens", str(tokens), plot, threads)
    text = load_tokens(tokens)
    config = TransformerConfig(
        vocab_size=text.vocab_size,
        width=integer("width", width),
        layers=integer("layers", layers),
        heads=integer("heads", heads),
        span=integer("span", span),
    )
    from .run import train_target  # torch: only when something is trained

    with progress_bar(settings.steps) as progress:
        train_target(config=config, tokens=text, settings=settings, folder=out, resume=resume, progress=progress)
    keep_tokenizer(tokens, out)
    return show(out, plot)


@app.command(help="Train a proposer: psi of its distributions are what a TSU draws drafts from.")
def proposer(
    tokens: TokensOption,
    out: OutOption,
    target: Annotated[str, typer.Option(help="folder of a trained target, bigram, or bigram:laplace")],
    proposer: Annotated[str, typer.Option(help="kind: " + ", ".join(PROPOSERS))] = "gru",
    objective: Annotated[
        str, typer.Option(help="kl, tv, nla, lk, or one after another: kl-tv, kl-nla, kl-lk")
    ] = "kl-tv",
    kl_share: Annotated[
        str | None, typer.Option(metavar=NUMBER, help="share of the steps that minimise KL first " + _SHARES)
    ] = None,
    whole: Annotated[bool, typer.Option("--whole", help="objectives see all of q, not what psi carries of it")] = False,
    k: Annotated[str, typer.Option("--K", metavar=INT, help="top-K ids in psi, up to min(V, 1024)")] = "32",
    tau: Annotated[str, typer.Option(metavar=NUMBER, help="temperature of the law, above 0")] = "1.0",
    eps: Annotated[str, typer.Option(help="floor of a tail token: auto (leftover mass), or a number >= 0")] = "auto",
    embed: Annotated[str, typer.Option(metavar=INT, help="gru: length of a token's vector")] = "128",
    hidden: Annotated[str, typer.Option(metavar=INT, help="gru: length of the state")] = "256",
    rank: Annotated[str, typer.Option(metavar=INT, help="low-rank: numbers of a context")] = "4",
    starts: Annotated[
        str | None,
        typer.Option(
            metavar=INT, help=f"low-rank: models side by side, the best is kept [default: {STARTS['low-rank']}]"
        ),
    ] = None,
    steps: Annotated[str | None, setting("steps", "updates", INT, _PROPOSERS)] = None,
    batch: Annotated[str | None, setting("batch", "pieces of text per update", INT, {"gru": GRU})] = None,
    length: Annotated[str | None, setting("length", "tokens of a piece", INT, {"gru": GRU})] = None,
    rate: Annotated[str | None, setting("rate", "largest learning rate", NUMBER, _PROPOSERS)] = None,
    every: Annotated[str | None, setting("every", "updates between checkpoints", INT, _PROPOSERS)] = None,
    patience: Annotated[str | None, setting("patience", "measurements without gain, 0: all", INT, {"gru": GRU})] = None,
    seed: Annotated[str, typer.Option(metavar=INT)] = "0",
    resume: ResumeOption = False,
    plot: PlotOption = None,
    threads: ThreadsOption = "1",
) -> int:
    """Train a proposer; returns the exit status."""
    if proposer not in PROPOSERS:
        raise SpecError("proposer", proposer, "one of " + ", ".join(PROPOSERS))
    recipe = _PROPOSERS[proposer]
    settings = settings_from(
        recipe, seed, steps=steps, batch=batch, length=length, rate=rate, every=every, patience=patience
    )
    prepare("tokens", str(tokens), plot, threads)
    text = load_tokens(tokens)
    config: GruConfig | LowRankConfig
    if proposer == "gru":
        sizes = {"embed": integer("embed", embed), "hidden": integer("hidden", hidden)}
        config = GruConfig(vocab_size=text.vocab_size, **sizes)
    else:
        config = LowRankConfig(vocab_size=text.vocab_size, rank=integer("rank", rank))
    from .goal import Goal  # torch: only when something is trained
    from .run import open_target, train_proposer

    goal = Goal(
        objective=objective,
        kl_share=KL_SHARE[proposer] if kl_share is None else number("kl_share", kl_share, "a number in [0, 1]"),
        k=integer("K", k),
        tau=number("tau", tau, "a finite number > 0"),
        eps=floor(eps),
        whole=whole,
    )
    with progress_bar(settings.steps) as progress:
        train_proposer(
            config=config,
            target=open_target(target, text),
            tokens=text,
            settings=settings,
            goal=goal,
            folder=out,
            starts=STARTS[proposer] if starts is None else integer("starts", starts),
            resume=resume,
            progress=progress,
        )
    keep_tokenizer(tokens, out)
    return show(out, plot)


@app.command(help="Measure a proposer that is counted in the text, as trained ones are measured.")
def measure(
    tokens: TokensOption,
    target: Annotated[str, typer.Option(help="folder of a trained target, bigram, or bigram:laplace")],
    proposer: Annotated[str, typer.Option(help="ngram:N, or ngram:N:kneser-ney")] = "ngram:3",
    k: Annotated[str, typer.Option("--K", metavar=INT, help="top-K ids in psi, up to min(V, 1024)")] = "32",
    tau: Tau = "1.0",
    eps: Eps = "auto",
    length: Annotated[str, typer.Option(metavar=INT, help="tokens of a piece of text, as in proposer")] = str(
        GRU.length
    ),
    threads: ThreadsOption = "1",
) -> int:
    """Measure; returns the exit status."""
    prepare("tokens", str(tokens), None, threads)
    text = load_tokens(tokens)
    from .goal import Goal  # torch: only when something is measured
    from .measure import counted_proposer, measure_counted
    from .run import open_target

    figures = measure_counted(
        proposer=counted_proposer(proposer, text),
        target=open_target(target, text),
        tokens=text,
        goal=Goal(k=integer("K", k), tau=number("tau", tau), eps=floor(eps)),
        length=check_int("length", integer("length", length), 1, 1 << 20),
    )
    return print_lines([f"{name}={value:.6g}" for name, value in figures.items() if name != "score"])


@app.command(help="Let a target write texts: tokens on which a proposer meets the contexts that it will meet in use.")
def sample(
    target: Annotated[str, typer.Option(help="folder of a trained target")],
    out: Annotated[Path, typer.Option(help=".npz of train, heldout and vocab_size")],
    texts: Annotated[str, typer.Option(metavar=INT, help="how many, at least 2")] = "256",
    length: Annotated[str, typer.Option(metavar=INT, help="tokens of a text")] = "1024",
    heldout: Annotated[str, typer.Option(metavar=NUMBER, help="share of the texts that is held out")] = "0.05",
    seed: Annotated[str, typer.Option(metavar=INT)] = "0",
    threads: ThreadsOption = "1",
) -> int:
    """Sample; returns the exit status."""
    prepare("target", target, None, threads)
    check_destination("out", out)
    from host.targets.transformer import TransformerTarget

    from .samples import sampled_tokens  # torch: only when something is sampled

    drawn = sampled_tokens(
        TransformerTarget.load(Path(target)),
        texts=integer("texts", texts),
        length=integer("length", length),
        heldout=number("heldout", heldout, "a number in [0, 1]"),
        seed=integer("seed", seed),
    )
    with whole_file(out) as file:
        np.savez(file, train=drawn.train, heldout=drawn.heldout, vocab_size=drawn.vocab_size)
    return print_lines([f"tokens_path={out}", f"train={len(drawn.train)}", f"heldout={len(drawn.heldout)}"])


app.command(help="Train a head on the states of a language model, along texts that the model writes itself.")(head)


def main(arguments: list[str] | None = None) -> int:
    """Parse, train, and turn every expected error into one line on standard error and an exit status.

    Parameters
    ----------
    arguments : list of str or None
        Command line without the program name; None takes `sys.argv`.
    """
    try:
        status: int = app(arguments, prog_name="python -m host.train", standalone_mode=False)
    except typer.TyperException as error:
        return _refuse(f"{error.format_message()} (--help shows all options)", REFUSED)
    except (SpecError, TargetError, TextError, OutputError) as error:
        return _refuse(str(error), REFUSED)
    except FloatingPointError as error:
        return _refuse(str(error), ASTRAY)
    except MemoryError:
        return _refuse("out of memory: a smaller batch, or a smaller vocabulary, is needed", REFUSED)
    if status == INTERRUPTED:  # typer's answer to SIGINT
        return _refuse("interrupted; --resume goes on from the last checkpoint, if there is one", INTERRUPTED)
    return status or DONE


def _refuse(message: str, status: int) -> int:
    print("error: " + " ".join(message.split()), file=sys.stderr)
    return status
