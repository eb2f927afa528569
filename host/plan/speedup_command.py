# SPDX-License-Identifier: Apache-2.0
"""`python -m host.plan speedup`: modelled speed-up of trees and chains, and what it assumes."""

from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Annotated

import typer

from host.psi import wire
from host.runs import command as shared
from host.runs.command import NUMBER, number
from hw.spec.errors import SpecError

from . import options as given
from .acceptance import psi_and_law
from .cost import CallCost, CostModel, PricedTree, fastest, price_trees

Priced = tuple[int, CostModel, PricedTree]
"""A tree with its K and what that K costs."""


def speedup(
    target_ms: Annotated[str, typer.Option(metavar=NUMBER, help="one target pass over one position")] = "20",
    node_ms: Annotated[str, typer.Option(metavar=NUMBER, help="each further position of that pass")] = "0.05",
    baud: given.Baud = None,
    bytes_per_s: given.BytesPerS = None,
    latency_ms: Annotated[str, typer.Option(metavar=NUMBER, help="of the link, once a level")] = "0.1",
    psi_bytes: Annotated[
        str | None, typer.Option(metavar=NUMBER, help="bytes of a psi on the link [default: those of the wire format]")
    ] = None,
    draw_bytes: given.DrawBytes = "10",
    draws_per_s: given.DrawsPerS = f"{given.DRAW_RATE:g}",
    proposer_ms: Annotated[str, typer.Option(metavar=NUMBER, help="proposals of one level")] = "0.5",
    verifier_ms: Annotated[str, typer.Option(metavar=NUMBER, help="verification of one call")] = "0.1",
    nodes: given.Nodes = "4,8,16,32,64",
    depths: Annotated[str, typer.Option(metavar=given.INTS, help="depth limits, with commas")] = "1,2,3,4,5,6,7,8",
    rule: given.Rule = "race",
    acceptances: given.Acceptances = None,
    pgen: given.Pgen = "dirichlet",
    vocab: given.Vocab = None,
    alpha: given.Alpha = "1.0",
    target: given.Target = None,
    k: Annotated[
        str, typer.Option("--K", metavar=given.INTS, help="top-K ids in psi, with commas: the fastest is best")
    ] = "64",
    drafts: given.Drafts = "auto",
    contexts: given.Contexts = "1",
    seed: given.Seed = "0",
) -> int:
    """Price and show; returns the exit status."""
    cost = CostModel(
        target_ms=number("target_ms", target_ms),
        node_ms=number("node_ms", node_ms),
        bytes_per_s=given.link_rate(baud, bytes_per_s),
        latency_ms=number("latency_ms", latency_ms),
        psi_bytes=0.0 if psi_bytes is None else number("psi_bytes", psi_bytes),
        draw_bytes=number("draw_bytes", draw_bytes),
        draws_per_s=number("draws_per_s", draws_per_s),
        proposer_ms=number("proposer_ms", proposer_ms),
        verifier_ms=number("verifier_ms", verifier_ms),
    )
    budgets, limits = given.integers("nodes", nodes), given.integers("depths", depths)
    sizes = given.integers("K", k)
    if acceptances is not None and (psi_bytes is None or len(sizes) > 1):
        raise SpecError(
            "acceptances", acceptances, "given together with psi_bytes and one K, of which they say nothing"
        )
    priced: list[Priced] = []
    for size in sizes:
        found = given.source(
            rule=rule, acceptances=acceptances, drafts=drafts, k=size,
            targets=lambda: given.targets_from(pgen, vocab, alpha, seed, contexts, target),
        )  # fmt: skip
        own = cost if psi_bytes is not None else replace(cost, psi_bytes=_mean_bytes(found, size))
        trees = price_trees(tables=found.tables, cost=own, budgets=budgets, depths=limits)
        priced += [(size, own, tree) for tree in trees]
    best = _fastest(priced)
    chain = _fastest([row for row in priced if row[2].plan.shape.is_chain])
    lines = [*_table(priced), "", *best[1].lines(), f"rule={rule}"]
    shared.print_lines([*lines, *_best("chain", chain), *_best("best", best)])
    return shared.SOUND


def _fastest(priced: Sequence[Priced]) -> Priced:
    """The row with the fastest tree."""
    best = fastest([tree for _, _, tree in priced])
    return next(row for row in priced if row[2] is best)


def _mean_bytes(found: given.Source, k: int) -> float:
    """Bytes of the psi of the targets; for how many drafts the tail is made changes a field, not its size."""
    targets = () if found.targets is None else found.targets
    sizes = [wire.psi_bytes(psi_and_law(p, k=k, drafts=1)[0]) for p in targets]
    return sum(sizes) / len(sizes)


def _table(priced: Sequence[Priced]) -> list[str]:
    """A row for each tree, by K, depth and drafts."""
    times = [field.name for field in fields(CallCost)]
    rows = []
    for k, _, tree in sorted(priced, key=lambda row: (row[0], row[2].plan.shape.depth, row[2].plan.shape.nodes)):
        shape = tree.plan.shape
        cells = [f"{getattr(tree.call, name):.3f}" for name in (*times, "total_ms")]
        kind = "chain" if shape.is_chain else "tree"
        tokens = f"{tree.plan.tokens_per_call:.3f}"
        rows.append([str(k), kind, str(shape.depth), str(shape.nodes), tokens, *cells, f"{tree.speedup:.3f}"])
    return given.columns_of(["K", "shape", "depth", "drafts", "tokens", *times, "total_ms", "speedup"], rows)


def _best(name: str, row: Priced) -> list[str]:
    k, _, tree = row
    shape = tree.plan.shape
    return [
        f"{name}_speedup={tree.speedup:.4f}",
        f"{name}_K={k}",
        f"{name}_tokens_per_call={tree.plan.tokens_per_call:.4f}",
        f"{name}_drafts={shape.nodes}",
        f"{name}_depth={shape.depth}",
        f"{name}_children={','.join(map(str, shape.children))}",
    ]
