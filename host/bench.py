# SPDX-License-Identifier: Apache-2.0
"""Draws per second of the backends, beside NumPy: `python -m host.bench`.

Every contender draws tokens of the same psi. The rounds alternate between them, so that a machine that slows down slows
all of them; the table shows medians over rounds of draws per second of CPU time (of one core; all contenders have one
thread), and ratios to `Generator.choice`, which carry over to other machines. The last column is CPU time of one draw
from a psi that the TSU has not seen, with a scale of its own and so with a new weight table. Backend thrml stands
beside the library by itself; lines below the table compare it with the fastest of the library's blocks.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import count, islice
from statistics import median
from typing import Annotated

import numpy as np
import numpy.typing as npt
import typer
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from hw.spec.config import TsuConfig
from hw.spec.errors import SpecError, check_int

from .psi.schema import Psi
from .tsu.base import Tsu, TsuError
from .tsu.registry import BACKENDS, open_tsu

Draw = Callable[[int], object]
"""Draws n tokens."""

PARTS = {"draws": 50_000, "verify": 32_768}
"""What can be measured, and the V of it."""

SHAPES = ((64, 1), (64, 8), (256, 1), (256, 8))
"""Pairs (K, lanes) of the backends; the NumPy samplers take the first K of each."""

MEASURED = tuple(name for name, entry in BACKENDS.items() if not entry.has_port)
"""Backends that are measured here; the rate of a board is that of its line, and costs no CPU time."""

TAIL_SHARE = 0.25
"""Probability of the tail in the psi that is drawn from."""

CALL_DRAWS = 1 << 18
"""Most draws of one call: small enough for the allocator to hand out the same memory again."""

NEW_PSI = 16
"""New psi of one round."""

THRML_STEP = 8192
"""Draws of a batch of thrml are a multiple of it, so that no block is left over for the next batch."""

LIBRARY = "thrml alone"
"""How the names of the library's own blocks begin."""

_WARM_UP_DRAWS = 4096
_TRIAL_SECONDS = 0.02


@dataclass(kw_only=True)
class Contender:
    """One sampler under test.

    Parameters
    ----------
    name : str
    k, lanes : int
        Of the psi and of the TSU; 0 lanes for a sampler in NumPy.
    draw : callable
        `draw(n)` draws n tokens.
    step : int
        Draws of a batch are a multiple of it.
    batch : int
        Draws of one round, set by `calibrate`.
    rates : list of float
        Draws per second of CPU time, one for each round.
    new_psi : iterator of Psi, or None
        Psi that the TSU has not seen, for `draw_new`.
    draw_new : callable or None
        Draws one token of a psi.
    new_psi_s : list of float
        CPU seconds of one draw from a new psi, one for each round.
    """

    name: str
    k: int
    lanes: int
    draw: Draw
    step: int = 1
    batch: int = 1
    rates: list[float] = field(default_factory=list)
    new_psi: Iterator[Psi] | None = None
    draw_new: Callable[[Psi], object] | None = None
    new_psi_s: list[float] = field(default_factory=list)

    def calibrate(self, seconds: float) -> None:
        """Find the batch that takes about `seconds`."""
        self.batch = self.step
        while (spent := self.run()) < min(seconds, _TRIAL_SECONDS):
            self.batch *= 4
        self.batch = self.step * max(1, round(self.batch * seconds / spent / self.step))

    def run(self) -> float:
        """CPU seconds of one batch."""
        start = time.process_time()
        for first in range(0, self.batch, CALL_DRAWS):
            self.draw(min(CALL_DRAWS, self.batch - first))
        return time.process_time() - start

    def run_new(self) -> None:
        """Note the time that a new psi takes, where there are any."""
        if self.new_psi is None or self.draw_new is None:
            return
        made = list(islice(self.new_psi, NEW_PSI))
        start = time.process_time()
        for psi in made:
            self.draw_new(psi)
        self.new_psi_s.append((time.process_time() - start) / NEW_PSI)


