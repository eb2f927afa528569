# SPDX-License-Identifier: Apache-2.0
"""Expected tokens of a chain, as a block and token by token: against enumeration in fractions, and on real text."""

from fractions import Fraction
from itertools import product
from pydoc_data.topics import topics

import numpy as np
import pytest

from host.plan import chain
from host.plan.chain import chain_gain
from host.psi.batch import craft_laws
from host.targets.bigram import BigramTarget, dirichlet_bigram
from host.targets.ngram import NgramTarget
from host.text.choice import make_tokenizer
from host.verify.chain import block_acceptance, token_acceptance
from hw.spec.errors import SpecError

V, K, LENGTH, SEED = 3, 2, 3, 8


def pair() -> tuple[BigramTarget, BigramTarget]:
    one, two = (dirichlet_bigram(vocab_size=V, concentration=0.8, seed=seed) for seed in (SEED, SEED + 100))
    return one, two


def accepted(method: str) -> Fraction:
    """Mean accepted drafts behind token 0, over all chains and decisions of `host.verify.chain`."""
    target, proposer = pair()
    laws = craft_laws(proposer.table, K, 1.0)
    p, q = ([[Fraction(float(x)) for x in row] for row in table] for table in (target.table, laws))
    q = [[x / sum(row) for x in row] for row in q]
    mean = Fraction(0)
    for drafts in product(range(V), repeat=LENGTH):
        before = (0, *drafts)
        chance = Fraction(1)
        for i, x in enumerate(drafts):
            chance *= q[before[i]][x]
        rows = [p[c] for c in before], [q[c] for c in before[:-1]]
        if method == "token":
            passed = Fraction(1)
            for passes in token_acceptance(drafts, *rows):
                passed *= passes
                mean += chance * passed
        else:
            still = chance
            for i, passes in reversed(list(enumerate(block_acceptance(drafts, *rows), 1))):
                mean += still * passes * i
                still *= 1 - passes
    return mean


def measured(count: int = 40_000) -> chain.ChainGain:
    target, proposer = pair()
    contexts = np.zeros((count, 1), dtype=np.int64)
    return chain_gain(
        target=target, proposer=proposer, contexts=contexts, length=LENGTH, k=K, rng=np.random.default_rng(1)
    )


def test_both_means_are_those_of_the_verifier() -> None:
    """Within 4.9 standard deviations of a mean of numbers in [0, 3]: an unbiased one fails about once in 10^6."""
    found = measured()
    bound = 4.9 * LENGTH / 2 / np.sqrt(found.chains)
    assert abs(found.token - 1 - float(accepted("token"))) < bound
    assert abs(found.block - 1 - float(accepted("block"))) < bound
    exact = float((1 + accepted("block")) / (1 + accepted("token")) - 1)
    assert found.low < exact < found.high
    assert found.high - found.low < 0.01
    assert exact > 0.01


def test_drafts_of_another_law_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """The seeded bug: chains drawn from psi's law, judged by the proposer's own."""
    monkeypatch.setattr(chain, "craft_laws", lambda p, k, tau: np.roll(craft_laws(p, k, tau), 1, axis=1))
    assert abs(measured().token - 1 - float(accepted("token"))) > 0.05


def test_a_block_gains_on_real_text() -> None:
    """Trigrams drafted by bigrams of Python's language reference, 512 byte-pair tokens, L = 4: more than 7 %."""
    text = "\n".join(topics.values())
    tokenizer = make_tokenizer("bpe", text=text, vocab_size=512)
    tokens = tokenizer.encode(text)
    target, proposer = (NgramTarget(tokens=tokens, vocab_size=512, n=n) for n in (3, 2))
    ends = np.random.default_rng(0).integers(2, len(tokens), 3000)
    contexts = np.stack([tokens[end - 2 : end] for end in ends])
    found = chain_gain(
        target=target, proposer=proposer, contexts=contexts, length=4, k=64, rng=np.random.default_rng(1)
    )
    assert found.low > 0.07


def test_what_does_not_fit_is_refused() -> None:
    target, proposer = pair()
    other = dirichlet_bigram(vocab_size=4, concentration=1.0, seed=1)
    contexts, rng = np.zeros((4, 1), dtype=np.int64), np.random.default_rng(0)
    for changed, message in (
        ({"proposer": other}, "vocab_size of the proposer = 4"),
        ({"length": 0}, "L = 0"),
        ({"contexts": contexts[:1]}, "contexts = 1"),
        ({"k": 4}, "K = 4"),
    ):
        arguments = {"target": target, "proposer": proposer, "contexts": contexts, "length": 2, "k": K, "rng": rng}
        with pytest.raises(SpecError, match=message):
            chain_gain(**{**arguments, **changed})
