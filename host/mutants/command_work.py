# SPDX-License-Identifier: Apache-2.0
"""Work in which commands differ: every size, every refusal, seeds, random commands, resets."""

from hw.spec.commands import WeightMode
from hw.spec.exp2 import RATIO_BITS, RATIO_FRACTION_BITS
from sim.mutants.script import Stalls

from .asker import STALLS, Asker
from .commands import draw, head
from .refusals import Refusals

WIDE_BITS = 40
"""Weights of at least this width show the low bits of the exp2 unit."""

FAREST = 255 * (1 << RATIO_BITS) >> RATIO_FRACTION_BITS
"""Largest exponent and one more: the ratio is cut to its largest value."""

RESET_CYCLES = 90
"""Longer than a LOAD and its first draws take."""

EDGE_CYCLES = 4
"""A last word is in the decoder's registers for this long: nothing of it may be left behind a reset."""


def after_reset(ask: Asker) -> None:
    """No psi, no table, registers; the streams of seed 0."""
    with ask.out.segment("registers after reset"):
        ask.out.registers()
    with ask.out.segment("no psi, no table"):
        ask.draw(0)
        ask.draw(3)
        ask.load(count=4, mode=WeightMode.TABLE)
        ask.draw(1)
        ask.out.registers()
    with ask.out.segment("streams of seed 0"):
        ask.good_load(count=40)
        ask.draw(7)


def all_sizes(ask: Asker) -> None:
    """Every K in both modes, V = K, V = K + 1 and any V, in odd batches, with every pattern of stalls."""
    for name, stalls in STALLS.items():
        with ask.out.segment(f"every K, {name}", stalls=stalls):
            ask.table()
            ask.seed()
            for k in range(1, ask.config.k_max + 1):
                for vocab in (k, k + 1, None):
                    fixed = {} if vocab is None else {"vocab_size": vocab}
                    ask.good_load(k=k, count=ask.make.below(24), **fixed)
                    ask.draw(ask.make.below(9))
            ask.out.registers()
    with ask.out.segment("heavy tails"):
        for _ in range(12):
            bits = ask.config.total_bits
            tail = (1 << (bits - 2)) + ask.make.below(1 << (bits - 2))
            ask.good_load(count=40, k=1 + ask.make.below(ask.config.k_max), tail_weight=tail, shift=3)
    with ask.out.segment("two tables"):
        for full in (True, False):
            ask.table(full=full)
            for _ in range(8):
                ask.load(count=20, mode=WeightMode.TABLE)
    with ask.out.segment("exp2 at all distances"):
        for _ in range(80):
            ask.load(count=2, mode=WeightMode.EXP2, k=ask.config.k_max)
    if ask.config.weight_bits >= WIDE_BITS:  # the low bits of the exp2 unit show in Z, where it is not shifted
        for number in range(12):
            with ask.out.segment(f"low bits of exp2 {number}"):
                for _ in range(100):
                    ratio = ask.make.below(1 << (36 + ask.make.below(3)))
                    ask.load(mode=WeightMode.EXP2, k=ask.config.k_max, log2_ratio_q=ratio, shift=0)
        with ask.out.segment("weights far below 1"):
            for bit in range(5, 14):
                for shift, more in ((0, 0), (0, 1), (1, 7), (63, 0)):
                    _far_load(ask, (1 << bit) + more, shift=shift)
            for shift in (0, 61, 62, 63):
                _far_load(ask, FAREST, shift=shift)


