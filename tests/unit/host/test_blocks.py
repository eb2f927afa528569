# SPDX-License-Identifier: Apache-2.0
"""Block drafting on the host's side: what is refused in one line, what a refusal leaves, and the words of commands."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from host.golden.exact import draft_law
from host.psi.schema import Psi
from host.tsu import native_blocks
from host.tsu.base import Blocks, TsuError, block_tsu
from host.tsu.lowering import block_command, context_command, load_command, lower
from host.tsu.model import ModelTsu
from host.tsu.registry import open_tsu
from hw.spec.commands import LOAD_HEADER_WORDS, Opcode, Status, WeightMode, opcodes, statuses
from hw.spec.config import TsuConfig
from hw.spec.errors import SpecError

CONFIG = TsuConfig(
    k_max=4, vocab_max=32, weight_bits=12, headroom_bits=2, guard_bits=4, tail_noise_bits=8, contexts=8, streams=16
)


def some_psi(seed: int, *, vocab: int = 8, tail: float = 0.5) -> Psi:
    rng = np.random.default_rng(seed)
    return Psi(
        ids=np.sort(rng.choice(vocab, 3, replace=False)),
        scores_q=rng.integers(-20, 20, 3),
        scale=0.02,
        zero_point=0,
        tau=1.0,
        tail=tail,
        vocab_size=vocab,
    )


BANK = {context: some_psi(context) for context in range(8)}


@pytest.fixture
def tsu() -> Iterator[ModelTsu]:
    with ModelTsu(config=CONFIG, seed=1) as opened:
        yield opened


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"contexts": 3}, "contexts"),
        ({"contexts": 2048}, "contexts"),
        ({"contexts": -2}, "contexts"),
        ({"contexts": 1}, "contexts"),
        ({"streams": 12}, "streams"),
        ({"lanes": 16}, "streams"),
        ({"streams": 2048}, "streams"),
        ({"groups": 2}, "groups (with contexts > 0)"),
    ],
)
def test_configurations_that_are_refused(changes: dict[str, object], field: str) -> None:
    with pytest.raises(SpecError) as caught:
        CONFIG.with_fields(**changes)
    assert caught.value.field == field


def test_only_a_tsu_with_contexts_knows_their_opcodes() -> None:
    assert set(opcodes(8)) - set(opcodes(0)) == {Opcode.CONTEXT, Opcode.BLOCK}
    assert set(statuses(8)) - set(statuses(0)) == {Status.BAD_CONTEXT}
    context = context_command(lower(BANK[0], CONFIG, WeightMode.TABLE), slot=0)
    with ModelTsu(config=CONFIG.with_fields(contexts=0)) as plain:
        assert plain.command(context) == (Status.BAD_OPCODE, 0)
        assert plain.command(block_command(np.array([0], dtype=np.uint32), length=1)) == (Status.BAD_OPCODE, 0)


def test_words_of_the_commands() -> None:
    words = block_command(np.array([5, 7], dtype=np.uint32), length=300, tag=9)
    assert words.tolist() == [Opcode.BLOCK | 1 << 8 | 9 << 16, 300, 5, 7]
    lowered = lower(BANK[3], CONFIG, WeightMode.TABLE)
    words = context_command(lowered, slot=6, tag=2)
    assert words[:2].tolist() == [Opcode.CONTEXT | 1 << 8 | 2 << 16, 6]
    assert len(words) == LOAD_HEADER_WORDS + 3
    for length in (-1, 1 << 16):
        with pytest.raises(SpecError, match="length"):
            block_command(words, length=length)


def test_a_bank_as_a_sequence_begins_with_context_0(tsu: ModelTsu) -> None:
    tsu.load_bank(list(BANK.values()))
    by_sequence = tsu.blocks(range(8), 5)  # type: ignore[arg-type]  # numpy takes it
    with ModelTsu(config=CONFIG, seed=1) as other:
        other.load_bank(BANK)
        by_mapping = other.blocks(np.arange(8), 5)
    assert np.array_equal(by_sequence.tokens, by_mapping.tokens)
    assert by_sequence.lengths.tolist() == [5] * 8


@pytest.mark.parametrize(
    ("psis", "message"),
    [
        ({8: BANK[0]}, r"context = 8 is not legal: expected an integer in \[0, 7\]"),
        ({-1: BANK[0]}, "context = -1"),
        ({1: some_psi(0, vocab=33)}, "vocab_size = 33"),
        ([*BANK.values(), BANK[0]], "context = 8"),
    ],
)
def test_a_bank_that_does_not_fit_changes_nothing(tsu: ModelTsu, psis: dict[int, Psi], message: str) -> None:
    tsu.load_bank(BANK)
    with pytest.raises(SpecError, match=message):
        tsu.load_bank(psis)
    assert tsu.blocks([1, 2], 4).lengths.tolist() == [4, 4]


def test_a_refused_psi_empties_its_slot(tsu: ModelTsu, monkeypatch: pytest.MonkeyPatch) -> None:
    """Psi are checked before they are sent; here one is sent with a tail that the TSU has no room for."""
    tsu.load_bank(BANK)
    with monkeypatch.context() as patched:
        patched.setattr(
            native_blocks,
            "lower",
            lambda psi, *rest: replace(lower(psi, *rest), tail_weight=1 << CONFIG.total_bits),
        )
        with pytest.raises(TsuError, match=r"^context 5: the TSU refused CONTEXT: BAD_TAIL, .* tail_weight = 16384"):
            tsu.load_bank({5: BANK[5], 6: BANK[6]})
    with pytest.raises(SpecError, match="context = 5 is not legal: expected a context whose slot holds a psi"):
        tsu.blocks([0, 5], 2)
    assert tsu.blocks([6], 1).lengths.tolist() == [1]  # it was not reached
    tsu.load_bank({5: BANK[5]})
    assert tsu.blocks([5], 3).lengths.tolist() == [3]


@pytest.mark.parametrize(
    ("contexts", "length", "message"),
    [
        ([8], 1, "context = 8"),
        ([-1], 1, "context = -1"),
        ([[0]], 1, "contexts = 'int64 of shape"),
        ([0.0], 1, "contexts = 'float64 of shape"),
        ([0], -1, "length = -1"),
        ([0], 1 << 16, "length = 65536"),
        ([0], 1.5, "length = 1.5"),
        ([7], 2, "context = 7 is not legal: expected a context whose slot holds a psi"),
    ],
)
def test_blocks_that_are_refused_draw_nothing(tsu: ModelTsu, contexts: list[int], length: int, message: str) -> None:
    tsu.load_bank({context: BANK[context] for context in range(7)})
    with pytest.raises(SpecError, match=message):
        tsu.blocks(contexts, length)
    with ModelTsu(config=CONFIG, seed=1) as other:
        other.load_bank({context: BANK[context] for context in range(7)})
        assert np.array_equal(tsu.blocks([1, 2, 3], 6).tokens, other.blocks([1, 2, 3], 6).tokens)


def test_streams_end_where_there_is_no_psi(tsu: ModelTsu) -> None:
    tsu.load_bank({context: BANK[context] for context in range(4)})
    blocks = tsu.blocks(np.arange(4).repeat(50), 40)
    assert 1 <= blocks.lengths.min() < blocks.lengths.max()
    last = blocks.tokens[np.arange(200), blocks.lengths - 1]
    assert (last[blocks.lengths < 40] >= 4).all()
    inside = np.arange(40) < blocks.lengths[:, None] - 1
    assert (blocks.tokens[inside] < 4).all()


def test_log_q_of_a_row_adds_up_to_the_joint_law(tsu: ModelTsu) -> None:
    tsu.load_bank({context: BANK[context] for context in range(4)})
    blocks = tsu.blocks([0, 1, 2, 3] * 10, 6)
    laws = {context: draft_law(psi, CONFIG, "table") for context, psi in BANK.items()}
    for i, start in enumerate([0, 1, 2, 3] * 10):
        context, joint = start, 1.0
        for token in blocks.tokens[i, : blocks.lengths[i]].tolist():
            joint *= float(laws[context].q(token))
            context = token
        assert np.exp(blocks.log_q[i].sum()) == pytest.approx(joint, rel=1e-12)


def test_more_contexts_than_streams_go_in_groups(tsu: ModelTsu) -> None:
    tsu.load_bank(BANK)
    contexts = np.arange(40) % 8
    together = tsu.blocks(contexts, 3)
    tsu.reseed(1)
    parts = [tsu.blocks(contexts[first : first + 16], 3) for first in (0, 16, 32)]
    assert np.array_equal(together.tokens, np.concatenate([part.tokens for part in parts]))
    assert len(together) == 40


def test_nothing_to_draw(tsu: ModelTsu) -> None:
    tsu.load_bank(BANK)
    for contexts, length in (([], 3), ([1, 2], 0)):
        blocks = tsu.blocks(contexts, length)
        assert isinstance(blocks, Blocks)
        assert blocks.tokens.shape == (len(contexts), length)
        assert blocks.log_q.shape == (len(contexts), length)
        assert not blocks.lengths.any()


def test_a_psi_is_loaded_again_behind_a_bank(tsu: ModelTsu) -> None:
    psi = some_psi(77)
    before = tsu.sample(psi, 4)
    tsu.load_bank(BANK)
    after = tsu.sample(psi, 4)
    with ModelTsu(config=CONFIG, seed=1) as other:
        whole = other.sample(psi, 8)
    assert before.tokens.tolist() + after.tokens.tolist() == whole.tokens.tolist()
    assert after.total == whole.total


def test_the_tokens_of_a_block_are_taken_before_any_other_command(tsu: ModelTsu) -> None:
    """The C interface; a TSU whose stream is not known is closed."""
    tsu.load_bank(BANK)
    words = block_command(np.array([0], dtype=np.uint32), length=2)
    assert tsu.command(words) == (Status.OK, 0)
    with pytest.raises(TsuError, match="the tokens of a BLOCK have to be taken first"):
        tsu.command(words)


def test_a_block_waits_for_draws_to_be_taken(tsu: ModelTsu) -> None:
    tsu.load_bank(BANK)
    load = load_command(lower(BANK[0], CONFIG, WeightMode.TABLE), count=3)
    assert tsu.command(load)[0] is Status.OK
    with pytest.raises(TsuError, match="a BLOCK needs an idle TSU"):
        tsu.command(block_command(np.array([0], dtype=np.uint32), length=2))


def test_backend_serial_carries_no_blocks() -> None:
    with pytest.raises(SpecError) as caught:
        open_tsu(backend="serial", config=CONFIG, port="/dev/null")
    assert str(caught.value) == "contexts = 8 is not legal: expected 0, because backend serial carries no blocks"


@pytest.mark.slow  # imports JAX
def test_backend_thrml_carries_no_blocks() -> None:
    pytest.importorskip("thrml")
    with pytest.raises(
        SpecError, match="contexts = 8 is not legal: expected 0, because backend thrml carries no blocks"
    ):
        open_tsu(backend="thrml", config=CONFIG)


def test_block_tsu_names_what_is_missing(tsu: ModelTsu) -> None:
    assert block_tsu(tsu) is tsu
    with (
        ModelTsu(config=CONFIG.with_fields(contexts=0)) as plain,
        pytest.raises(SpecError, match=r"contexts = 0 is not legal: expected a power of two in \[2, 1024\]"),
    ):
        block_tsu(plain)

    class Other(ModelTsu):
        @property
        def capabilities(self):  # type: ignore[no-untyped-def]  # that of the model, less blocks
            return replace(super().capabilities, name="other", blocks=False)

    with Other(config=CONFIG) as other, pytest.raises(TsuError, match="backend other drafts no blocks on chip"):
        block_tsu(other)


def test_a_tsu_without_contexts_refuses_banks_and_blocks() -> None:
    with ModelTsu(config=CONFIG.with_fields(contexts=0)) as plain:
        for attempt in (lambda: plain.load_bank(BANK), lambda: plain.blocks([0], 1)):
            with pytest.raises(SpecError, match="contexts = 0"):
                attempt()
