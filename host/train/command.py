# SPDX-License-Identifier: Apache-2.0
"""The sub-commands of `python -m host.train`: parse, call host.train.run, show."""

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from host.models.config import GruConfig, LowRankConfig, TransformerConfig
from host.models.extra import check_train_extra
from host.report.figure import check_plot
from host.telemetry.files import OutputError, check_destination, whole_file
from hw.spec.errors import SpecError, check_int

from .data import load_tokens
from .log import read_rows
from .recipes import GRU, KL_SHARE, LOW_RANK, TARGET
from .settings import TrainSettings

DONE, ASTRAY, REFUSED, INTERRUPTED = 0, 1, 2, 130
"""Exit statuses."""

INT, NUMBER = "<int>", "<number>"
"""Shown by --help. Numbers are parsed here, because typer's message would leave out the value."""

PROPOSERS = ("gru", "low-rank")
"""Kinds of proposers, by the name on the command line."""

HELP = """Train a target, or a proposer that drafts for it.

Writes a model, its learning log (log.jsonl) and a checkpoint to --out; --resume goes on from there, to the same bits.

\b
Examples
  python -m host.train target --tokens text.npz --out runs/target
  python -m host.train proposer --tokens text.npz --target runs/target --out runs/gru --objective kl-tv --plot gru.png
  python -m host.train sample --target runs/target --out samples.npz
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
OutOption = Annotated[Path, typer.Option(help="folder of the model, made if need be")]
ResumeOption = Annotated[bool, typer.Option("--resume", help="go on from the checkpoint in --out")]
PlotOption = Annotated[Path | None, typer.Option(help="draw the learning curve into this .png")]
ThreadsOption = Annotated[str, typer.Option(metavar=INT, help="processor threads; one is fastest on a shared machine")]


def _setting(name: str, what: str, metavar: str, recipes: Mapping[str, TrainSettings]) -> Any:
    defaults = {kind: f"{getattr(recipe, name):g}" for kind, recipe in recipes.items()}
    shown = ", ".join(f"{value} ({kind})" if len(defaults) > 1 else value for kind, value in defaults.items())
    return typer.Option(metavar=metavar, help=f"{what} [default: {shown}]")


_TARGETS = {"transformer": TARGET}
_PROPOSERS = {"gru": GRU, "low-rank": LOW_RANK}
_SHARES = f"[default: {', '.join(f'{share:g} ({kind})' for kind, share in KL_SHARE.items())}]"


@app.command(help="Train a small causal transformer on a text.")
def target(
    tokens: TokensOption,
    out: OutOption,
    width: Annotated[str, typer.Option(metavar=INT, help="length of a position's vector")] = "120",
    layers: Annotated[str, typer.Option(metavar=INT)] = "4",
    heads: Annotated[str, typer.Option(metavar=INT, help="attention heads of a layer")] = "4",
    span: Annotated[str, typer.Option(metavar=INT, help="positions that a head sees")] = "32",
    steps: Annotated[str | None, _setting("steps", "updates", INT, _TARGETS)] = None,
    batch: Annotated[str | None, _setting("batch", "pieces of text per update", INT, _TARGETS)] = None,
    length: Annotated[str | None, _setting("length", "tokens of a piece", INT, _TARGETS)] = None,
    rate: Annotated[str | None, _setting("rate", "largest learning rate", NUMBER, _TARGETS)] = None,
    every: Annotated[str | None, _setting("every", "updates between checkpoints", INT, _TARGETS)] = None,
    patience: Annotated[str | None, _setting("patience", "measurements without gain, 0: all", INT, _TARGETS)] = None,
    seed: Annotated[str, typer.Option(metavar=INT)] = "0",
    resume: ResumeOption = False,
    plot: PlotOption = None,
    threads: ThreadsOption = "1",
) -> int:
    """Train a transformer; returns the exit status."""
    settings = _settings(
        TARGET, seed, steps=steps, batch=batch, length=length, rate=rate, every=every, patience=patience
    )
    _prepare("tokens", str(tokens), plot, threads)
    text = load_tokens(tokens)
    config = TransformerConfig(
        vocab_size=text.vocab_size,
        width=_integer("width", width),
        layers=_integer("layers", layers),
        heads=_integer("heads", heads),
        span=_integer("span", span),
    )
    from .run import train_target  # torch: only when something is trained

    with progress_bar(settings.steps) as progress:
        train_target(config=config, tokens=text, settings=settings, folder=out, resume=resume, progress=progress)
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
    steps: Annotated[str | None, _setting("steps", "updates", INT, _PROPOSERS)] = None,
    batch: Annotated[str | None, _setting("batch", "pieces of text per update", INT, {"gru": GRU})] = None,
    length: Annotated[str | None, _setting("length", "tokens of a piece", INT, {"gru": GRU})] = None,
    rate: Annotated[str | None, _setting("rate", "largest learning rate", NUMBER, _PROPOSERS)] = None,
    every: Annotated[str | None, _setting("every", "updates between checkpoints", INT, _PROPOSERS)] = None,
    patience: Annotated[
        str | None, _setting("patience", "measurements without gain, 0: all", INT, {"gru": GRU})
    ] = None,
    seed: Annotated[str, typer.Option(metavar=INT)] = "0",
    resume: ResumeOption = False,
    plot: PlotOption = None,
    threads: ThreadsOption = "1",
) -> int:
    """Train a proposer; returns the exit status."""
    if proposer not in PROPOSERS:
        raise SpecError("proposer", proposer, "one of " + ", ".join(PROPOSERS))
    recipe = _PROPOSERS[proposer]
    settings = _settings(
        recipe, seed, steps=steps, batch=batch, length=length, rate=rate, every=every, patience=patience
    )
    _prepare("tokens", str(tokens), plot, threads)
    text = load_tokens(tokens)
    config: GruConfig | LowRankConfig
    if proposer == "gru":
        sizes = {"embed": _integer("embed", embed), "hidden": _integer("hidden", hidden)}
        config = GruConfig(vocab_size=text.vocab_size, **sizes)
    else:
        config = LowRankConfig(vocab_size=text.vocab_size, rank=_integer("rank", rank))
    from .goal import Goal  # torch: only when something is trained
    from .run import open_target, train_proposer

    goal = Goal(
        objective=objective,
        kl_share=KL_SHARE[proposer] if kl_share is None else _number("kl_share", kl_share, "a number in [0, 1]"),
        k=_integer("K", k),
        tau=_number("tau", tau, "a finite number > 0"),
        eps=eps if eps == "auto" else _number("eps", eps, "auto, or a finite number >= 0"),
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
            resume=resume,
            progress=progress,
        )
    return show(out, plot)


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
    _prepare("target", target, None, threads)
    check_destination("out", out)
    from host.targets.transformer import TransformerTarget

    from .samples import sampled_tokens  # torch: only when something is sampled

    drawn = sampled_tokens(
        TransformerTarget.load(Path(target)),
        texts=_integer("texts", texts),
        length=_integer("length", length),
        heldout=_number("heldout", heldout, "a number in [0, 1]"),
        seed=_integer("seed", seed),
    )
    with whole_file(out) as file:
        np.savez(file, train=drawn.train, heldout=drawn.heldout, vocab_size=drawn.vocab_size)
    return _print([f"tokens_path={out}", f"train={len(drawn.train)}", f"heldout={len(drawn.heldout)}"])


def _settings(recipe: TrainSettings, seed: str, **given: str | None) -> TrainSettings:
    """The recipe with what the command line says otherwise."""
    changes: dict[str, Any] = {"seed": _integer("seed", seed)}
    for name, value in given.items():
        if value is not None:
            changes[name] = _number(name, value, "a finite number > 0") if name == "rate" else _integer(name, value)
    return replace(recipe, **changes)


def _prepare(field: str, value: str, plot: Path | None, threads: str) -> None:
    """Check what can be checked beforehand, and set the threads; `field` and `value` name what needs torch."""
    check_train_extra(field, value)
    count = check_int("threads", _integer("threads", threads), 1, 1024)
    if plot is not None:
        check_plot(check_destination("plot", plot))
    import torch

    torch.set_num_threads(count)


def _integer(field: str, text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise SpecError(field, text, "an integer") from None


def _number(field: str, text: str, legal: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise SpecError(field, text, legal) from None


@contextmanager
def progress_bar(steps: int) -> Iterator[Callable[[int, Mapping[str, float]], None] | None]:
    """A bar on standard error where that is a terminal, else nothing."""
    if not sys.stderr.isatty():
        yield None
        return
    columns = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), TextColumn("{task.fields[shown]}"))
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("steps", total=steps, shown="")

        def report(done: int, figures: Mapping[str, float]) -> None:
            shown = " ".join(f"{name} {value:.4f}" for name, value in figures.items() if name != "score")
            bar.update(task, completed=done)
            if shown:
                bar.update(task, shown=shown)

        yield report


def show(folder: Path, plot: Path | None) -> int:
    """Print the row of the best model, and draw the curve; returns the exit status.

    Raises
    ------
    OutputError
        A result cannot be written.
    """
    rows = read_rows(folder)
    best = max(rows, key=lambda row: row["score"])
    if plot is not None:
        from host.report.learning_curve import plot_learning

        plot_learning(plot, rows)
    lines = [f"model_path={folder}", f"steps={rows[-1]['step']}", f"best_step={best['step']}"]
    lines += [f"{name}={best[name]:.6g}" for name in best if name not in ("step", "score", "rate", "cpu_s")]
    lines.append(f"cpu_s={rows[-1]['cpu_s']:.1f}")
    return _print(lines)


def _print(lines: list[str]) -> int:
    """Show the results; returns the exit status."""
    try:
        print("\n".join(lines), flush=True)
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or the interpreter fails again at its end
        raise OutputError(f"standard output cannot be written: {error.strerror}") from None
    return DONE


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
    except (SpecError, OutputError) as error:
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
