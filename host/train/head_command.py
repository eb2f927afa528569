# SPDX-License-Identifier: Apache-2.0
"""The sub-command `head` of `python -m host.train`."""

from typing import Annotated

import typer

from host.models.config import HeadConfig
from host.runs.command import INT, NUMBER, Eps, Tau, floor, integer, number
from host.targets.language_model import DTYPE_NAMES, SMOLLM2, find_model
from hw.spec.errors import SpecError

from .options import OutOption, PlotOption, ResumeOption, prepare, progress_bar, setting, settings_from, show
from .recipes import HEAD, KL_SHARE

BEGINS = {SMOLLM2: ("<|endoftext|>", "<|im_start|>user\n")}
"""How texts begin, by the name of the model: a document, and a conversation."""

_HEAD = {"head": HEAD}
_SIZES = HeadConfig(vocab_size=1 << 20, width=1 << 10)


def head(
    out: OutOption,
    target: Annotated[str, typer.Option(help=f"language model: {SMOLLM2}, or the folder of a Llama")] = SMOLLM2,
    rounds: Annotated[str, typer.Option(metavar=INT, help="rounds of texts to learn from")] = "10",
    texts: Annotated[str, typer.Option(metavar=INT, help="texts of a round, side by side")] = "128",
    length: Annotated[str, typer.Option(metavar=INT, help="tokens of a text")] = "256",
    temperatures: Annotated[
        str, typer.Option(metavar="<numbers>", help="temperatures that the texts are drawn at, in turn")
    ] = "1.0,0.7",
    begin: Annotated[
        list[str] | None, typer.Option(help=f"how texts begin, in turn [default: a document and a chat of {SMOLLM2}]")
    ] = None,
    dtype: Annotated[str, typer.Option(help="numbers of the language model: " + ", ".join(DTYPE_NAMES))] = "bfloat16",
    alone: Annotated[
        str, typer.Option(metavar=INT, help="first layers of the model that a token alone goes through")
    ] = str(_SIZES.alone),
    middle: Annotated[
        str | None,
        typer.Option(
            metavar=INT,
            help="layers behind which the head looks at the token before [default: two thirds of the model's]",
        ),
    ] = None,
    inner: Annotated[str, typer.Option(metavar=INT, help="width of the head's gated layer")] = str(_SIZES.inner),
    kept: Annotated[str, typer.Option(metavar=INT, help="tokens that it can propose, the most frequent ones")] = str(
        _SIZES.kept
    ),
    rank: Annotated[str, typer.Option(metavar=INT, help="numbers by which tokens are shortlisted")] = str(_SIZES.rank),
    objective: Annotated[
        str, typer.Option(help="kl, tv, nla, lk, or one after another: kl-tv, kl-nla, kl-lk")
    ] = "kl-nla",
    kl_share: Annotated[
        str, typer.Option(metavar=NUMBER, help="share of the steps that minimise KL first")
    ] = f"{KL_SHARE['head']:g}",
    drafts: Annotated[
        str, typer.Option(metavar=INT, help="drafts of a position whose acceptance counts in tv, nla and lk")
    ] = "1",
    k: Annotated[str, typer.Option("--K", metavar=INT, help="top-K ids in psi")] = "64",
    tau: Tau = "1.0",
    eps: Eps = "auto",
    steps: Annotated[str | None, setting("steps", "updates", INT, _HEAD)] = None,
    batch: Annotated[str | None, setting("batch", "texts per update", INT, _HEAD)] = None,
    rate: Annotated[str | None, setting("rate", "largest learning rate", NUMBER, _HEAD)] = None,
    every: Annotated[str | None, setting("every", "updates between checkpoints", INT, _HEAD)] = None,
    patience: Annotated[str | None, setting("patience", "measurements without gain, 0: all", INT, _HEAD)] = None,
    seed: Annotated[str, typer.Option(metavar=INT)] = "0",
    resume: ResumeOption = False,
    plot: PlotOption = None,
    threads: Annotated[str, typer.Option(metavar=INT, help="processor threads")] = "2",
) -> int:
    """Write texts, train a head on them, show its figures; returns the exit status."""
    settings = settings_from(HEAD, seed, steps=steps, batch=batch, rate=rate, every=every, patience=patience)
    begins = tuple(begin) if begin else BEGINS.get(target)
    if begins is None:
        raise SpecError("begin", None, f"how texts begin, for another target than {SMOLLM2}")
    prepare("target", target, plot, threads)
    from .goal import Goal  # torch: only when something is trained
    from .head_run import HeadRun, TextPlan

    plan = TextPlan(
        rounds=integer("rounds", rounds),
        texts=integer("texts", texts),
        length=integer("length", length),
        temperatures=tuple(number("temperatures", part) for part in temperatures.split(",")),
        begins=begins,
        dtype=dtype,
        seed=settings.seed,
    )
    goal = Goal(
        objective=objective,
        kl_share=number("kl_share", kl_share, "a number in [0, 1]"),
        k=integer("K", k),
        tau=number("tau", tau),
        eps=floor(eps),
        drafts=integer("drafts", drafts),
    )
    sizes = {
        "alone": integer("alone", alone),
        **({} if middle is None else {"middle": integer("middle", middle)}),
        "inner": integer("inner", inner),
        "kept": integer("kept", kept),
        "rank": integer("rank", rank),
    }
    run = HeadRun(found=find_model(target), plan=plan, sizes=sizes, goal=goal, folder=out, resume=resume)
    with progress_bar(plan.rounds + 1) as shown:
        written = run.write(None if shown is None else lambda rounds: shown(rounds, {}))
    with progress_bar(settings.steps) as progress:
        run.train(written, settings=settings, progress=progress)
    return show(out, plot)