def bench_psi(*, k: int, vocab_size: int, seed: int, span: float = 15.0) -> Psi:
    """A psi with random ids, scores over `span` nats, and a tail of probability `TAIL_SHARE`."""
    rng = np.random.default_rng(seed)
    ids = np.sort(rng.choice(vocab_size, k, replace=False)).astype(np.uint32)
    scores_q = rng.integers(-127, 128, k).astype(np.int8)
    scale = span / 255
    head = np.exp(scale * (scores_q - float(scores_q.max()))).sum()
    tail = TAIL_SHARE / (1 - TAIL_SHARE) * head
    return Psi(ids=ids, scores_q=scores_q, scale=scale, zero_point=0, tau=1.0, tail=float(tail), vocab_size=vocab_size)


def real_law(psi: Psi) -> npt.NDArray[np.float64]:
    """F(psi) as probabilities of the V tokens, for the NumPy samplers; float64 of shape (V,)."""
    head = np.exp((psi.scores - psi.scores.max()) / psi.tau)
    law = np.full(psi.vocab_size, psi.tail / psi.spread)
    law[psi.ids] = head
    law /= law.sum()
    return law


def _choice(law: npt.NDArray[np.float64], rng: np.random.Generator) -> Draw:
    return lambda n: rng.choice(len(law), size=n, p=law)


def _per_draw(law: npt.NDArray[np.float64], rng: np.random.Generator) -> Draw:
    """One draw at a time, each with a running sum over all V probabilities."""

    def draw(n: int) -> list[int]:
        return [int(np.searchsorted(np.cumsum(law), rng.random(), side="right")) for _ in range(n)]

    return draw


def _tsu_contender(tsu: Tsu, *, name: str, k: int, lanes: int, vocab_size: int, seed: int) -> Contender:
    """A backend, with everything built and compiled."""
    psi = bench_psi(k=k, vocab_size=vocab_size, seed=seed)
    tsu.sample(psi, _WARM_UP_DRAWS)
    new = (bench_psi(k=k, vocab_size=vocab_size, seed=seed, span=14 + i / 4096) for i in count())
    return Contender(
        name=name, k=k, lanes=lanes, draw=lambda n: tsu.sample(psi, n), step=1 if lanes else THRML_STEP, new_psi=new,
        draw_new=lambda psi: tsu.sample(psi, 1),
    )  # fmt: skip


def _library_contenders(*, k: int, vocab_size: int, seed: int) -> list[Contender]:
    """The library by itself, in blocks of several sizes, everything compiled."""
    from .bench_thrml import BLOCKS, library_draw

    psi, found = bench_psi(k=k, vocab_size=vocab_size, seed=seed), []
    for batch in BLOCKS:
        draw = library_draw(psi, batch=batch, seed=seed)
        draw(1)
        found.append(Contender(name=f"{LIBRARY}, {batch}", k=k, lanes=0, draw=draw, step=THRML_STEP))
    return found


def contenders(
    *, backends: list[str], vocab_size: int, seed: int, stack: ExitStack, console: Console
) -> list[Contender]:
    """Every sampler, opened on `stack`. A backend that cannot be opened is left out, with one line that says why."""
    found = []
    for backend in backends:
        gateware = BACKENDS[backend].generator is None
        for k, lanes in SHAPES:
            if lanes > 1 and not gateware:
                continue
            config = TsuConfig(k_max=k, lanes=lanes)
            try:
                tsu = stack.enter_context(open_tsu(backend=backend, config=config, seed=seed))
            except TsuError as error:
                console.print(f"{backend} is left out: {error}", soft_wrap=True)
                break
            shown = lanes if gateware else 0
            found.append(_tsu_contender(tsu, name=backend, k=k, lanes=shown, vocab_size=vocab_size, seed=seed))
            if backend == "thrml":
                found += _library_contenders(k=k, vocab_size=vocab_size, seed=seed)
    rng = np.random.Generator(np.random.PCG64(seed))
    for k in sorted({k for k, _ in SHAPES}):
        law = real_law(bench_psi(k=k, vocab_size=vocab_size, seed=seed))
        found.append(Contender(name="Generator.choice", k=k, lanes=0, draw=_choice(law, rng)))
        found.append(Contender(name="O(V) per draw", k=k, lanes=0, draw=_per_draw(law, rng)))
    return found


def measure(samplers: list[Contender], *, rounds: int, seconds: float) -> None:
    """Fill `rates`: one batch of about `seconds` (CPU time) of every sampler in each round."""
    for sampler in samplers:
        sampler.calibrate(seconds)
    for _ in range(rounds):
        for sampler in samplers:
            sampler.rates.append(sampler.batch / sampler.run())
            sampler.run_new()


