# SPDX-License-Identifier: Apache-2.0
"""The table of docs/reference/formal.md."""

from .proof import Proof, all_proofs


def depth_text(proof: Proof) -> str:
    """Depth of a proof, relative where it follows the component's latency."""
    return f"latency + {proof.depth}" if proof.beside_latency else str(proof.depth)


def formal_table() -> str:
    """All proofs as a Markdown table."""
    lines = [
        "| Proof | Property | Configuration | Method | Depth | Seeded bugs that break it |",
        "|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {proof.name} | {proof.claims} | {proof.configuration} | {proof.method} | {depth_text(proof)} | "
        + ", ".join(bug.name for bug in proof.bugs)
        + " |"
        for proof in all_proofs().values()
    ]
    return "\n".join(lines) + "\n"
