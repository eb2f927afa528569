# SPDX-License-Identifier: Apache-2.0
"""What each rule for n drafts of one position accepts, on made-up targets whose law is drafted through psi."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from host.golden.exact import draft_law
from host.psi.craft import craft_psi
from host.psi.law import DraftLaw
from hw.spec.config import VOCAB_LIMIT, TsuConfig
from hw.spec.errors import SpecError, check_int

from .gumbel import coupled_acceptance
from .siblings import METHODS, SiblingVerifier

Floats = npt.NDArray[np.float64]

TARGETS = ("dirichlet", "zipf", "logits")
"""Targets by name; see `made_up_target`."""

ZIPF_EXPONENT = 1.1
LOGIT_DEVIATION = 2.5
DOMINATING = 4
"""Of the target "logits": tokens that have about as much probability as the best of the others."""


@dataclass(frozen=True, kw_only=True)
class Acceptance:
    """Figures of one target and one n.

    Parameters
    ----------
    optimum : float
        alpha*_n.
    methods : dict of str to float
        Acceptance of each of `METHODS`.
    coupled : float
        Of one draft drawn by the uniform numbers of the emitted token, for comparison with gumbel.
    """

    optimum: float
    methods: dict[str, float]
    coupled: float


def made_up_target(name: str, *, vocab_size: int, seed: int) -> Floats:
    """A distribution over V tokens.

    Parameters
    ----------
    name : str
        "dirichlet": one draw of Dirichlet(1). "zipf": rank^-1.1, ranks permuted. "logits": softmax of normal logits of
        deviation 2.5, four of them replaced by numbers up to two nats above the largest.
    vocab_size : int
        V, at least 8.
    seed : int

    Raises
    ------
    SpecError
        A parameter is outside its range.
    """
    check_int("vocab_size", vocab_size, 8, VOCAB_LIMIT)
    rng = np.random.default_rng(check_int("seed", seed, 0, (1 << 64) - 1))
    if name == "dirichlet":
        return rng.dirichlet(np.ones(vocab_size))
    if name == "zipf":
        masses = rng.permutation(np.arange(1, vocab_size + 1) ** -ZIPF_EXPONENT)
    elif name == "logits":
        logits = rng.normal(scale=LOGIT_DEVIATION, size=vocab_size)
        logits[rng.choice(vocab_size, DOMINATING, replace=False)] = logits.max() + rng.uniform(0, 2, DOMINATING)
        masses = np.exp(logits - logits.max())
    else:
        raise SpecError("target", name, "one of " + ", ".join(TARGETS))
    p: Floats = masses / masses.sum()
    return p


def psi_law(p: Floats, *, k: int, drafts: int) -> DraftLaw:
    """Integer law of p's psi with K ids and the tail for so many drafts, by a TSU of the default configuration."""
    config = TsuConfig(k_max=max(k, TsuConfig().k_max))
    return draft_law(craft_psi(p, k, drafts=drafts), config, "table")


def acceptance_of(p: Floats, *, k: int, drafts: int) -> Acceptance:
    """Figures of target p (V,), drafted n at a time by its psi."""
    law = psi_law(p, k=k, drafts=drafts)
    verifiers = {method: SiblingVerifier(p=p, law=law, drafts=drafts, method=method) for method in METHODS}
    return Acceptance(
        optimum=verifiers["race"].optimum,
        methods={method: verifier.acceptance for method, verifier in verifiers.items()},
        coupled=coupled_acceptance(p, psi_law(p, k=k, drafts=1).probabilities()),
    )
