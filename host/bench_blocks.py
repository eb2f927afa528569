# SPDX-License-Identifier: Apache-2.0
"""Tokens per cycle of blocks that a TSU drafts by itself: `python -m host.bench_blocks`.

A random psi for each context, all over as many tokens as there are contexts. One line for each number of streams and
each length: clock cycles of the call, its command included, and CPU time beside that of one command for each token.
"""

import time
from typing import Annotated

import numpy as np
import typer

from hw.spec.config import TsuConfig
from hw.spec.errors import SpecError

from .bench import bench_psi
from .runs.command import INT, integer
from .tsu.base import BlockTsu, TsuError, block_tsu
from .tsu.registry import BACKENDS, open_tsu

OFFERED = tuple(name for name, entry in BACKENDS.items() if entry.generator is None and not entry.has_port)
"""Backends that draft blocks."""

STREAMS = (16, 32, 64)
LENGTHS = (4, 8, 512)

SINGLE_TOKENS = 256
"""Tokens that are drawn with a command each, for comparison."""


def bench_config(*, contexts: int, k: int, lanes: int, stages: int) -> TsuConfig:
    """The TSU that is measured: 64 streams a lane. Raises SpecError where an option is not legal."""
    return TsuConfig(k_max=k, lanes=lanes, level_stages=stages, contexts=contexts, streams=max(STREAMS) * lanes)


def measure(tsu: BlockTsu, *, streams: int, length: int) -> tuple[int, float]:
    """Clock cycles and CPU seconds of one block."""
    starts = np.arange(streams) % tsu.config.contexts
    cycles, began = tsu.cycles, time.process_time()
    drawn = tsu.blocks(starts, length)
    if int(drawn.lengths.sum()) != streams * length:
        raise TsuError("a stream ended early, though every token is a context")
    return tsu.cycles - cycles, time.process_time() - began


def single_rate(tsu: BlockTsu, *, k: int, seed: int) -> float:
    """Tokens per CPU second where the host sends the psi of every token."""
    contexts = tsu.config.contexts
    rows = [bench_psi(k=k, vocab_size=contexts, seed=seed + i) for i in range(contexts)]
    token, began = 0, time.process_time()
    for _ in range(SINGLE_TOKENS):
        token = int(tsu.sample(rows[token], 1).tokens[0])
    return SINGLE_TOKENS / (time.process_time() - began)


def main(
    backend: Annotated[str, typer.Option(help="TSU: " + ", ".join(OFFERED))] = "rtl",
    contexts: Annotated[str, typer.Option(metavar=INT, help="slots of the psi bank, a power of two")] = "256",
    k: Annotated[str, typer.Option("--K", metavar=INT, help="top-K ids of each psi, below contexts")] = "64",
    lanes: Annotated[str, typer.Option(metavar=INT, help="parallel samplers, a power of two up to 8")] = "1",
    stages: Annotated[str, typer.Option(metavar=INT, help="registers per tree level: 1, or 3 as in an FPGA")] = "1",
    seed: Annotated[str, typer.Option(metavar=INT, help="seed of psi and noise")] = "1",
) -> None:
    """Print tokens per cycle and lane of blocks, by the number of streams and the length of a block."""
    try:
        if backend not in OFFERED:
            raise SpecError("backend", backend, "one of " + ", ".join(OFFERED))
        size, ids = integer("contexts", contexts), integer("K", k)
        config = bench_config(contexts=size, k=ids, lanes=integer("lanes", lanes), stages=integer("stages", stages))
        if not config.contexts or config.lanes > 8 or ids >= size:
            raise SpecError("contexts, K, lanes", (size, ids, config.lanes), "contexts > K, and at most 8 lanes")
        with open_tsu(backend=backend, config=config, seed=integer("seed", seed)) as opened:
            tsu = block_tsu(opened)
            tsu.load_bank([bench_psi(k=ids, vocab_size=size, seed=integer("seed", seed) + i) for i in range(size)])
            print(f"{'streams':>8}{'length':>8}{'cycles':>9}{'tokens/cycle/lane':>19}{'M tokens/s':>12}")
            for streams in STREAMS:
                for length in LENGTHS:
                    cycles, seconds = measure(tsu, streams=streams * config.lanes, length=length)
                    tokens = streams * config.lanes * length
                    rate = f"{tokens / cycles / config.lanes:.3f}" if cycles else "-"
                    print(f"{streams:8}{length:8}{cycles:9}{rate:>19}{tokens / seconds / 1e6:12.3g}")
            alone = single_rate(tsu, k=ids, seed=integer("seed", seed))
            print(f"one command for each token: {alone / 1e6:.3g} M tokens/s")
    except (SpecError, TsuError) as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(code=2) from error


if __name__ == "__main__":
    typer.run(main)
