# SPDX-License-Identifier: Apache-2.0
"""Tokens per cycle of blocks that a TSU drafts by itself: `python -m host.bench_blocks`.

A random psi for each context, all over as many tokens as there are contexts. One line for each number of streams and
each length: clock cycles of the call, its command included, and CPU time beside that of one command for each token.
"""

import sys
import time
from itertools import product
from typing import Annotated

import numpy as np
import typer

from hw.spec.config import CONTEXTS_LIMIT, TsuConfig, ceil_log2
from hw.spec.errors import SpecError, check_int, check_power_of_two

from .bench import bench_psi
from .psi.schema import Psi
from .runs import command as shared
from .runs.command import INT, integer, print_lines
from .tsu.base import BlockTsu, TsuError, block_tsu
from .tsu.registry import BACKENDS, open_tsu

OFFERED = tuple(name for name, entry in BACKENDS.items() if entry.generator is None and not entry.has_port)
"""Backends that draft blocks."""

STREAMS = (16, 32, 64)
LENGTHS = (4, 8, 512)

SINGLE_TOKENS = 256
"""Tokens that are drawn with a command each, for comparison."""


app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)

HELP = """Print tokens per cycle and lane of blocks that a TSU drafts by itself, by streams and length.

\b
Examples
  python -m host.bench_blocks
  python -m host.bench_blocks --backend model --lanes 4
  python -m host.bench_blocks --stages 3
"""


def bench_config(*, contexts: int, k: int, lanes: int, stages: int) -> TsuConfig:
    """The TSU that is measured: 64 streams a lane.

    Raises
    ------
    SpecError
        An option is not legal.
    """
    check_power_of_two("contexts", contexts, 4, CONTEXTS_LIMIT)
    check_int("K", k, 2, contexts - 1)
    check_power_of_two("lanes", lanes, 1, 8)
    k_max = 1 << ceil_log2(k)
    return TsuConfig(k_max=k_max, lanes=lanes, level_stages=stages, contexts=contexts, streams=max(STREAMS) * lanes)


def measure(tsu: BlockTsu, *, streams: int, length: int) -> tuple[int, float]:
    """Clock cycles and CPU seconds of one block."""
    starts = np.arange(streams) % tsu.config.contexts
    cycles, began = tsu.cycles, time.process_time()
    drawn = tsu.blocks(starts, length)
    if int(drawn.lengths.sum()) != streams * length:
        raise TsuError("a stream ended early, though every token is a context")
    return tsu.cycles - cycles, time.process_time() - began


def single_rate(tsu: BlockTsu, rows: list[Psi]) -> float:
    """Tokens per CPU second where the host sends the psi of every token; `rows` has that of each context."""
    token, began = 0, time.process_time()
    for _ in range(SINGLE_TOKENS):
        token = int(tsu.sample(rows[token], 1).tokens[0])
    return SINGLE_TOKENS / (time.process_time() - began)


@app.command(help=HELP)
def command(
    backend: Annotated[str, typer.Option(help="TSU: " + ", ".join(OFFERED))] = "rtl",
    contexts: Annotated[str, typer.Option(metavar=INT, help="slots of the psi bank, a power of two")] = "256",
    k: Annotated[str, typer.Option("--K", metavar=INT, help="top-K ids of each psi, below contexts")] = "64",
    lanes: Annotated[str, typer.Option(metavar=INT, help="parallel samplers, a power of two up to 8")] = "1",
    stages: Annotated[str, typer.Option(metavar=INT, help="registers per tree level: 1, or 3 as in an FPGA")] = "1",
    seed: Annotated[str, typer.Option(metavar=INT, help="seed of psi and noise")] = "1",
) -> int:
    """Measure and print; returns the exit status."""
    if backend not in OFFERED:
        raise SpecError("backend", backend, "one of " + ", ".join(OFFERED))
    size, ids, first = integer("contexts", contexts), integer("K", k), integer("seed", seed)
    config = bench_config(contexts=size, k=ids, lanes=integer("lanes", lanes), stages=integer("stages", stages))
    with open_tsu(backend=backend, config=config, seed=first) as opened:
        tsu = block_tsu(opened)
        rows = [bench_psi(k=ids, vocab_size=size, seed=first + i) for i in range(size)]
        tsu.load_bank(rows)
        print_lines([f"{'streams':>8}{'length':>8}{'cycles':>9}{'tokens/cycle/lane':>19}{'M tokens/s':>12}"])
        for streams, length in product(STREAMS, LENGTHS):
            cycles, seconds = measure(tsu, streams=streams * config.lanes, length=length)
            tokens = streams * config.lanes * length
            rate = f"{tokens / cycles / config.lanes:.3f}" if cycles else "-"
            print_lines([f"{streams:8}{length:8}{cycles:9}{rate:>19}{tokens / seconds / 1e6:12.3g}"])
        print_lines([f"one command for each token: {single_rate(tsu, rows) / 1e6:.3g} M tokens/s"])
    return 0


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit status. See `host.runs.command.main`."""
    return shared.main(app, "host.bench_blocks", arguments)


if __name__ == "__main__":
    sys.exit(main())
