# SPDX-License-Identifier: Apache-2.0
"""`python -m host.plan tree`: trees for node budgets and depth limits, their shapes, and a simulation."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
import numpy.typing as npt
import typer

from host.report.figure import check_plot
from host.runs import command as shared
from host.runs.command import INT, integer
from host.targets.categorical import generator
from host.telemetry.files import check_destination, write_json
from hw.spec.errors import SpecError, check_int

from . import options as given
from .acceptance import VERIFIED
from .checks import NODES_MAX
from .merge import distinct_nodes
from .predict import tree_acceptance_rate
from .shape import TreeShape
from .simulate import deviation_bound, simulate_tree
from .tree import TreePlan, deviation_of_shape, plan_trees, tokens_of_shape

ALPHA = 1e-6
"""Chance of each check of a simulation to fail where all is as predicted, at most."""

MERGED_ROUNDS = 2000
"""Trees that are drawn to count distinct drafts, at most."""

NO_LIMIT = "none"
"""Depth limit of a tree that may be as deep as its budget."""


def tree(
    nodes: given.Nodes = "4,8,16,32,64",
    depths: Annotated[
        str, typer.Option(metavar="<ints>", help="most drafts of a path, with commas; none: no limit")
    ] = "2,3,4,8,none",
    rule: given.Rule = "race",
    acceptances: given.Acceptances = None,
    pgen: given.Pgen = "dirichlet",
    vocab: given.Vocab = None,
    alpha: given.Alpha = "1.0",
    target: given.Target = None,
    k: given.TopK = "64",
    drafts: given.Drafts = "auto",
    contexts: given.Contexts = "1",
    seed: given.Seed = "0",
    simulate: Annotated[
        str, typer.Option(metavar=INT, help="target calls to simulate with each tree of the last depth limit")
    ] = "0",
    json: Annotated[Path | None, typer.Option(help="write tables and shapes to this .json")] = None,
    plot: Annotated[Path | None, typer.Option(help="draw expected tokens against budgets into this .png")] = None,
) -> int:
    """Plan and show; returns the exit status."""
    budgets = sorted({check_int("nodes", budget, 1, NODES_MAX) for budget in given.integers("nodes", nodes)})
    limits = {name: _limit(name) for name in depths.split(",")}
    rounds = check_int("simulate", integer("simulate", simulate), 0, 1 << 24)
    for field, path in (("json", json), ("plot", plot)):
        if path is not None:
            check_destination(field, path)
    if plot is not None:
        check_plot(plot)
    if rounds and (rule not in VERIFIED or acceptances is not None or contexts != "1"):
        raise SpecError("simulate", rounds, "0, or one target and a rule of " + ", ".join(VERIFIED))
    found = given.source(
        rule=rule, acceptances=acceptances, drafts=drafts, k=integer("K", k),
        targets=lambda: given.targets_from(pgen, vocab, alpha, seed, contexts, target),
    )  # fmt: skip
    contexts_found = 0 if found.targets is None else len(found.targets)
    if rounds and contexts_found != 1:
        raise SpecError("simulate", rounds, f"0 with {contexts_found} contexts: one target is simulated")
    tables = found.tables
    plans = {name: plan_trees(tables=tables, budgets=budgets, depth_max=limit) for name, limit in limits.items()}
    chain = [tokens_of_shape(TreeShape.chain(budget), tables) for budget in budgets]
    shared.print_lines(_lines(rule, found, budgets, plans, chain))
    if json is not None:
        write_json(json, _record(rule, found, budgets, plans))
    if plot is not None:
        from host.report.plan import plot_trees

        tokens = {f"depth limit {name}": [plan.tokens_per_call for plan in of] for name, of in plans.items()}
        title = f"Token trees, verification of a node's drafts: {rule}"
        plot_trees(plot, budgets=budgets, tokens=tokens, chain=chain, title=title)
    if rounds and found.targets is not None:
        rng = generator(integer("seed", seed)).spawn(1)[0]
        last, size = list(plans.values())[-1], integer("K", k)
        return _simulate(found.targets[0], found, last, rule=rule, k=size, rounds=rounds, rng=rng)
    return shared.SOUND


def _limit(name: str) -> int | None:
    return None if name == NO_LIMIT else check_int("depths", integer("depths", name), 1, NODES_MAX)


def _lines(
    rule: str,
    found: given.Source,
    budgets: Sequence[int],
    plans: dict[str, list[TreePlan]],
    chain: Sequence[float],
) -> list[str]:
    """Table over budgets and depth limits, then the shapes of the last limit."""
    header = ["drafts", *(f"depth<={name}" if name != NO_LIMIT else "any depth" for name in plans), "chain"]
    rows = [
        [str(budget), *(f"{of[i].tokens_per_call:.3f}" for of in plans.values()), f"{chain[i]:.3f}"]
        for i, budget in enumerate(budgets)
    ]
    lines = ["expected tokens per target call", *given.columns_of(header, rows), ""]
    lines.append(f"rule={rule}")
    lines += ["acceptances=" + ",".join(f"{a:.4f}" for a in table.acceptances[1:]) for table in found.tables]
    for budget, plan in zip(budgets, list(plans.values())[-1], strict=True):
        shape, tokens = plan.shape, plan.tokens_per_call
        rate = tree_acceptance_rate(tokens_per_call=tokens, nodes=shape.nodes) if shape.nodes else 0.0
        lines.append(
            f"budget={budget} drafts={shape.nodes} depth={shape.depth} tokens_per_call={tokens:.4f} "
            f"draft_acceptance_rate={rate:.4f} children={','.join(map(str, shape.children))}"
        )
    return lines


def _record(
    rule: str, found: given.Source, budgets: Sequence[int], plans: dict[str, list[TreePlan]]
) -> dict[str, object]:
    """What --json writes."""
    trees = [
        {
            "budget": budget,
            "depth_max": _limit(name),
            "tokens_per_call": plan.tokens_per_call,
            "children": list(plan.shape.children),
        }
        for name, of in plans.items()
        for budget, plan in zip(budgets, of, strict=True)
    ]
    return {
        "schema_version": 1,
        "rule": rule,
        "acceptances": [list(table.acceptances) for table in found.tables],
        "trees": trees,
    }


def _simulate(
    p: npt.NDArray[np.float64], found: given.Source, plans: Sequence[TreePlan], *, rule: str, k: int, rounds: int,
    rng: np.random.Generator,
) -> int:  # fmt: skip
    """Monte Carlo of each tree; the exit status says whether it gives what was predicted, and tokens of law p."""
    sound = True
    for plan in plans:
        shape = plan.shape
        with given.progress_bar("nodes", shape.nodes + 1) as progress:
            sample = simulate_tree(
                shape, target=p, k=k, rounds=rounds, rng=rng, rule=rule, drafts=found.drafts, progress=progress
            )
        merged = distinct_nodes(shape, target=p, k=k, rounds=min(rounds, MERGED_ROUNDS), rng=rng, drafts=found.drafts)
        deviation = deviation_of_shape(shape, found.tables)
        bound = deviation_bound(deviation=deviation, span=shape.depth, rounds=rounds, alpha=ALPHA)
        good = abs(sample.tokens_per_call - plan.tokens_per_call) <= bound and sample.p_value >= ALPHA
        sound = sound and good
        line = (
            f"simulated drafts={shape.nodes} tokens_per_call={sample.tokens_per_call:.4f} "
            f"predicted={plan.tokens_per_call:.4f} bound={bound:.4f} p_value={sample.p_value:.4g} "
            f"distinct_drafts={merged.mean:.2f} as_predicted={'yes' if good else 'no'}"
        )
        shared.print_lines([line])
    return shared.SOUND if sound else shared.UNSOUND
