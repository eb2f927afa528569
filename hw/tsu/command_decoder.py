# SPDX-License-Identifier: Apache-2.0
"""Command words to fields, entries, table entries and seed words."""

from functools import reduce
from operator import or_

from amaranth.hdl import Module, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.spec import commands
from hw.spec.commands import BLOCK_FIELDS, COMMON_FIELDS, ENTRY_FIELDS, LOAD_FIELDS, Field, Opcode, opcodes
from hw.spec.config import TsuConfig
from hw.spec.noise import STATE_WORDS

from .context_table import block_entry_layout
from .layouts import DISTANCE_BITS, command_layout

HEADER_INDEX_BITS = (commands.LOAD_HEADER_WORDS - 1).bit_length()
"""Width of the index of a header word; the last one is all ones."""

INDEX_BITS = 12
"""Width of the word counter; it saturates, and no legal command is that long."""


def header_layout(config: TsuConfig) -> data.StructLayout:
    """Every named field of a command, as `hw.spec.commands` lays them out.

    Of the tail weight only `total_bits` bits are kept; `tail_excess` says that a higher one was set.
    """
    widths = {name: field.width for name, field in (COMMON_FIELDS | LOAD_FIELDS).items()}
    return data.StructLayout(widths | {"tail_weight": config.total_bits, "tail_excess": 1})


def field_of_word(field: Field, word: Signal) -> Signal:
    """Bits of a field that lies inside one word."""
    return word[field.low : field.low + field.width]


