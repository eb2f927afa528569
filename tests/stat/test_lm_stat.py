# SPDX-License-Identifier: Apache-2.0
"""SmolLM2 on the RTL by statistics: 2 10^5 tokens, context by context, against the row of the pass that verifies.

Contexts come from decoding a text, so their rows are those of real passes over a token and its draft. At each of them
many drafts are drawn and verified; the eight tests of `host.context_soundness` judge. Drafts come from the law of the
position before mixed with the row's own: half right, as those of a trained head.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest

from host import stats
from host.context_soundness import (
    CONTEXT_ALPHA,
    MIN_EXPECTED_CONTEXT,
    ContextAssessment,
    ContextCounts,
    Together,
)
from host.golden.exact import draft_law
from host.models.llama_folder import load_llama
from host.psi.craft import craft_psi
from host.soundness import Soundness
from host.targets.language_model import find_model
from host.targets.llama import LlamaTarget
from host.text_soundness import Events
from host.tsu.base import Draws
from host.tsu.rtl import RtlTsu
from host.verify.draw import draw_token
from host.verify.siblings import SiblingVerifier
from host.verify.single import SingleVerifier, Verified
from hw.spec.config import TsuConfig
from tests.reference.smollm2 import smollm2_or_skip

CONTEXTS, DRAWS, K = 50, 4000, 64
CONFIG = TsuConfig(k_max=K)
Verify = Callable[[SingleVerifier, Draws, npt.NDArray[np.float64]], Verified]


@pytest.fixture(scope="module")
def rows() -> list[tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]]:
    """p of each position of a text, and the law that its psi is made of."""
    folder = smollm2_or_skip()
    target = LlamaTarget(model=load_llama(folder=folder, positions=256))
    tokenizer, rng = find_model(str(folder)).tokenizer, np.random.default_rng(4)
    text = tokenizer.encode("It was a cold day, and the river").tolist()
    before = np.exp(target.logprobs(np.array([text]))[0])
    found = []
    for _ in range(CONTEXTS):
        text.append(draw_token(before, rng.random()))
        draft = draw_token(before, rng.random())
        p = target.rows(np.array(text), np.array([draft]), np.array([0])).p(0)
        found.append((p, 0.5 * p + 0.5 * before))
        before = p
    return found


def assess(rows: list[tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]], verify: Verify) -> Soundness:
    assessment, rng = ContextAssessment(), np.random.default_rng(1)
    with RtlTsu(config=CONFIG, seed=2, mode="exp2") as tsu:
        for p, guess in rows:
            psi = craft_psi(guess, K)
            law, draws = draft_law(psi, CONFIG, "exp2"), tsu.sample(psi, DRAWS)
            verified = verify(SingleVerifier(p=p, law=law), draws, rng.random((DRAWS, 2)))
            drafts, emitted, recovered = (
                np.bincount(tokens, minlength=len(p))
                for tokens in (draws.tokens, verified.tokens, verified.tokens[~verified.accepted])
            )
            assessment.add(
                ContextCounts(p=p, q=law.probabilities(), drafts=drafts, emitted=emitted, recovered=recovered)
            )
    return assessment.finish()


@pytest.mark.slow
def test_tokens_follow_the_pass_that_verifies(rows) -> None:
    soundness = assess(rows, lambda verifier, draws, uniforms: verifier.decide(draws, uniforms))
    assert soundness.failed == ()
    assert soundness.detectable_tv < 0.05


@pytest.mark.slow
def test_a_careless_rule_is_seen(rows) -> None:
    """It recovers from p in place of (p - q)+; and one that accepts a twentieth of the refused drafts."""

    def from_p(verifier: SingleVerifier, draws: Draws, uniforms: npt.NDArray[np.float64]) -> Verified:
        verified = verifier.decide(draws, uniforms)
        tokens = verified.tokens.copy()
        for i in np.flatnonzero(~verified.accepted):
            tokens[i] = draw_token(verifier._p, uniforms[i, 1])
        return Verified(tokens=tokens, accepted=verified.accepted)

    def lenient(verifier: SingleVerifier, draws: Draws, uniforms: npt.NDArray[np.float64]) -> Verified:
        verified = verifier.decide(draws, uniforms)
        passed = ~verified.accepted & (uniforms[:, 1] < 0.05)
        tokens = np.where(passed, draws.tokens, verified.tokens).astype(np.uint32)
        return Verified(tokens=tokens, accepted=verified.accepted | passed)

    assert "emitted" in assess(rows[:10], from_p).failed
    assert "accepted" in assess(rows, lenient).failed


# --- several drafts of a position -------------------------------------------------------------------------------------

SIBLINGS = 6


@pytest.fixture(scope="module")
def tree_rows() -> list[tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]]:
    """In bfloat16, from passes over a position and six drafts of it: rows behind the position, and behind drafts."""
    folder = smollm2_or_skip()
    target = LlamaTarget(model=load_llama(folder=folder, positions=256, dtype="bfloat16"))
    tokenizer, rng = find_model(str(folder)).tokenizer, np.random.default_rng(4)
    text = tokenizer.encode("It was a cold day, and the river").tolist()
    before = np.exp(target.logprobs(np.array([text]))[0])
    found = []
    for number in range(CONTEXTS):
        text.append(draw_token(before, rng.random()))
        drafts = np.unique([draw_token(before, rng.random()) for _ in range(SIBLINGS)])
        rows = target.rows(np.array(text), drafts, np.zeros(len(drafts), dtype=np.intp))
        p = rows.p(number % (len(drafts) + 1))
        found.append((p, 0.5 * p + 0.5 * before))
        before = rows.p(0)
    return found


def assess_siblings(
    rows: list[tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]], draws: int, *, lenient: bool = False
) -> dict[str, tuple[bool, float]]:
    """Tokens that the race emits of six drafts, over all contexts together: whether they pass, and how many did."""
    emitted, accepted, rng = Together(), Events(), np.random.default_rng(1)
    with RtlTsu(config=CONFIG, seed=2, mode="exp2") as tsu:
        for p, guess in rows:
            psi = craft_psi(guess, K)
            law, drawn = draft_law(psi, CONFIG, "exp2"), tsu.sample(psi, SIBLINGS * draws)
            verifier = SiblingVerifier(p=p, law=law, drafts=SIBLINGS)
            counts = np.zeros(len(p), dtype=np.int64)
            for drafts in drawn.tokens.reshape(draws, SIBLINGS).tolist():
                verified = verifier.verify(drafts, rng)
                token = drafts[0] if lenient and rng.random() < 0.05 else verified.token
                counts[token] += 1
                accepted.add(verified.accepted is not None, verifier.acceptance)
            emitted.add(stats.pooled_chi2(counts, p, MIN_EXPECTED_CONTEXT))
    together, worst = emitted.results("emitted")
    tests = (together, worst, accepted.result("accepted", CONTEXT_ALPHA))
    return {test.name: (test.passed, test.p_value) for test in tests}


@pytest.mark.slow
def test_siblings_follow_the_pass_that_verifies(tree_rows) -> None:
    """2 10^5 tokens, each of six drafts of the RTL; one draft in twenty that is not verified is seen."""
    assert all(passed for passed, _ in assess_siblings(tree_rows, DRAWS).values())
    assert not assess_siblings(tree_rows, 1000, lenient=True)["emitted"][0]
