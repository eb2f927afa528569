# SPDX-License-Identifier: Apache-2.0
"""`python -m host.plan knob`: bytes of psi against drafts at a wanted acceptance."""

from typing import Annotated

import typer

from host.runs import command as shared
from host.runs.command import INT, NUMBER, integer, number

from . import options as given
from .knob import KnobPoint, cheapest, point_us, smallest_psi


def knob(
    acceptance: Annotated[str, typer.Option(metavar=NUMBER, help="wanted acceptance of a position, up to 1")] = "0.9",
    drafts_max: Annotated[str, typer.Option(metavar=INT, help="most drafts of a position, up to 16")] = "16",
    k_max: Annotated[str, typer.Option("--K-max", metavar=INT, help="most top-K ids, up to 1024")] = "1024",
    baud: given.Baud = None,
    bytes_per_s: given.BytesPerS = None,
    draw_bytes: given.DrawBytes = "10",
    draws_per_s: given.DrawsPerS = f"{given.DRAW_RATE:g}",
    pgen: given.Pgen = "dirichlet",
    vocab: given.Vocab = None,
    alpha: given.Alpha = "1.0",
    target: given.Target = None,
    contexts: given.Contexts = "1",
    seed: given.Seed = "0",
) -> int:
    """Search and show; returns the exit status."""
    link, most = given.link_rate(baud, bytes_per_s), integer("drafts_max", drafts_max)
    wanted, rate, each = (
        number("acceptance", acceptance), number("draws_per_s", draws_per_s), number("draw_bytes", draw_bytes)
    )  # fmt: skip
    targets = given.targets_from(pgen, vocab, alpha, seed, contexts, target)
    with given.progress_bar("drafts", most) as progress:
        points = smallest_psi(
            targets=targets, acceptance=wanted, drafts_max=most, k_max=integer("K-max", k_max), progress=progress
        )
    best = cheapest(points, bytes_per_s=link, draws_per_s=rate, draw_bytes=each)

    def microseconds(point: KnobPoint) -> float:
        return point_us(point, bytes_per_s=link, draws_per_s=rate, draw_bytes=each)

    rows = [
        [str(n), "none", "-", "-", "-"] if point is None else
        [str(n), str(point.k), f"{point.psi_bytes:.1f}", f"{point.acceptance:.4f}", f"{microseconds(point):.3f}"]
        for n, point in enumerate(points, 1)
    ]  # fmt: skip
    lines = [f"smallest K with a mean alpha*_n of at least {wanted:g}, {len(targets)} contexts, V = {targets.shape[1]}"]
    lines += given.columns_of(["drafts", "K", "psi_bytes", "acceptance", "us"], rows)
    lines += [
        "",
        f"acceptance_wanted={wanted:g}",
        f"bytes_per_s={link:g}",
        f"draws_per_s={rate:g}",
        f"draw_bytes={each:g}",
    ]
    lines.append("assumption=psi, draws and replies of one position follow one another; no latency, no proposer")
    lines.append("assumption=a rule that reaches alpha*_n; the race comes within 1e-3 of it")
    if best is None:
        lines.append("cheapest=none")
    else:
        lines += [f"cheapest_drafts={best.drafts}", f"cheapest_K={best.k}", f"cheapest_psi_bytes={best.psi_bytes:g}"]
        lines += [f"cheapest_acceptance={best.acceptance:.4f}", f"cheapest_us={microseconds(best):.3f}"]
    shared.print_lines(lines)
    return shared.SOUND