def _far_load(ask: Asker, exponent: int, *, shift: int) -> None:
    """Two entries 255 codes apart, the lower one with a weight of about 2^-exponent of the other."""
    ratio = min((1 << RATIO_BITS) - 1, -(-(exponent << RATIO_FRACTION_BITS) // 255))
    tail = 1 << (ask.config.total_bits - 3)
    entries = [(1, 0x7F), (4, 0x80)]
    ask.load(
        count=2,
        mode=WeightMode.EXP2,
        entries=entries,
        vocab_size=9,
        log2_ratio_q=ratio,
        shift=shift,
        tail_weight=tail,
    )


def refusals(ask: Asker) -> None:
    """Every rule, at its edge, with good commands in between that show what was left."""
    refusals = Refusals(config=ask.config, make=ask.make, tag=ask.out.next_tag)
    for number, spoiled in enumerate(refusals.commands()):
        with ask.out.segment(f"refusals {number}"):
            if not ask.out.has_table:
                ask.table()
            ask.good_load(count=5)
            ask.out.command(spoiled)
            ask.draw(3)
            if not ask.out.seeded:
                ask.seed()
            ask.good_load(count=3)
            ask.draw(4)
            ask.out.registers()
    for number in range(8):
        with ask.out.segment(f"a refused DRAW before the first draw of a psi {number}"):
            ask.good_load(count=9)
            ask.tail_load(0)
            ask.out.command([*draw(7, ask.out.next_tag()), 0])  # a word too many
            ask.draw(3)
            ask.draw(11)


def seeds(ask: Asker) -> None:
    """Zero states are refused and reported, whichever stream has them; a good SEED ends it."""
    config = ask.config
    for stream in range(config.noise_streams):
        for name, stalls in STALLS.items():
            with ask.out.segment(f"zero state of stream {stream}, {name}", stalls=stalls):
                ask.good_load(count=3)
                ask.seed(zero_from=4 * stream, zeros=4)
                ask.out.registers(locked_up=1 << stream // config.noise_words)
            with ask.out.segment(f"after the zero state of stream {stream}, {name}", stalls=stalls):
                ask.draw(0)
                ask.draw(2)
                ask.load(count=3)
                ask.seed()
                ask.good_load(count=11)
                ask.out.registers()
    for first in range(4 * config.noise_streams - 5):  # more than a state of zeros, but no state of zeros
        if first % 4:
            for name, stalls in (
                ("free", Stalls()),
                ("gaps", Stalls(command=110)),
                ("long gaps", Stalls(command=235)),
            ):
                with ask.out.segment(f"zeros across states from {first}, {name}", stalls=stalls):
                    ask.seed(zero_from=first, zeros=7 - first % 4)
                    ask.draw(50)
                    ask.out.registers()
    for bit in range(128):
        with ask.out.segment(f"states of one bit, {bit}", stalls=STALLS["commands stall"]):
            words = ask.make.seed(ask.out.next_tag())
            for stream in range(config.noise_streams):
                state = 1 << (bit + stream) % 128
                words[1 + 4 * stream : 5 + 4 * stream] = [state >> 32 * i & 0xFFFF_FFFF for i in range(4)]
            ask.out.command(words)
            ask.draw(20)
            ask.out.registers()
    with ask.out.segment("many refusals"):
        for number in range(8300):  # carries into bit 13 of the count
            ask.out.command(head(number % 256 | 0x80, number))
        ask.out.registers()


def fuzz(ask: Asker) -> None:
    """Random commands, good and bad, one behind the other."""
    patterns = list(STALLS.values())
    for number in range(150):
        with ask.out.segment(f"random commands {number}", stalls=patterns[number % len(patterns)]):
            for _ in range(20):
                _random_command(ask)
            ask.out.registers()


def _random_command(ask: Asker) -> None:
    if not ask.out.seeded and ask.make.below(2):
        ask.seed()
    match ask.make.below(12):
        case 0:
            ask.table(full=bool(ask.make.below(2)))
        case 1:
            ask.seed()
        case 2 | 3 | 4:
            ask.draw(ask.make.below(4) * ask.make.below(13))
        case 5:
            words = ask.make.words(1 + ask.make.below(12))
            ask.out.command([words[0] | 0x4, *words[1:]])
        case _:
            ask.load(count=ask.make.below(30))


def resets(ask: Asker) -> None:
    """Resets while draws are owed, with a command half taken, and in any cycle behind a command: no psi, no table,
    the streams of seed 0.
    """
    for number in range(12):
        stalls = list(STALLS.values())[number % len(STALLS)]
        with ask.out.segment(f"before reset {number}", reset=number == 0, stalls=stalls) as segment:
            ask.table()
            ask.seed()
            ask.good_load(count=ask.make.below(20))
            ask.draw(ask.make.below(9))
            if number % 2:
                ask.draw(5000, take=(1 + ask.make.below(12)) * ask.config.lanes)
            else:
                words = (ask.make.load(tag=1, k=2), ask.make.table(tag=2), ask.make.seed(tag=3))[number // 2 % 3]
                segment.unfinished = words[: 1 + ask.make.below(len(words) - 1)]
                segment.open_end = True
        hold = (700, None) if number % 2 else (0, None)
        with ask.out.segment(f"after reset {number}", reset=True, stalls=stalls, hold=hold):
            ask.draw(1)
            ask.load(count=3, mode=WeightMode.TABLE)
            if number % 3:
                ask.table()
            ask.good_load(count=100 * ask.config.lanes + 1)
            ask.draw(5)
            ask.out.registers()
    for number in range(2 * RESET_CYCLES):  # the reset takes one cycle or two in turns
        linger = number // 2
        with ask.out.segment(f"before reset {linger} cycles behind a LOAD") as segment:
            ask.tail_load(3)
            words = [int(word) for word in ask.make.load(tag=1, k=2, count=40)]
            segment.unfinished = [*words[:-1], words[-1] | 1 << 32]
            segment.linger, segment.open_end = linger, True
        with ask.out.segment(f"after reset {linger} cycles behind a LOAD", reset=True):
            ask.draw(3)
            ask.sure_load(0)
            ask.draw(11)
    for number in range(2 * EDGE_CYCLES):
        linger = number // 2
        for name in ("LOAD", "DRAW", "TABLE", "SEED"):
            with ask.out.segment(f"before reset {linger} cycles behind the last word of {name}") as segment:
                ask.tail_load(0)
                whole = {
                    "LOAD": ask.make.load(tag=1, k=2, count=5),
                    "DRAW": draw(4, 1),
                    "TABLE": ask.make.table(tag=1),
                    "SEED": ask.make.seed(tag=1),
                }[name]
                words = [int(word) for word in whole]
                segment.unfinished = [*words[:-1], words[-1] | 1 << 32]
                segment.linger, segment.open_end = linger, True
            with ask.out.segment(f"after reset {linger} cycles behind the last word of {name}", reset=True):
                ask.draw(1)
                ask.sure_load(7)
