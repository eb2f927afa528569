# SPDX-License-Identifier: Apache-2.0
"""Widths and capacities of one TSU: the parameter object that gateware, host and C code share."""

from dataclasses import dataclass, fields, replace

from .errors import SpecError, check_int, check_power_of_two
from .noise import GENERATORS, WORD_BITS

K_LIMIT = 1024
"""Most top-K ids a psi may carry."""

VOCAB_LIMIT = 1 << 20
"""Largest vocabulary a psi may address."""

LANES_LIMIT = 64
"""Most lanes of a TSU, all groups together."""

GROUPS_LIMIT = 16
"""Most groups of lanes."""

CONTEXTS_LIMIT = 1024
"""Most contexts of a psi bank."""

STREAMS_LIMIT = 1024
"""Most streams that one BLOCK may interleave."""

UNIFORM_LIMIT_BITS = 64
"""Widest uniform integer a p-bit compares (one 64-bit machine word in the compiled models)."""

WEIGHT_SOURCES = ("table", "exp2", "both")
"""What the weight engine contains: a table the host loads, the on-chip exp2 unit, or both."""


def ceil_log2(value: int) -> int:
    """Smallest n with 2**n >= value, for value >= 1."""
    return (value - 1).bit_length()


@dataclass(frozen=True, kw_only=True)
class TsuConfig:
    """Parameters of one TSU. Every derived width follows from these fields.

    Parameters
    ----------
    k_max : int
        Capacity of the p-bit tree, a power of two in [2, 1024].
    vocab_max : int
        Largest vocabulary, in [2, 2**20].
    weight_bits : int
        Width of one integer weight, in [4, 48]; the best token weighs 2**(weight_bits - 1 - shift).
    headroom_bits : int
        Extra width of the total Z over one weight, in [0, 16].
    guard_bits : int
        G of the scaled reject, in [1, 16]: a candidate is accepted with probability >= 1 - 2**-G.
    tail_noise_bits : int
        Width of the noise word of the tail index, in [ceil_log2(vocab_max), 32].
    lanes : int
        Parallel samplers of one group, a power of two in [1, 64]. They share one psi; draw i of the group's stream is
        made by its lane i mod lanes.
    groups : int
        Groups of lanes, in [1, 16], each with a psi of its own; groups * lanes is at most 64. Which group executes
        which command is said in `hw.spec.commands`.
    noise : str
        Name of the shift-register generator (a key of `hw.spec.noise.GENERATORS`).
    weight_source : str
        One of `WEIGHT_SOURCES`.
    level_stages : int
        Registers per tree level: 1, 2 (in the memory and behind the p-bit) or 3 (one between memory and p-bit
        too, and generators, multipliers and leaf memories pipelined likewise; for high clock rates).
        Changes latency, never the stream.
    block_ram : bool
        Where a level has one register: whether it is the memory's own (block RAM) or behind the p-bit (memory read
        asynchronously; LUT RAM, and faster to simulate).
    contexts : int
        Slots of the psi bank, one for each context whose psi is kept on chip, a power of two in [2, 1024]; 0 leaves
        bank and block drafting out. Only with one group.
    streams : int
        Capacity of the block scheduler: streams that one BLOCK may interleave, a power of two in [2 lanes, 1024]. Means
        nothing where `contexts` is 0.

    Raises
    ------
    SpecError
        A field is outside its range, or the uniform integer would exceed 64 bits.
    """

    k_max: int = 64
    vocab_max: int = VOCAB_LIMIT
    weight_bits: int = 48
    headroom_bits: int = 8
    guard_bits: int = 8
    tail_noise_bits: int = 32
    lanes: int = 1
    groups: int = 1
    noise: str = "xoshiro128pp"
    weight_source: str = "both"
    level_stages: int = 1
    block_ram: bool = False
    contexts: int = 0
    streams: int = 64

    def __post_init__(self) -> None:
        check_power_of_two("k_max", self.k_max, 2, K_LIMIT)
        check_int("vocab_max", self.vocab_max, 2, VOCAB_LIMIT)
        check_int("weight_bits", self.weight_bits, 4, 48)
        check_int("headroom_bits", self.headroom_bits, 0, 16)
        check_int("guard_bits", self.guard_bits, 1, 16)
        check_int("tail_noise_bits", self.tail_noise_bits, self.id_bits, WORD_BITS)
        check_power_of_two("lanes", self.lanes, 1, LANES_LIMIT)
        check_int("groups", self.groups, 1, GROUPS_LIMIT)
        check_int("groups * lanes", self.all_lanes, 1, LANES_LIMIT)
        check_int("level_stages", self.level_stages, 1, 3)
        if not isinstance(self.block_ram, bool):
            raise SpecError("block_ram", self.block_ram, "True or False")
        if self.noise not in GENERATORS:
            raise SpecError("noise", self.noise, "one of " + ", ".join(GENERATORS))
        if self.weight_source not in WEIGHT_SOURCES:
            raise SpecError("weight_source", self.weight_source, "one of " + ", ".join(WEIGHT_SOURCES))
        if self.total_bits < self.id_bits:
            raise SpecError(
                "weight_bits + headroom_bits", self.total_bits, f"at least the {self.id_bits} bits of an id"
            )
        if self.total_bits <= self.slack_bits:
            raise SpecError(
                "weight_bits + headroom_bits",
                self.total_bits,
                f"more than {self.slack_bits} bits for k_max {self.k_max}",
            )
        if self.uniform_bits > UNIFORM_LIMIT_BITS:
            raise SpecError(
                "weight_bits + headroom_bits + guard_bits", self.uniform_bits, f"at most {UNIFORM_LIMIT_BITS}"
            )
        self._check_blocks()

    def _check_blocks(self) -> None:
        """The fields of block drafting."""
        check_int("contexts", self.contexts, 0, CONTEXTS_LIMIT)
        check_power_of_two("streams", self.streams, 2, STREAMS_LIMIT)
        if not self.contexts:
            return
        check_power_of_two("contexts", self.contexts, 2, CONTEXTS_LIMIT)
        check_power_of_two("streams", self.streams, 2 * self.lanes, STREAMS_LIMIT)
        check_int("groups (with contexts > 0)", self.groups, 1, 1)

    @property
    def depth(self) -> int:
        """Levels of the p-bit tree: log2(k_max)."""
        return ceil_log2(self.k_max)

    @property
    def id_bits(self) -> int:
        """Width of a token id."""
        return ceil_log2(self.vocab_max)

    @property
    def total_bits(self) -> int:
        """B: width of the total Z; a psi with Z >= 2**total_bits is refused."""
        return self.weight_bits + self.headroom_bits

    @property
    def uniform_bits(self) -> int:
        """U = B + G: width of the uniform integer u and of every threshold."""
        return self.total_bits + self.guard_bits

    @property
    def slack_bits(self) -> int:
        """S: a psi with Z <= 2**(total_bits - 1 - S) is refused, so that c fits `scale_bits`."""
        return 1 + max(ceil_log2(self.k_max + 1), self.headroom_bits)

    @property
    def scale_bits(self) -> int:
        """Width of the threshold scale c = floor(2**U / Z): G + 1 + S."""
        return self.guard_bits + 1 + self.slack_bits

    @property
    def total_min(self) -> int:
        """Smallest legal total Z."""
        return (1 << (self.total_bits - 1 - self.slack_bits)) + 1

    @property
    def total_max(self) -> int:
        """Largest legal total Z."""
        return (1 << self.total_bits) - 1

    @property
    def noise_words(self) -> int:
        """Noise streams per lane: 32-bit words that one candidate consumes."""
        return -(-(self.uniform_bits + self.tail_noise_bits) // WORD_BITS)

    @property
    def all_lanes(self) -> int:
        """Lanes of all groups. Lane l of group g is number g * lanes + l of the array."""
        return self.groups * self.lanes

    @property
    def group_bits(self) -> int:
        """Width of the number of a group."""
        return ceil_log2(self.groups)

    @property
    def noise_streams(self) -> int:
        """Noise streams of the whole array: `noise_words` of each lane, those of lane 0 of group 0 first."""
        return self.all_lanes * self.noise_words

    @property
    def bank_bits(self) -> int:
        """Width of the number of a bank: the two of the double buffer, behind `contexts` slots where there are any."""
        return self.context_bits + 1 if self.contexts else 1

    @property
    def banks(self) -> int:
        """Trees and leaves that a lane has memory for."""
        return self.contexts + 2

    @property
    def context_bits(self) -> int:
        """Width of the number of a context."""
        return ceil_log2(self.contexts) if self.contexts else 0

    @property
    def stream_bits(self) -> int:
        """Width of the number of a stream."""
        return ceil_log2(self.streams)

    @property
    def lane_streams(self) -> int:
        """Streams that one lane interleaves at most."""
        return self.streams // self.lanes

    @property
    def lane_stream_bits(self) -> int:
        """Width of the number of a stream among those of its lane."""
        return ceil_log2(self.lane_streams)

    @property
    def pipelined(self) -> bool:
        """Whether generators, multipliers and memories have registers of their own inside."""
        return self.level_stages == 3

    @property
    def simulated(self) -> bool:
        """Whether the gateware leaves out the registers that no simulation needs: neither pipelined nor block RAM."""
        return not (self.pipelined or self.block_ram)

    @property
    def lanes_far(self) -> bool:
        """Whether the ways between the lanes of a group and what they share take cycles of their own."""
        return self.pipelined and self.lanes > 1

    @property
    def multiply_stages(self) -> int:
        """Registers of a multiplication."""
        return 5 if self.pipelined else 1

    @property
    def has_table(self) -> bool:
        """Whether the weight engine holds a table that the host loads."""
        return self.weight_source in ("table", "both")

    @property
    def has_exp2(self) -> bool:
        """Whether the weight engine holds the on-chip exp2 unit."""
        return self.weight_source in ("exp2", "both")

    def with_fields(self, **changes: object) -> "TsuConfig":
        """A copy with some fields changed, checked again."""
        return replace(self, **changes)  # type: ignore[arg-type]  # the constructor checks every field

    def as_dict(self) -> dict[str, bool | int | str]:
        """Field names and values, in declaration order."""
        return {f.name: getattr(self, f.name) for f in fields(self)}


def check_no_contexts(config: TsuConfig, *, who: str) -> None:
    """Raise SpecError where `config` has contexts, of which `who` carries no blocks."""
    if config.contexts:
        raise SpecError("contexts", config.contexts, f"0, because {who} carries no blocks")


PRESETS: dict[str, TsuConfig] = {
    "sim": TsuConfig(),
    "ecp5-25f": TsuConfig(vocab_max=1 << 18, level_stages=3),
    "ecp5-85f": TsuConfig(vocab_max=1 << 18, level_stages=3),
    "ecp5-85f-array": TsuConfig(vocab_max=1 << 18, level_stages=3, lanes=8),
    "up5k": TsuConfig(
        k_max=32,
        vocab_max=1 << 16,
        weight_bits=32,
        headroom_bits=0,
        tail_noise_bits=24,
        weight_source="table",
        block_ram=True,
    ),
    "tiny": TsuConfig(k_max=4, vocab_max=16, weight_bits=5, headroom_bits=1, guard_bits=2, tail_noise_bits=5),
}
"""Named configurations: the simulator's default, one per FPGA, an array for the largest of them, and one small enough
to enumerate."""
