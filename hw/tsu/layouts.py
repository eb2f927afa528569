# SPDX-License-Identifier: Apache-2.0
"""Shapes of the words that travel between the TSU's components. Widths follow from `TsuConfig`."""

from collections.abc import Mapping

from amaranth.hdl import Module, Signal, Value, ValueLike
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hw.spec.commands import BLOCK_LENGTH_BITS, TABLE_ENTRIES
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


def ticket_layout(config: TsuConfig) -> data.StructLayout:
    """What the tree found: the leaf of a head draw, or what the token of a tail draw is made of.

    That token is `above` where the rank is `past_last`, and `above` - 1 elsewhere.
    """
    where = {"valid": 1, "bank": config.bank_bits} | ({"retry": 1} if config.contexts else {})
    return data.StructLayout(where | {"tail": 1, "leaf": config.depth, "past_last": 1, "above": config.id_bits})


def handshake_signature(fields: Mapping[str, int]) -> wiring.Signature:
    """A stream whose payload is separate members: simulators handle signals of up to 64 bits fastest."""
    return wiring.Signature({name: Out(width) for name, width in fields.items()} | {"valid": Out(1), "ready": In(1)})


def result_fields(config: TsuConfig) -> dict[str, int]:
    """One draw inside a lane; the weight of a tail token is filled in by the collector, unless it belongs to a block.

    With contexts, a draw of a block has its spread, the number of its stream among those of the lane, and whether the
    stream ends with it.
    """
    fields = {"token": config.id_bits, "weight": config.weight_bits, "tail": 1}
    if config.contexts:
        fields |= {"weight": config.total_bits, "spread": config.id_bits, "stream": config.lane_stream_bits, "ends": 1}
    return fields


def result_signature(config: TsuConfig) -> wiring.Signature:
    """One draw as a lane hands it over."""
    return handshake_signature(result_fields(config))


def draw_layout(config: TsuConfig) -> data.StructLayout:
    """One draw as it leaves the TSU: exact probability weight / (Z * spread).

    `spread`, `stream` and `ends` are there with contexts, and belong to the draws of blocks.
    """
    fields = {"token": config.id_bits, "weight": config.total_bits, "tail": 1}
    block = {"spread": config.id_bits, "stream": config.stream_bits, "ends": 1} if config.contexts else {}
    return data.StructLayout(fields | block)


def beat_layout(config: TsuConfig) -> data.StructLayout:
    """Draws of one transfer, all of one command, in ascending lane order; `keep` marks the lanes that hold one.

    `spread` is V - K and belongs to the draws whose `tail` bit is set; the spread of the others is 1.
    `last` marks the last beat of a command. `group` is there where there are several. With contexts, `block` marks the
    draws of a BLOCK, which come from any lanes: those of one stream in order, and `last` once all streams have ended.
    """
    fields = {
        "draws": data.ArrayLayout(draw_layout(config), config.lanes),
        "keep": config.lanes,
        "spread": config.id_bits,
        "tag": TAG_BITS,
        "last": 1,
    }
    if config.groups > 1:
        fields["group"] = config.group_bits
    return data.StructLayout(fields | ({"block": 1} if config.contexts else {}))


def beat_signature(config: TsuConfig) -> wiring.Signature:
    """The beat of one group as separate members, for the inside of the TSU: see `result_signature`."""
    draw = wiring.Signature({name: Out(field.shape) for name, field in draw_layout(config)})
    return wiring.Signature(
        {
            "draws": Out(draw).array(config.lanes),
            "keep": Out(config.lanes),
            "spread": Out(config.id_bits),
            "tag": Out(TAG_BITS),
            "last": Out(1),
            **({"block": Out(1)} if config.contexts else {}),
            "valid": Out(1),
            "ready": In(1),
        }
    )


def merged_beat_signature(config: TsuConfig) -> wiring.Signature:
    """The beat of one of several groups, with its number, as separate members."""
    return wiring.Signature(dict(beat_signature(config).members) | {"group": Out(config.group_bits)})


def job_layout(config: TsuConfig | None = None) -> data.StructLayout:
    """`count` draws to make from bank `bank` on behalf of command `tag`; `fresh` marks the first job of a psi.

    With contexts, `block` marks `streams` streams of `count` draws each.
    """
    fields = {"bank": 1, "fresh": 1, "count": COUNT_BITS, "tag": TAG_BITS}
    if config is not None and config.contexts:
        fields |= {"block": 1, "streams": config.stream_bits + 1}
    return data.StructLayout(fields)


def start_layout(config: TsuConfig | None = None) -> data.StructLayout:
    """A lane's share of a job, and whether it is not empty; `fresh` only with `stb`: copy the parameters.

    With contexts, `block` marks a block: `streams` streams of the lane, of `length` draws each, and no others.
    """
    fields = {"stb": 1, "bank": 1, "fresh": 1, "some": 1, "count": COUNT_BITS}
    if config is not None and config.contexts:
        fields |= {"block": 1, "streams": config.lane_stream_bits + 1, "length": BLOCK_LENGTH_BITS}
    return data.StructLayout(fields)