def render(samplers: list[Contender], *, vocab_size: int) -> Table:
    """Medians in millions of draws per second, and ratios to `Generator.choice` of the same K."""
    reference = {sampler.k: median(sampler.rates) for sampler in samplers if sampler.name == "Generator.choice"}
    title = f"million draws per second of CPU time on one core, V = {vocab_size}, tail {TAIL_SHARE:.0%}"
    table = Table(title=title, box=SIMPLE, pad_edge=False, collapse_padding=True)
    for heading in ("sampler", "K", "lanes", "M/s", "min..max", "x choice", "ms/psi"):
        table.add_column(heading, justify="left" if heading == "sampler" else "right", no_wrap=True)
    for sampler in samplers:
        rate = median(sampler.rates)
        table.add_row(
            sampler.name,
            str(sampler.k),
            str(sampler.lanes) if sampler.lanes else "-",
            f"{rate / 1e6:.3g}",
            f"{min(sampler.rates) / 1e6:.3g}..{max(sampler.rates) / 1e6:.3g}",
            f"{rate / reference[sampler.k]:.3g}",
            f"{1e3 * median(sampler.new_psi_s):.3g}" if sampler.new_psi_s else "-",
        )
    return table


def library_lines(samplers: list[Contender]) -> list[str]:
    """For each K, the backend's rate over that of the library's fastest blocks: median and range over the rounds."""
    lines = []
    for backend in (sampler for sampler in samplers if sampler.name == "thrml"):
        alone = [sampler for sampler in samplers if sampler.k == backend.k and sampler.name.startswith(LIBRARY)]
        best = max(alone, key=lambda sampler: median(sampler.rates))
        ratios = [own / other for own, other in zip(backend.rates, best.rates, strict=True)]
        span = f"({min(ratios):.3g}..{max(ratios):.3g})"
        lines.append(f"thrml, K = {backend.k}: {median(ratios):.3g} x {best.name} {span}")
    return lines


def main(
    part: Annotated[str, typer.Option(help="What is measured: " + ", ".join(PARTS) + ".")] = "draws",
    vocab: Annotated[int | None, typer.Option(help="Vocabulary size V; 50000, and of verifiers 32768.")] = None,
    rounds: Annotated[int, typer.Option(help="Alternating rounds: medians of draws, least times of verifiers.")] = 7,
    seconds: Annotated[float, typer.Option(help="CPU time of one sampler in one round.")] = 0.1,
    seed: Annotated[int, typer.Option(help="Seed of psi and noise.")] = 1,
    backend: Annotated[list[str] | None, typer.Option(help="Backends to measure; all by default.")] = None,
) -> None:
    """Print draws per second of every backend, of NumPy's Generator.choice and of a sampler with O(V) work per draw.

    With --part verify: tokens per second of the verifier of one draft, milliseconds per token of those of several
    drafts of a position, microseconds per chain.

    \b
    Examples
      python -m host.bench --backend model --backend rtl
      python -m host.bench --part verify
      python -m host.bench --part verify --vocab 152000 --rounds 3
    """
    console = Console()
    try:
        if part not in PARTS:
            raise SpecError("part", part, "one of " + ", ".join(PARTS))
        vocab = check_int("vocab", PARTS[part] if vocab is None else vocab, 512, TsuConfig().vocab_max)
        check_int("rounds", rounds, 1, 1000)
        check_int("seed", seed, 0, (1 << 64) - 1)
        if not 0.001 <= seconds <= 60:
            raise SpecError("seconds", seconds, "a number in [0.001, 60]")
        if part == "verify":
            from .bench_verify import verify_tables

            for table in verify_tables(vocab_size=vocab, rounds=rounds, seed=seed):
                console.print(table)
            return
        with ExitStack() as stack:
            names = backend or list(MEASURED)
            for name in names:
                if name not in MEASURED:
                    raise SpecError("backend", name, "one of " + ", ".join(MEASURED))
            samplers = contenders(backends=names, vocab_size=vocab, seed=seed, stack=stack, console=console)
            measure(samplers, rounds=rounds, seconds=seconds)
            console.print(render(samplers, vocab_size=vocab))
            for line in library_lines(samplers):
                console.print(line, soft_wrap=True, highlight=False)
    except (SpecError, TsuError) as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(code=2) from error


if __name__ == "__main__":
    typer.run(main)
