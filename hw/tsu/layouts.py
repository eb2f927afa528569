# SPDX-License-Identifier: Apache-2.0
"""Shapes of the words that travel between the TSU's components. Widths follow from `TsuConfig`."""

from amaranth.lib import data

from hw.spec.commands import TABLE_ENTRIES
from hw.spec.config import TsuConfig

COUNT_BITS = 32
"""Width of a draw count."""

TAG_BITS = 16
"""Width of a command's tag."""

STATUS_TOTAL_BITS = 64
"""Width of the total Z in a status, zero-extended."""

DISTANCE_BITS = TABLE_ENTRIES.bit_length() - 1
"""Width of a code distance."""


def command_layout() -> data.StructLayout:
    """One word of a command; `last` marks the end of the command."""
    return data.StructLayout({"data": 32, "last": 1})


def status_layout() -> data.StructLayout:
    """Answer to one command."""
    return data.StructLayout({"tag": TAG_BITS, "opcode": 8, "code": 8, "total": STATUS_TOTAL_BITS})


def result_layout(config: TsuConfig) -> data.StructLayout:
    """One draw as a lane hands it over; the weight of a tail token is filled in by the collector."""
    return data.StructLayout({"token": config.id_bits, "weight": config.weight_bits, "tail": 1})


def draw_layout(config: TsuConfig) -> data.StructLayout:
    """One draw as it leaves the TSU: exact probability weight / (Z * spread)."""
    return data.StructLayout({"token": config.id_bits, "weight": config.total_bits, "tail": 1})


def beat_layout(config: TsuConfig) -> data.StructLayout:
    """Draws of one transfer, in ascending lane order; `keep` marks the lanes that hold one.

    `spread` is V - K and belongs to the draws whose `tail` bit is set; the spread of the others is 1.
    `last` marks the last beat of a command.
    """
    return data.StructLayout(
        {
            "draws": data.ArrayLayout(draw_layout(config), config.lanes),
            "keep": config.lanes,
            "spread": config.id_bits,
            "tag": TAG_BITS,
            "last": 1,
        }
    )


def job_layout() -> data.StructLayout:
    """`count` draws to make from bank `bank` on behalf of command `tag`."""
    return data.StructLayout({"bank": 1, "count": COUNT_BITS, "tag": TAG_BITS})


def params_layout(config: TsuConfig) -> data.StructLayout:
    """What a lane needs of a psi beside the memories. Thresholds are stored less one: a p-bit fires on u > t.

    reject_threshold   c Z - 1
    tail_threshold     c C_K - 1
    spread             n = V - K
    tail_reject        2**tail_noise_bits mod n, or 0
    rank_last          id_(K-1) - (K-1)
    tail_weight        T
    """
    return data.StructLayout(
        {
            "reject_threshold": config.uniform_bits,
            "tail_threshold": config.uniform_bits,
            "spread": config.id_bits,
            "tail_reject": config.id_bits,
            "rank_last": config.id_bits,
            "tail_weight": config.total_bits,
        }
    )


def tree_write_layout(config: TsuConfig) -> data.StructLayout:
    """Write of one threshold: boundary `boundary` (1 .. k_max - 1) of the weight tree, or of the rank tree (`rank`)."""
    return data.StructLayout(
        {"stb": 1, "bank": 1, "rank": 1, "boundary": config.depth, "threshold": config.uniform_bits}
    )


def leaf_write_layout(config: TsuConfig) -> data.StructLayout:
    """Write of one leaf: the id when it arrives, its weight when the weight engine has it."""
    return data.StructLayout(
        {
            "bank": 1,
            "id_stb": 1,
            "id_index": config.depth,
            "id": config.id_bits,
            "weight_stb": 1,
            "weight_index": config.depth,
            "weight": config.weight_bits,
        }
    )


def candidate_layout(config: TsuConfig) -> data.StructLayout:
    """A candidate on its way down the tree: u for a head draw, r + 1 for a tail draw, compared with `>`."""
    return data.StructLayout({"valid": 1, "bank": 1, "tail": 1, "value": config.uniform_bits})