def stream_write_signature(config: TsuConfig) -> wiring.Signature:
    """Write of the context in which a stream of the next block starts; only with contexts."""
    return wiring.Signature({"stb": Out(1), "stream": Out(config.stream_bits), "context": Out(config.context_bits)})


def slot_write_signature(config: TsuConfig) -> wiring.Signature:
    """Write of a slot's parameters, once its trees and leaves are written; only with contexts."""
    params = {name: Out(member.shape) for name, member in params_signature(config).members.items()}
    return wiring.Signature({"stb": Out(1), "slot": Out(config.context_bits), **params})


def params_signature(config: TsuConfig) -> wiring.Signature:
    """What lanes and collector need of a psi beside the memories; thresholds less one, since a p-bit fires on u > t.

    reject_threshold   c Z - 1
    tail_threshold     c C_K - 1
    spread             n = V - K
    tail_reject        2**tail_noise_bits mod n, or 0
    rank_last          id_(K-1) - (K-1)
    tail_weight        T
    """
    return wiring.Signature(
        {
            "reject_threshold": Out(config.uniform_bits),
            "tail_threshold": Out(config.uniform_bits),
            "spread": Out(config.id_bits),
            "tail_reject": Out(config.id_bits),
            "rank_last": Out(config.id_bits),
            "tail_weight": Out(config.total_bits),
        }
    )


def tree_write_signature(config: TsuConfig) -> wiring.Signature:
    """Write of one threshold: boundary 1 .. k_max - 1 of the weight tree, or of the rank tree (`rank`)."""
    return wiring.Signature(
        {
            "stb": Out(1),
            "bank": Out(config.bank_bits),
            "rank": Out(1),
            "boundary": Out(config.depth),
            "threshold": Out(config.uniform_bits),
        }
    )


def leaf_write_signature(config: TsuConfig) -> wiring.Signature:
    """Write of one leaf: the id when it arrives, its weight when the weight engine has it."""
    return wiring.Signature(
        {
            "bank": Out(config.bank_bits),
            "id_stb": Out(1),
            "id_index": Out(config.depth),
            "id": Out(config.id_bits),
            "weight_stb": Out(1),
            "weight_index": Out(config.depth),
            "weight": Out(config.weight_bits),
        }
    )


def route_layout(path_bits: int, config: TsuConfig | None = None) -> data.StructLayout:
    """Where a candidate is and what it is.

    The path is lowest, its newest bit at the bottom: appending a bit below moves everything up by one, and the low
    path_bits + 2 bits are the address of the node in a level's memory. `past_last` says that r is at least
    id_(K-1) - (K-1), the one rank boundary that a tree of k_max leaves has no node for.

    With contexts the bank is as wide as they need, and `retry` marks a rejected candidate of a block: it goes through
    so that its stream keeps its place, and is no draw.
    """
    if config is None or not config.contexts:
        return data.StructLayout({"path": path_bits, "tail": 1, "bank": 1, "past_last": 1, "valid": 1})
    return data.StructLayout(
        {"path": path_bits, "tail": 1, "bank": config.bank_bits, "past_last": 1, "valid": 1, "retry": 1}
    )


def of_block(config: TsuConfig, bank: Value) -> Value:
    """Whether a bank is a slot of the psi bank, and what is drawn from it belongs to a block; only with contexts."""
    return ~bank[config.context_bits]


def candidate_signature(config: TsuConfig, *, path_bits: int = 0) -> wiring.Signature:
    """A candidate on its way down the tree.

    `value` is u for a head draw and r + 1 for a tail draw; both are compared with `>`.
    """
    return wiring.Signature({"route": Out(route_layout(path_bits, config)), "value": Out(config.uniform_bits)})


def members(interface: object) -> list[tuple[str, Value]]:
    """Names and signals of the members of an interface, in the order of its signature."""
    return [(path[-1], value) for path, _, value in interface.signature.flatten(interface)]


CONTROL = frozenset({"stb", "id_stb", "weight_stb", "route"})
"""Members that say whether the others count: the only ones that `registered` resets."""


def registered(m: Module, source: object, *, name: str, domain: str = "sync") -> object:
    """A copy of the signals of an input port, one cycle later, ready to be connected to another input."""
    copy = wiring.PureInterface(source.signature.flip(), path=(name,))
    for member, value in members(source):
        if member not in CONTROL:
            setattr(copy, member, data_register(m, value, name=f"{name}__{member}", domain=domain))
        else:
            m.d[domain] += getattr(copy, member).eq(value)
    return copy


def data_register(m: Module, value: ValueLike, *, name: str, domain: str = "sync") -> Signal:
    """`value` one cycle later, in a register that no reset reaches: a valid bit beside it says whether it counts.

    A reset of every register of the data path would be the largest net of an FPGA, and would crowd out all others.
    """
    register = Signal.like(value, name=name, reset_less=True)
    m.d[domain] += register.eq(value)
    return register
