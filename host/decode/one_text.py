# SPDX-License-Identifier: Apache-2.0
"""Speculative decoding of one text: a draft, a pass of the target, one token or two.

The draft is drawn before the target is asked. A target that looks ahead (`host.targets.ahead`) then computes in one
pass what follows the text and what follows its draft. A refused draft is replaced by a recovered token; behind an
accepted one the row is known already, and gives a bonus token that needs neither a draft nor a pass (Leviathan et al.,
arXiv:2211.17192). With acceptance a, a pass gives 1 + a tokens. The text has the target's law, whatever the proposer:
the draft takes no part in p.
"""

import time
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from host.golden.exact import draft_law
from host.propose.base import Proposer
from host.psi.law import DraftLaw
from host.psi.schema import Psi
from host.targets.ahead import AheadTarget
from host.targets.base import Target
from host.tsu.base import Draws, Tsu
from host.verify.draw import draw_token
from host.verify.single import SingleVerifier, Verified
from hw.spec.errors import SpecError

from .texts import Texts, started


@dataclass(frozen=True, kw_only=True, eq=False)
class TextStep:
    """One draft and what came of it.

    Parameters
    ----------
    position : int
        Tokens of the text before this step.
    tokens : tuple of int
        What was emitted: the draft or the recovered token, and the bonus token if there was one.
    p : float64 ndarray of shape (vocab_size,)
        Target at `position`.
    bonus_p : float64 ndarray of shape (vocab_size,), or None
        Target behind the accepted draft, where the bonus token came from.
    psi : Psi
    law : DraftLaw
        F_hw(psi).
    draws : Draws
        The draft.
    verified : Verified
        Its outcome.
    proposer_s, target_s, law_s, tsu_s, verifier_s : float
        Seconds spent on psi, on the rows of p, on the law and the verifier made of both, in the TSU, and on the
        decision with the bonus token.
    """

    position: int
    tokens: tuple[int, ...]
    p: npt.NDArray[np.float64]
    bonus_p: npt.NDArray[np.float64] | None
    psi: Psi
    law: DraftLaw
    draws: Draws
    verified: Verified
    proposer_s: float
    target_s: float
    law_s: float
    tsu_s: float
    verifier_s: float


class OneTextLoop:
    """Draft, verify, append.

    A proposer that asks the target itself (`host.propose`) does so in `emit`, before the pass of the step.

    Parameters
    ----------
    tsu : Tsu
    target : Target
    proposer : Proposer
    begin : int64 ndarray of shape (length,)
        How the text begins.
    mode : str
        Weight mode of the TSU: "table" or "exp2".
    rng : Generator
        Of the verifier's decisions; independent of the TSU's noise.
    end : int or None
        Length at which the text is full: no pass looks behind its last token.
    end_ids : frozenset of int
        Tokens that end the text: no bonus comes behind them.

    Raises
    ------
    SpecError
        Vocabularies differ, or a token is outside of them.
    """

    def __init__(
        self,
        *,
        tsu: Tsu,
        target: Target,
        proposer: Proposer,
        begin: npt.NDArray[np.int64],
        mode: str,
        rng: np.random.Generator,
        end: int | None = None,
        end_ids: frozenset[int] = frozenset(),
    ) -> None:
        if proposer.vocab_size != target.vocab_size:
            raise SpecError("vocab_size of the proposer", proposer.vocab_size, f"{target.vocab_size}, the target's")
        self._tsu, self._target, self._proposer = tsu, target, proposer
        self._mode, self._rng, self._end, self._end_ids = mode, rng, end, end_ids
        self._ahead = target if isinstance(target, AheadTarget) else None
        self._texts = Texts(begin=begin[None], vocab_size=target.vocab_size, order=None)
        self._state = started(proposer, begin[None])

    @property
    def tokens(self) -> npt.NDArray[np.int64]:
        """The whole text so far, int64 of shape (length,). A view."""
        text: npt.NDArray[np.int64] = self._texts.contexts[0]
        return text

    def step(self) -> TextStep:
        """One more token, or two.

        Raises
        ------
        TsuError, NoiseAlarm, LawMismatchError
            The TSU failed, or reported integers that are not the law's.
        """
        context, position = self._texts.contexts, self._texts.position
        times = [time.perf_counter()]
        psi = self._proposer.emit(self._state, context)[0]
        times.append(time.perf_counter())
        draws = self._tsu.sample(psi, 1)
        times.append(time.perf_counter())
        ahead = self._ahead if self._end is None or position + 1 < self._end else None
        if ahead is None:
            logs = self._target.logprobs(context)
        else:
            logs = ahead.logprobs_ahead(context, draws.tokens.astype(np.int64))
        p = np.exp(logs[0])
        times.append(time.perf_counter())
        law = draft_law(psi, self._tsu.config, self._mode)
        verifier = SingleVerifier(p=p, law=law)
        times.append(time.perf_counter())
        verified = verifier.verify(draws, self._rng)
        self._append(int(verified.tokens[0]))
        bonus_p, bonus_s = None, 0.0
        if ahead is not None and verified.accepted[0] and int(verified.tokens[0]) not in self._end_ids:
            begin = time.perf_counter()
            bonus_p = np.exp(ahead.logprobs(self._texts.contexts)[0])
            bonus_s = time.perf_counter() - begin
            self._append(draw_token(bonus_p, self._rng.random()))
        times.append(time.perf_counter())
        proposer_s, tsu_s, target_s, law_s, verifier_s = np.diff(times).tolist()
        return TextStep(
            position=position, tokens=tuple(self.tokens[position:].tolist()), p=p, bonus_p=bonus_p, psi=psi, law=law,
            draws=draws, verified=verified, proposer_s=proposer_s, target_s=target_s + bonus_s, law_s=law_s,
            tsu_s=tsu_s, verifier_s=verifier_s - bonus_s,
        )  # fmt: skip

    def _append(self, token: int) -> None:
        tokens = np.array([token], dtype=np.int64)
        self._texts.append(tokens)
        self._state.advance(tokens)
