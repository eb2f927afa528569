# SPDX-License-Identifier: Apache-2.0
"""Command and status words of the TSU's streams.

A command is a run of 32-bit words; the last one is marked `last`. Word 0 is common to all:
opcode, version of this layout, tag. Commands are executed in order and each is answered by one
status, in the order of the commands. LOAD and DRAW then deliver `count` draws on the draw stream, in the same order.

A refused command delivers no draw. A refused LOAD leaves no psi loaded, a refused TABLE no table and a refused
SEED an unseeded TSU; a wrong opcode or version changes nothing. Where a command breaks several rules, the status
is the first of: BAD_OPCODE, BAD_VERSION, BAD_LENGTH, then for LOAD BAD_K, BAD_VOCAB, BAD_MODE, NO_TABLE, BAD_ID,
BAD_SCORE, BAD_TAIL, BAD_TOTAL, NO_SEED (only with count > 0), for DRAW NO_PSI, NO_SEED (only with count > 0), and for
TABLE BAD_MODE where the TSU has no table.
Bits that no field names are ignored.

A TSU with contexts knows two more opcodes; to others they are BAD_OPCODE. CONTEXT is a LOAD into slot `count` of the
psi bank, and draws nothing. Once its header (8 words) has come, its slot is empty until it ends well; like a refused
LOAD it leaves no psi for DRAW, however it ends. Its status is the first of those of LOAD, but BAD_CONTEXT stands before
BAD_K: the slot is not below `contexts`, and no slot changes. BLOCK interleaves one stream for each word from word 2 on,
which holds the context that the stream starts in; each stream draws `count` mod 2**16 tokens, every one of them from
the psi in the slot of the token before. It ends earlier with a token whose slot holds no psi, or that is not below
`contexts`. Its status is the first of BAD_LENGTH (no stream, or more than `streams`), BAD_CONTEXT (a stream starts in a
slot without psi) and NO_SEED (only with tokens to draw). The order in which streams take noise is that of
docs/DESIGN_TSD.md section 8.

A TSU of several groups holds a psi for each of them. Word 0 of a command alone says which group executes it, whatever
becomes of the command: the j-th LOAD of this version since the last SEED of this version, or since reset, counted from
0, goes to group j mod groups; SEED and TABLE of this version go to all groups, which then have one seed, one table and
one status; every other command goes to the group of the last such LOAD (group 0 before the first). `GroupChoice` is
this rule as a program. The rules above hold in each group for the commands that it executes: DRAW draws from the psi
that its group was given last, a refused LOAD leaves its group without psi. A SEED waits for the draws of all groups.
The draws of a command come in the order of its group's stream, and those of commands of one group in the order of
these commands. Beats of several groups come mixed, in an order that is not part of the contract: the tag says whose
they are, so commands of different groups that are in flight together need different tags.
"""

from dataclasses import dataclass
from enum import IntEnum

COMMAND_VERSION = 1
"""Version of the word layout; a command of another version is refused."""

TABLE_ENTRIES = 256
"""Entries of the weight table: one for each 8-bit code distance."""

TABLE_ENTRY_WORDS = 2
"""Words per table entry, low word first."""


class Opcode(IntEnum):
    """What a command does."""

    LOAD = 1
    """Load a psi into the free bank, then draw `count` tokens from it."""
    DRAW = 2
    """Draw `count` more tokens from the psi loaded last."""
    TABLE = 3
    """Replace the 256-entry weight table (used by LOADs that follow)."""
    SEED = 4
    """Replace the state of every noise stream and start again at lane 0."""
    CONTEXT = 5
    """Load a psi into a slot of the psi bank. Only with contexts."""
    BLOCK = 6
    """Draw a block for each of many streams, each token from the psi of the one before. Only with contexts."""


class Status(IntEnum):
    """How a command ended. Anything but OK delivers no draw."""

    OK = 0
    BAD_OPCODE = 1
    BAD_VERSION = 2
    BAD_LENGTH = 3
    BAD_K = 4
    BAD_VOCAB = 5
    BAD_MODE = 6
    BAD_ID = 7
    BAD_SCORE = 8
    BAD_TAIL = 9
    BAD_TOTAL = 10
    NO_TABLE = 11
    NO_PSI = 12
    BAD_SEED = 13
    NO_SEED = 14
    BAD_CONTEXT = 15


STATUS_TEXT: dict[Status, str] = {
    Status.OK: "executed",
    Status.BAD_OPCODE: "opcode is none of LOAD, DRAW, TABLE, SEED; with contexts, CONTEXT, BLOCK",
    Status.BAD_VERSION: f"layout version is not {COMMAND_VERSION}",
    Status.BAD_LENGTH: "the command has more or fewer words than its opcode and k ask for",
    Status.BAD_K: "k is 0 or above k_max",
    Status.BAD_VOCAB: "vocab_size is below k, or above vocab_max",
    Status.BAD_MODE: "the weight mode is not built into this TSU",
    Status.BAD_ID: "ids are not strictly increasing, or one is not below vocab_size",
    Status.BAD_SCORE: "a score code is above score_max_q, or none equals it",
    Status.BAD_TAIL: "the tail weighs something while vocab_size = k, or exceeds total_bits",
    Status.BAD_TOTAL: "the total Z is outside [total_min, total_max]",
    Status.NO_TABLE: "table mode without a loaded table",
    Status.NO_PSI: "DRAW without a good psi loaded last",
    Status.BAD_SEED: "a noise stream would start in the all-zero state",
    Status.NO_SEED: "draws were asked for before a good SEED",
    Status.BAD_CONTEXT: "a slot is not below contexts, or a stream starts in one without psi",
}
"""One line for each status."""


