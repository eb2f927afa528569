# SPDX-License-Identifier: Apache-2.0
"""Speculative decoding of one text: a draft for each position, verified token by token.

The draft is drawn before the target is asked. A target that looks ahead (`host.targets.ahead`) then computes in one
pass what follows the text and what follows its draft: after an accepted draft the next position needs no pass. With
acceptance a, a pass gives 1 + a tokens. The text has the target's law, whatever the proposer: the draft takes no part
in p.
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
from host.verify.single import SingleVerifier, Verified
from hw.spec.errors import SpecError

from .texts import Texts, started


@dataclass(frozen=True, kw_only=True, eq=False)
class TextStep:
    """One position.

    Parameters
    ----------
    position : int
        Tokens of the text before this one.
    token : int
        What was emitted.
    p : float64 ndarray of shape (vocab_size,)
        Target.
    psi : Psi
    law : DraftLaw
        F_hw(psi).
    draws : Draws
        The draft.
    verified : Verified
        Its outcome.
    proposer_s, target_s, law_s, tsu_s, verifier_s : float
        Seconds spent on psi, on p, on the law and the verifier made of both, in the TSU, and on the decision.
    """

    position: int
    token: int
    p: npt.NDArray[np.float64]
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
        Length at which the text is full: there is no look ahead of its last token.

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
    ) -> None:
        if proposer.vocab_size != target.vocab_size:
            raise SpecError("vocab_size of the proposer", proposer.vocab_size, f"{target.vocab_size}, the target's")
        self._tsu, self._target, self._proposer = tsu, target, proposer
        self._mode, self._rng, self._end = mode, rng, end
        self._ahead = target if isinstance(target, AheadTarget) else None
        self._texts = Texts(begin=begin[None], vocab_size=target.vocab_size, order=None)
        self._state = started(proposer, begin[None])

    @property
    def tokens(self) -> npt.NDArray[np.int64]:
        """The whole text so far, int64 of shape (length,). A view."""
        text: npt.NDArray[np.int64] = self._texts.contexts[0]
        return text

    def step(self) -> TextStep:
        """One more token.

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
        last = self._end is not None and position + 1 >= self._end
        if self._ahead is None or last:
            logs = self._target.logprobs(context)
        else:
            logs = self._ahead.logprobs_ahead(context, draws.tokens.astype(np.int64))
        p = np.exp(logs[0])
        times.append(time.perf_counter())
        law = draft_law(psi, self._tsu.config, self._mode)
        verifier = SingleVerifier(p=p, law=law)
        times.append(time.perf_counter())
        verified = verifier.verify(draws, self._rng)
        times.append(time.perf_counter())
        tokens = verified.tokens.astype(np.int64)
        self._texts.append(tokens)
        self._state.advance(tokens)
        proposer_s, tsu_s, target_s, law_s, verifier_s = np.diff(times).tolist()
        return TextStep(
            position=position, token=int(tokens[0]), p=p, psi=psi, law=law, draws=draws, verified=verified,
            proposer_s=proposer_s, target_s=target_s, law_s=law_s, tsu_s=tsu_s, verifier_s=verifier_s,
        )  # fmt: skip
