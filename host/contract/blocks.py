# SPDX-License-Identifier: Apache-2.0
"""Blocks that a TSU drafts by itself: their form, the integers of every token, where they end, and their stream."""

import numpy as np

from host.psi.law import DraftLaw
from host.psi.schema import Psi
from host.tsu.base import Blocks, BlockTsu, Tsu, block_tsu
from host.tsu.model import ModelTsu
from hw.spec.errors import SpecError

from . import cases
from .errors import NotApplicable, Violation
from .subject import Subject

LENGTHS = (0, 1, 2, 7, 64)
"""Tokens of the streams of one call."""

_DTYPES = {"tokens": np.uint32, "weights": np.uint64, "spreads": np.uint32, "totals": np.uint64, "lengths": np.uint32}


def _bank(subject: Subject) -> dict[int, Psi]:
    """Psi of all contexts but the last, over all contexts and one token more: blocks end at two tokens."""
    config = subject.config
    vocab = min(config.contexts + 1, config.vocab_max)
    k = max(1, min(config.k_max, vocab - 1))
    rng = np.random.default_rng(5)
    return {
        context: cases.make_psi(
            np.sort(rng.choice(vocab, k, replace=False)), rng.integers(100, 128, k), vocab_size=vocab, tail=0.5
        )
        for context in range(config.contexts - 1)
    }


def blocks(subject: Subject) -> str:
    """Every token has the integers of its context's psi; streams end where they must; the stream is the model's."""
    if not subject.capabilities.blocks:
        raise NotApplicable("blocks is False: it drafts none on chip")
    if not subject.config.contexts:
        raise NotApplicable("contexts = 0: this configuration has no psi bank")
    bank = _bank(subject)
    with subject.open(seed=41) as opened:
        found = _draft(opened, bank)
    tokens = 0
    for starts, length, block in found:
        _check_form(block, len(starts), length)
        tokens += sum(
            _check_stream(subject, bank, block, i, context, length) for i, context in enumerate(starts.tolist())
        )
    if subject.capabilities.bit_true and subject.capabilities.name != "model":
        with ModelTsu(config=subject.config, seed=41) as model:
            for (_, length, block), (_, _, due) in zip(found, _draft(model, bank), strict=True):
                if not all(np.array_equal(getattr(block, name), getattr(due, name)) for name in _DTYPES):
                    raise Violation(f"blocks of {length} tokens are not those of the model")
    return f"{tokens:,} tokens in blocks of {', '.join(map(str, LENGTHS))}"


def _draft(opened: Tsu, bank: dict[int, Psi]) -> list[tuple[np.ndarray, int, Blocks]]:
    """Blocks of every length, with draws between them; a start that holds no psi is refused."""
    tsu: BlockTsu = block_tsu(opened)
    rng, found = np.random.default_rng(6), []
    tsu.load_bank(bank)
    for length in LENGTHS:
        starts = rng.choice(sorted(bank), tsu.config.streams + 3)
        found.append((starts, length, tsu.blocks(starts, length)))
        tsu.sample(bank[0], 5)
        try:
            tsu.blocks([tsu.config.contexts - 1], 1)
        except SpecError:
            continue
        raise Violation("a stream may start in a context without psi; SpecError was due")
    return found


def _check_form(block: Blocks, streams: int, length: int) -> None:
    for name, dtype in _DTYPES.items():
        column, shape = getattr(block, name), (streams,) if name == "lengths" else (streams, length)
        if not isinstance(column, np.ndarray) or column.dtype != dtype or column.shape != shape:
            raise Violation(f"Blocks.{name} is not a {np.dtype(dtype).name} array of shape {shape}")


def _check_stream(subject: Subject, bank: dict[int, Psi], block: Blocks, stream: int, context: int, length: int) -> int:
    """Tokens of one stream, after each has been compared with the law of its context."""
    mode, end = subject.modes[0], int(block.lengths[stream])
    for j in range(end):
        if context not in bank:
            raise Violation(f"stream {stream} goes on behind token {context}, whose slot holds no psi")
        law: DraftLaw = subject.law(bank[context], mode)
        token = int(block.tokens[stream, j])
        found = tuple(int(getattr(block, name)[stream, j]) for name in ("weights", "spreads", "totals"))
        at = np.array([token], dtype=np.uint32)
        due = (int(law.weight_of(at)[0]), int(law.spread_of(at)[0]), law.total)
        if found != due:
            raise Violation(f"token {token} in context {context} has weight, spread, total {found}; its psi has {due}")
        context = token
    if end < length and context in bank:
        raise Violation(f"stream {stream} ends behind {end} of {length} tokens, though context {context} holds a psi")
    return end