def opcodes(contexts: int) -> tuple[Opcode, ...]:
    """Opcodes that a TSU of so many contexts knows."""
    return tuple(code for code in Opcode if contexts or code not in (Opcode.CONTEXT, Opcode.BLOCK))


def statuses(contexts: int) -> tuple[Status, ...]:
    """Statuses that a TSU of so many contexts can give."""
    return tuple(code for code in Status if contexts or code is not Status.BAD_CONTEXT)


class GroupChoice:
    """Which groups execute a command, followed from reset on.

    Parameters
    ----------
    groups : int
        Of the TSU.
    """

    def __init__(self, groups: int) -> None:
        self._groups = groups
        self._turn = self._last = 0  # group of the next LOAD, and of the last one

    def of(self, first_word: int) -> range:
        """Groups that execute the command with this word 0; to be asked once for every command, in order."""
        opcode, version = first_word & 0xFF, first_word >> 8 & 0xFF
        if version == COMMAND_VERSION and opcode in (Opcode.SEED, Opcode.TABLE):
            if opcode == Opcode.SEED:
                self._turn = 0
            return range(self._groups)
        if version == COMMAND_VERSION and opcode == Opcode.LOAD:
            self._last = self._turn
            self._turn = (self._turn + 1) % self._groups
        return range(self._last, self._last + 1)


class WeightMode(IntEnum):
    """Where the weight of a code distance comes from."""

    TABLE = 0
    EXP2 = 1


@dataclass(frozen=True)
class Field:
    """Bits [low, low + width) of word `word` of a command; a field wider than its word goes on in the next."""

    word: int
    low: int
    width: int
    meaning: str


COMMON_FIELDS: dict[str, Field] = {
    "opcode": Field(0, 0, 8, "`Opcode`"),
    "version": Field(0, 8, 8, "`COMMAND_VERSION`"),
    "tag": Field(0, 16, 16, "returned with the status and with every draw"),
    "count": Field(
        1, 0, 32, "LOAD, DRAW: draws to deliver, may be 0; CONTEXT: slot; BLOCK: tokens of a stream (low 16 bits)"
    ),
}
"""Fields of every command; `count` not of TABLE and SEED."""

BLOCK_LENGTH_BITS = 16
"""Width of the number of tokens that each stream of a BLOCK draws."""

BLOCK_HEADER_WORDS = 2
"""Words of a BLOCK before its streams."""

BLOCK_FIELDS: dict[str, Field] = {"context": Field(0, 0, 20, "context that the stream starts in")}
"""One word for each stream of a BLOCK."""

LOAD_FIELDS: dict[str, Field] = {
    "vocab_size": Field(2, 0, 21, "V"),
    "score_max_q": Field(2, 24, 8, "largest score code, two's complement"),
    "k": Field(3, 0, 11, "K"),
    "mode": Field(3, 16, 1, "`WeightMode`"),
    "shift": Field(3, 24, 6, "right shift h of every weight"),
    "tail_weight": Field(4, 0, 64, "T, in units of the shifted weights"),
    "log2_ratio_q": Field(6, 0, 64, "a = scale / (tau ln 2) in UQ6.44 (50 bits); 0 in table mode"),
}
"""Header of LOAD."""

LOAD_HEADER_WORDS = 8
"""Words of a LOAD before its K entries."""

ENTRY_FIELDS: dict[str, Field] = {
    "id": Field(0, 0, 20, "token id; ids strictly increase"),
    "score_q": Field(0, 24, 8, "score code, two's complement"),
}
"""One word for each top-K entry."""


def put_field(words: list[int], layout: dict[str, Field], name: str, value: int) -> None:
    """Write `value` (two's complement where negative) into its field of `words`, in place.

    Raises ValueError when the value does not fit the field.
    """
    field = layout[name]
    if not -(1 << (field.width - 1)) <= value < (1 << field.width):
        raise ValueError(f"{name} = {value} does not fit {field.width} bits")
    bits = (value & ((1 << field.width) - 1)) << field.low
    for offset in range((field.low + field.width + 31) // 32):
        words[field.word + offset] |= (bits >> (32 * offset)) & 0xFFFF_FFFF


def get_field(words: list[int], layout: dict[str, Field], name: str) -> int:
    """Read a field of `words` as an unsigned integer."""
    field = layout[name]
    span = (field.low + field.width + 31) // 32
    bits = sum(words[field.word + offset] << (32 * offset) for offset in range(span))
    return (bits >> field.low) & ((1 << field.width) - 1)


def seed_word_count(noise_streams: int, state_words: int) -> int:
    """Words of a SEED command, its header included."""
    return 1 + noise_streams * state_words


TABLE_COMMAND_WORDS = 1 + TABLE_ENTRIES * TABLE_ENTRY_WORDS
"""Words of a TABLE command."""

DRAW_COMMAND_WORDS = 2
"""Words of a DRAW command."""
