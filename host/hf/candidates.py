# SPDX-License-Identifier: Apache-2.0
"""Candidates for `generate` of transformers: drafts of a TSU, and the law that they were drawn from.

transformers calls what it verifies candidates, and takes softmax(candidate_logits) for the q that they were drawn
from. Where q is another law the text is biased (huggingface/transformers, issue 47932). Here the logits are log q of
the integers that the TSU reported with its draws: nothing is computed from scores, and nothing that `generate` does to
the target's logits (temperature, top-k, penalties) is done to them.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from transformers.generation.candidate_generator import CandidateGenerator

from host.draft.draw import draft_tree
from host.plan.shape import TreeShape
from host.propose.base import Proposer
from host.telemetry.spec_decode import SpecDecodeCounts
from host.tsu.base import Tsu
from host.tsu.lowering import check_mode
from host.verify.single import check_draws
from hw.spec.errors import SpecError, check_int

from .assisted import assisted
from .follow import FollowedText
from .length import DraftLength

LENGTH_DEFAULT = 4
"""L unless it is given, at most the proposer's horizon."""

DTYPES = {"float64": torch.float64, "float32": torch.float32}
"""Number formats of the candidate logits, by name."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Round:
    """Candidates that wait for their verdict.

    Parameters
    ----------
    position : int
        Tokens of the text before them.
    tokens : int64 ndarray of shape (L,)
    q : float64 ndarray of shape (L, V)
        Law of each, given those before it.
    """

    position: int
    tokens: npt.NDArray[np.int64]
    q: npt.NDArray[np.float64]


class TSDCandidateGenerator(CandidateGenerator):
    """Draws candidates from a proposer and a TSU; `generate` of any causal language model verifies them.

        model.generate(input_ids, custom_generate=TSDCandidateGenerator(proposer=..., tsu=...), do_sample=True)

    One object serves one call of `generate` at a time, and any number of them; texts may go on, start anew or be taken
    back. The text has the law of `generate` without it, up to the rounding of float32 in which transformers computes p,
    and up to `tsu.capabilities.bound` for each draft where a backend is not exact. With `do_sample=False` it is the
    greedy text: candidates are kept where they are the most probable token, and q takes no part.

    Parameters
    ----------
    proposer : Proposer
        Over the model's token ids.
    tsu : Tsu
        Open; it is not closed here.
    length : int or None
        L: candidates of a round, in [1, 8], at most the proposer's horizon. None: 4, or the horizon where that is less.
    schedule : str
        "constant", or "heuristic" to let L follow what is accepted; see `DraftLength`.
    mode : str or None
        Weight mode that the TSU was opened with, "table" or "exp2"; None takes the table where the TSU has one.
    dtype : str
        Number format of the candidate logits. softmax gives q with a relative error below (16 + 4 |ln q| + V) u, V of
        them from torch's sum over all tokens. u is 2^-53 for "float64", in which the verifier decides then; it is 2^-24
        for "float32", which is for devices without it.
    max_length : int or None
        Tokens of the longest text, for a loop that calls `get_candidates` by itself: no candidate is drawn for the last
        token. `generate` sets its own for the time of a call.

    Raises
    ------
    SpecError
        An argument is outside its range, or V exceeds what the TSU is built for.
    """

    def __init__(
        self,
        *,
        proposer: Proposer,
        tsu: Tsu,
        length: int | None = None,
        schedule: str = "constant",
        mode: str | None = None,
        dtype: str = "float64",
        max_length: int | None = None,
    ) -> None:
        self.vocab_size = check_int("vocab_size of the proposer", proposer.vocab_size, 1, tsu.config.vocab_max)
        """V."""
        self.counts = SpecDecodeCounts()
        """Drafts and what became of them, over all calls; a new object starts from 0."""
        self.do_sample = True
        """Whether candidates are verified by q; `generate` sets it for the time of a call."""
        self.max_length = None if max_length is None else check_int("max_length", max_length, 1, 1 << 40)
        """Tokens of the longest text; None for any."""
        if dtype not in DTYPES:
            raise SpecError("dtype", dtype, "one of " + ", ".join(DTYPES))
        self._dtype = DTYPES[dtype]
        if length is None:
            length = LENGTH_DEFAULT if proposer.horizon is None else min(LENGTH_DEFAULT, proposer.horizon)
        self._length = DraftLength(length=length, schedule=schedule, horizon=proposer.horizon)
        self._mode = check_mode(tsu.config, mode).name.lower()
        self._proposer, self._tsu = proposer, tsu
        self._text = FollowedText(proposer=proposer)
        self._round: Round | None = None

    @property
    def length(self) -> int:
        """L of the next round."""
        return self._length.now

    def get_candidates(self, input_ids: torch.Tensor, **_: Any) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Draw a chain of candidates behind a text.

        Parameters
        ----------
        input_ids : int64 tensor of shape (1, length)
            The text so far.

        Returns
        -------
        int64 tensor of shape (1, length + L)
            The text and the candidates, on the device of `input_ids`.
        tensor of shape (1, L, V), or None
            log q of every token at each of them, -inf where q = 0. None, and no candidate, where `max_length` leaves
            room for no more than the token that the verifier adds.

        Raises
        ------
        SpecError
            The shape or a token is not legal.
        TsuError, NoiseAlarm, LawMismatchError
            The TSU failed, or reported integers that are not the law's.
        """
        if input_ids.ndim != 2 or len(input_ids) != 1:
            raise SpecError("shape of input_ids", tuple(input_ids.shape), "(1, length): one text")
        text = input_ids[0].cpu().numpy()
        room = self.length if self.max_length is None else self.max_length - len(text) - 1
        length = min(self.length, room)
        self._round = None
        if length < 1:
            return input_ids, None
        tree = draft_tree(
            proposer=self._proposer, state=self._text.at(text), context=text, shape=TreeShape.chain(length),
            tsu=self._tsu, mode=self._mode,
        )  # fmt: skip
        places = [tree.places[node] for node in range(length)]
        for place in places:
            check_draws(place.draws, place.law)
        q = np.stack([place.law.probabilities() for place in places])
        self._round = Round(position=len(text), tokens=tree.tokens, q=q)
        with np.errstate(divide="ignore"):
            logits = torch.from_numpy(np.log(q)[None])
        drafts = torch.from_numpy(tree.tokens[None]).to(input_ids)
        return torch.cat([input_ids, drafts], dim=1), logits.to(input_ids.device, self._dtype)

    def update_candidate_strategy(self, input_ids: torch.Tensor, scores: torch.Tensor, num_matches: int) -> None:
        """Count what became of the last candidates, and choose the next L.

        Parameters
        ----------
        input_ids : int64 tensor of shape (1, length)
            The text, with the tokens that were emitted.
        scores : tensor of shape (1, L + 1, V)
            The target's logits behind the text and behind each candidate, as they were verified.
        num_matches : int
            Not looked at: transformers counts an accepted token that ends the text as one of its own.
        """
        waiting, self._round = self._round, None
        if waiting is None:
            return
        emitted = input_ids[0, waiting.position :].cpu().numpy()
        drafts = len(waiting.tokens)
        same = emitted[:drafts] == waiting.tokens[: len(emitted)]
        accepted = int(np.logical_and.accumulate(same).sum())
        self.counts.add(draft_tokens=drafts, accepted=accepted, length=drafts)
        for q, row in zip(waiting.q[: len(emitted)], scores[0].double().cpu(), strict=False):
            p = row.softmax(dim=-1).numpy()
            self.counts.add_chance(float(np.minimum(p, q).sum() if self.do_sample else q[p.argmax()]))
        self._length.update(drafts=drafts, accepted=accepted)

    def __call__(self, model: Any, input_ids: torch.Tensor, **arguments: Any) -> Any:
        """Decode: what `model.generate(..., custom_generate=self)` calls; see `host.hf.assisted.assisted`."""
        return assisted(model, self, input_ids, **arguments)