class CommandDecoder(wiring.Component):
    """Follow one command word by word; judge its opcode, version and length when the last word has come.

    A word is accepted while `enable` is high; from word 1 on also `gate` must be high, which the loader raises when the
    resources of this opcode are free, at the earliest in the cycle after `index` has become 1. Words behind the
    expected end are swallowed, so that the next command starts in step whatever came before.

    Parameters
    ----------
    config : TsuConfig

    Members
    -------
    i_command : In(stream(word, last))
    enable, gate : In(1)
    header : Out(header_layout)         fields of the command; complete from the cycle after its word
    is_load, is_draw, is_table, is_seed : Out(1)      opcode, in this version; known together with it
    is_context, is_block : Out(1)       the same with contexts, else low; a CONTEXT is a load too
    index : Out(12)                     words of the command looked at so far
    busy : Out(1)                       between the first word of a command and `end_stb`
    header_stb : Out(1)                 a LOAD header is complete
    entry : Out(stb, index, id, score_q)
    table : Out(stb, index, entry)
    seed : Out(stb, word), seeding : Out(1)
    seed_zero : Out(1)                  some stream's state was zero
    block : Out(block_entry_layout)     with contexts: a stream of a BLOCK
    end_stb : Out(1)                    the last word has come; the verdicts below are valid three cycles later
    bad_opcode, bad_version, bad_length : Out(1)
    Throughput   one word per cycle
    """

    def __init__(self, *, config: TsuConfig) -> None:
        self._config = config
        self._word_zero, self._in_header = Signal(), Signal(init=1)
        entry = {name: field.width for name, field in ENTRY_FIELDS.items()}
        table = data.StructLayout({"stb": 1, "index": DISTANCE_BITS, "entry": config.weight_bits})
        self.is_context, self.is_block = Signal(), Signal()
        ports = {
            "i_command": In(stream.Signature(command_layout())),
            "enable": In(1),
            "gate": In(1),
            "header": Out(header_layout(config)),
            "is_load": Out(1),
            "is_draw": Out(1),
            "is_table": Out(1),
            "is_seed": Out(1),
            "index": Out(INDEX_BITS),
            "busy": Out(1),
            "header_stb": Out(1),
            "entry": Out(data.StructLayout({"stb": 1, "index": config.depth, **entry})),
            "table": Out(table),
            "seed": Out(data.StructLayout({"stb": 1, "word": 32})),
            "seeding": Out(1),
            "seed_zero": Out(1),
            "end_stb": Out(1),
            "bad_opcode": Out(1),
            "bad_version": Out(1),
            "bad_length": Out(1),
        }
        if config.contexts:
            ports["block"] = Out(block_entry_layout(config))
        super().__init__(ports)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        index = self.index
        # A word is registered before it is looked at. Word 1 waits until the gate has seen the opcode.
        taken, word, last = Signal(), Signal(32), Signal()
        # What the index is good for, from registers: index = 0, index > 1, and index < 8 in `_in_header`.
        first, underway = Signal(init=1), Signal()
        accept, started = Signal(), Signal()
        m.d.comb += [
            self.i_command.ready.eq(self.enable & ~(taken & last) & (~started | self.gate)),
            accept.eq(self.i_command.valid & self.i_command.ready),
        ]
        m.d.sync += [taken.eq(accept), word.eq(self.i_command.payload.data), last.eq(self.i_command.payload.last)]
        with m.If(accept):
            m.d.sync += started.eq(~self.i_command.payload.last)
        # What a word would mean, known from registers when it is looked at.
        offered = self.i_command.payload.data
        ours = field_of_word(COMMON_FIELDS["version"], offered) == commands.COMMAND_VERSION
        opcode = field_of_word(COMMON_FIELDS["opcode"], offered)
        known = opcodes(self._config.contexts)
        word_is = {code: Signal(name=f"word_is_{code.name.lower()}") for code in known}
        m.d.sync += self._word_zero.eq(offered == 0)
        m.d.sync += [meant.eq(ours & self._is_one_of(opcode, code)) for code, meant in word_is.items()]
        m.d.comb += self.busy.eq(started | taken)
        m.d.sync += [self.header_stb.eq(0), self.entry.stb.eq(0), self.table.stb.eq(0), self.seed.stb.eq(0)]
        if self._config.contexts:
            m.d.sync += self.block.stb.eq(0)
        m.d.sync += self.end_stb.eq(taken & last)
        with m.If(taken):
            with m.If(last):
                m.d.sync += index.eq(0)
            with m.Elif(~index.all()):
                m.d.sync += index.eq(index + 1)
            m.d.sync += [
                first.eq(last),
                underway.eq(~last & ~first),
                self._in_header.eq(last | (self._in_header & ~index[:HEADER_INDEX_BITS].all())),
            ]
            with m.If(self._in_header):
                self._take_fields(m, word, COMMON_FIELDS)
            with m.If(first):  # a command of another version changes nothing
                m.d.sync += [getattr(self, f"is_{code.name.lower()}").eq(meant) for code, meant in word_is.items()]
            with m.Else():
                with m.If(self.is_load):
                    self._load_words(m, word)
                with m.If(self.is_table):
                    self._table_words(m, word)
                with m.If(self.is_seed):
                    self._seed_words(m, word)
                if self._config.contexts:
                    with m.If(self.is_block):
                        self._block_words(m, word)
        # Not from word 0 on: behind it the gate may hold the command back for draws, and those need noise.
        m.d.comb += self.seeding.eq((underway & self.is_seed) | self.seed.stb)
        self._verdict(m, taken)
        return m

    def _is_one_of(self, opcode: Value, code: Opcode) -> Value:
        """Whether an opcode is handled as `code`."""
        if self._config.contexts and code is Opcode.LOAD:
            return (opcode == code) | (opcode == Opcode.CONTEXT)
        return opcode == code

    def _take_fields(self, m: Module, word: Signal, fields: dict[str, Field]) -> None:
        """The fields of this word. A field of two words is taken half by half."""
        with m.Switch(self.index[:HEADER_INDEX_BITS]):
            for number in range(commands.LOAD_HEADER_WORDS):
                with m.Case(number):
                    for name, field in fields.items():
                        target = self.header[name]
                        if field.word == number and field.width <= 32:
                            m.d.sync += target.eq(field_of_word(field, word))
                        elif field.width > 32 and 0 <= number - field.word < 2:
                            low = 32 * (number - field.word)
                            m.d.sync += target[low : low + 32].eq(word)
                            if name == "tail_weight":
                                excess = word[max(0, min(32, len(target) - low)) :].any()
                                m.d.sync += self.header.tail_excess.eq(excess | (self.header.tail_excess if low else 0))

    def _load_words(self, m: Module, word: Signal) -> None:
        """The header up to word 7, entries from word 8 on. Only a LOAD changes the fields of a loaded psi."""
        with m.If(self._in_header):
            self._take_fields(m, word, LOAD_FIELDS)
            m.d.sync += self.header_stb.eq(self.index[:HEADER_INDEX_BITS].all())
        with m.Else():
            m.d.sync += [
                self.entry.stb.eq(1),
                self.entry.index.eq(self.index - commands.LOAD_HEADER_WORDS),
                self.entry.id.eq(field_of_word(ENTRY_FIELDS["id"], word)),
                self.entry.score_q.eq(field_of_word(ENTRY_FIELDS["score_q"], word)),
            ]

    def _table_words(self, m: Module, word: Signal) -> None:
        """Two words an entry, low word first, from word 1 on."""
        entry = self.table.entry
        with m.If(self.index[0]):
            m.d.sync += entry[:32].eq(word)
        with m.Else():
            m.d.sync += [
                self.table.stb.eq(1),
                self.table.index.eq((self.index >> 1) - 1),
                entry[32:].eq(word),
            ]

    def _seed_words(self, m: Module, word: Signal) -> None:
        """Words into the seed chain; every group of four must hold a one."""
        m.d.sync += [self.seed.stb.eq(1), self.seed.word.eq(word)]
        first_of_state, last_of_state = self.index[:2] == 1, self.index[:2] == STATE_WORDS % 4
        zero_before, zero_now = Signal(), Signal()
        m.d.comb += zero_now.eq(self._word_zero & (zero_before | first_of_state))
        m.d.sync += [
            zero_before.eq(zero_now),
            self.seed_zero.eq((self.seed_zero & (self.index != 1)) | (zero_now & last_of_state)),
        ]

    def _block_words(self, m: Module, word: Signal) -> None:
        """One stream a word, from word 2 on."""
        m.d.sync += [
            self.block.stb.eq(~self._in_block_header()),
            self.block.stream.eq(self.index - commands.BLOCK_HEADER_WORDS),
            self.block.context.eq(field_of_word(BLOCK_FIELDS["context"], word)),
        ]

    def _in_block_header(self) -> Value:
        return self.index < commands.BLOCK_HEADER_WORDS

    def _verdict(self, m: Module, taken: Signal) -> None:
        """Judge opcode, version and length; registered twice, because nobody asks before."""
        header, count = self.header, Signal(INDEX_BITS)
        expected, load_words = Signal(INDEX_BITS), Signal(INDEX_BITS)
        m.d.sync += load_words.eq(commands.LOAD_HEADER_WORDS + header.k)
        with m.If(self.is_load):
            m.d.sync += expected.eq(load_words)
        with m.Elif(self.is_draw):
            m.d.sync += expected.eq(commands.DRAW_COMMAND_WORDS)
        with m.Elif(self.is_table):
            m.d.sync += expected.eq(commands.TABLE_COMMAND_WORDS)
        with m.Else():
            m.d.sync += expected.eq(commands.seed_word_count(self._config.noise_streams, STATE_WORDS))
        with m.If(taken):
            m.d.sync += count.eq(self.index + 1)
        short_header = self.is_load & (count < commands.LOAD_HEADER_WORDS)
        known = reduce(or_, (header.opcode == code for code in opcodes(self._config.contexts)))
        m.d.sync += [
            self.bad_opcode.eq(~known),
            self.bad_version.eq(header.version != commands.COMMAND_VERSION),
            self.bad_length.eq((count != expected) | short_header),
        ]
        if self._config.contexts:
            fewest = commands.BLOCK_HEADER_WORDS + 1
            with m.If(self.is_block):
                m.d.sync += self.bad_length.eq((count < fewest) | (count >= fewest + self._config.streams))
