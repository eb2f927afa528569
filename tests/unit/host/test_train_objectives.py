# SPDX-License-Identifier: Apache-2.0
"""Objectives: values by hand, gradients in closed form and by finite differences; wrong signs are caught."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch

from host.psi.batch import craft_laws
from host.train import objectives
from host.train.goal import Goal
from host.train.objectives import OBJECTIVES, best_acceptance, carried_law, kl, lk, name_at, nla, overlap, tv
from host.verify.multi import optimal_acceptance
from hw.spec.errors import SpecError

V = 7


def rows(seed: int, count: int = 6) -> tuple[torch.Tensor, torch.Tensor]:
    """Laws p, one of them with zeros, and logits of q, float64."""
    rng = np.random.Generator(np.random.PCG64(seed))
    p = rng.dirichlet(np.full(V, 0.5), size=count)
    p[0] = [0.5, 0, 0.25, 0, 0.25, 0, 0]
    return torch.from_numpy(p), torch.from_numpy(rng.normal(size=(count, V)) * 1.5)


def gradient(
    loss: Callable[[torch.Tensor, torch.Tensor], torch.Tensor], p: torch.Tensor, z: torch.Tensor
) -> np.ndarray:
    z = z.clone().requires_grad_(True)
    loss(p, z).sum().backward()
    return z.grad.numpy()


def differences(
    loss: Callable[[torch.Tensor, torch.Tensor], torch.Tensor], p: torch.Tensor, z: torch.Tensor
) -> np.ndarray:
    """Central differences of the sum, step 1e-6."""
    grad, h = np.zeros(z.shape), 1e-6
    for place in np.ndindex(*z.shape):
        up, down = z.clone(), z.clone()
        up[place] += h
        down[place] -= h
        grad[place] = float((loss(p, up) - loss(p, down)).sum()) / (2 * h)
    return grad


def kl_of(p, z):
    return kl(p, z.log_softmax(-1))


def tv_of(p, z):
    return tv(p, z.softmax(-1))


def nla_of(p, z):
    return nla(p, z.softmax(-1))


def lk_of(p, z):
    return lk(p, z.log_softmax(-1), z.softmax(-1))


def tv_closed(p: np.ndarray, q: np.ndarray) -> np.ndarray:
    """d(1 - sum min(p, q)) / dz_j = q_j (A - [q_j < p_j]) with A the mass of q where q < p."""
    below = q < p
    return q * ((q * below).sum(axis=1, keepdims=True) - below)


def test_values_by_hand():
    p, q = torch.tensor([[0.5, 0.5, 0.0]]), torch.tensor([[0.25, 0.5, 0.25]])
    assert overlap(p, q).item() == 0.75
    assert tv(p, q).item() == 0.25
    assert nla(p, q).item() == pytest.approx(-math.log(0.75))
    assert kl(p, q.log()).item() == pytest.approx(0.5 * math.log(2))
    share = math.exp(-3 * 0.75)
    assert lk(p, q.log(), q).item() == pytest.approx(share * 0.5 * math.log(2) + (1 - share) * 0.25)
    apart = nla(torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]]))
    assert apart.item() == pytest.approx(-math.log(1e-6))


def drafted(*, concentration: float, vocab_size: int, count: int = 30) -> tuple[torch.Tensor, torch.Tensor]:
    """Laws p and f, float32, as a psi has them: f is p bent by noise, with an even tail."""
    rng = np.random.Generator(np.random.PCG64(11))
    p = rng.dirichlet(np.full(vocab_size, concentration), size=count)
    bent = p * np.exp(rng.normal(size=p.shape))
    f = 0.9 * bent / bent.sum(axis=1, keepdims=True) + 0.1 / vocab_size
    return torch.from_numpy(p).float(), torch.from_numpy(f).float()


@pytest.mark.parametrize("drafts", [1, 2, 6, 16])
@pytest.mark.parametrize("concentration", [0.05, 0.3, 1.0])
def test_acceptance_of_n_drafts_is_the_optimum(drafts, concentration):
    p, f = drafted(concentration=concentration, vocab_size=400)
    golden = [optimal_acceptance(*(row.double().numpy() for row in rows), drafts) for rows in zip(p, f, strict=True)]
    found = best_acceptance(p, f, drafts).numpy()
    np.testing.assert_allclose(found, golden, atol=3e-4)
    assert (found >= np.array(golden) - 1e-5).all()  # a set of tokens gives a bound
    if drafts > 1:
        assert np.abs(overlap(p, f).numpy() - golden).max() > 0.05


def test_acceptance_of_n_drafts_by_hand():
    """H is the third token, so 1 + 0 - 0.25^n; none where f is p; where they share nothing, what f draws."""
    p, f = torch.tensor([[0.5, 0.5, 0.0]]), torch.tensor([[0.25, 0.5, 0.25]])
    assert best_acceptance(p, f, 2).item() == pytest.approx(1 - 0.25**2)
    assert best_acceptance(p, f, 1).item() == 0.75
    assert best_acceptance(p, p, 4).item() == pytest.approx(1)
    apart = best_acceptance(torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]]), 8)
    assert apart.item() == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("drafts", [2, 6])
def test_gradient_of_n_drafts_by_differences(drafts):
    p, z = rows(12)

    def loss(p, z):
        return nla(p, z.softmax(-1), drafts)

    np.testing.assert_allclose(gradient(loss, p, z), differences(loss, p, z), atol=1e-6)
    with pytest.raises(AssertionError):  # another n is another objective
        np.testing.assert_allclose(gradient(nla_of, p, z), differences(loss, p, z), atol=1e-2)


@pytest.mark.parametrize("seed", range(3))
def test_gradients_in_closed_form(seed):
    p, z = rows(seed)
    q, p_array = z.softmax(-1).numpy(), p.numpy()
    alpha = np.minimum(p_array, q).sum(axis=1, keepdims=True)
    closed_kl, closed_tv = q - p_array, tv_closed(p_array, q)
    share = np.exp(-3 * alpha)
    np.testing.assert_allclose(gradient(kl_of, p, z), closed_kl, atol=1e-13)
    np.testing.assert_allclose(gradient(tv_of, p, z), closed_tv, atol=1e-13)
    np.testing.assert_allclose(gradient(nla_of, p, z), closed_tv / alpha, atol=1e-13)
    np.testing.assert_allclose(gradient(lk_of, p, z), share * closed_kl + (1 - share) * closed_tv, atol=1e-13)


@pytest.mark.parametrize("loss", [kl_of, tv_of, nla_of])
def test_gradients_by_differences(loss):
    p, z = rows(5)
    np.testing.assert_allclose(gradient(loss, p, z), differences(loss, p, z), atol=1e-7)


@pytest.mark.parametrize(("k", "tau", "floor"), [(3, 1.0, None), (3, 0.7, None), (7, 1.0, None), (3, 1.4, 1e-2)])
def test_gradient_through_the_carried_law(k, tau, floor):
    p, z = rows(6)

    def loss(p, z):
        return tv(p, carried_law(z.log_softmax(-1), k=k, tau=tau, floor=floor))

    np.testing.assert_allclose(gradient(loss, p, z), differences(loss, p, z), atol=1e-7)


@pytest.mark.parametrize("wrong", [lambda p, z: -tv_of(p, z), lambda p, z: tv_of(p, z) ** 2, lambda p, z: tv_of(p, -z)])
def test_a_wrong_tv_is_caught(wrong):
    """The closed form tells a sign, a square and a flipped logit from the objective."""
    p, z = rows(7)
    with pytest.raises(AssertionError):
        np.testing.assert_allclose(gradient(wrong, p, z), tv_closed(p.numpy(), z.softmax(-1).numpy()), atol=1e-3)


@pytest.mark.parametrize("wrong", ["without the tail", "next k"])
def test_a_wrong_carried_law_is_caught(wrong):
    _, z = rows(8, 40)
    log_q = z.log_softmax(-1)
    golden = craft_laws(log_q.exp().numpy(), 3)
    right = carried_law(log_q, k=3, tau=1.0, floor=None).numpy()
    other = carried_law(
        log_q, k=3 if wrong == "without the tail" else 4, tau=1.0, floor=0.0 if "tail" in wrong else None
    )
    bound = 0.01  # half a code of at most 15 / 255 nats is 3 % of a probability; the logits here span 8 nats
    assert np.abs(right - golden).max() < bound
    assert np.abs(other.numpy() - golden).max() > bound


@pytest.mark.parametrize(
    ("k", "tau", "floor"),
    [(1, 1.0, None), (3, 1.0, None), (7, 1.0, None), (3, 0.6, None), (3, 1.5, 1e-3), (7, 1.0, 0.1)],
)
def test_carried_law_is_that_of_craft_psi_but_for_rounding(k, tau, floor):
    _, z = rows(9, 50)
    law = carried_law(z.log_softmax(-1), k=k, tau=tau, floor=floor)
    eps = "auto" if floor is None else floor
    np.testing.assert_allclose(law.sum(-1).numpy(), 1, rtol=1e-14)
    np.testing.assert_allclose(law.numpy(), craft_laws(z.softmax(-1).numpy(), k, tau, eps), rtol=0.03)


def test_schedules():
    assert [name_at("kl-tv", progress=x, kl_share=0.5) for x in (0.0, 0.49, 0.5, 0.99)] == ["kl", "kl", "tv", "tv"]
    assert name_at("kl-nla", progress=0.0, kl_share=0.0) == "nla"
    assert name_at("kl-lk", progress=0.999, kl_share=1.0) == "kl"
    assert all(name_at(name, progress=0.7, kl_share=0.5) in objectives.PLAIN for name in OBJECTIVES)
    with pytest.raises(SpecError, match=r"objective = 'l2' .* kl, tv, nla, lk, kl-tv, kl-nla, kl-lk"):
        name_at("l2", progress=0, kl_share=0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"objective": "l2"}, "objective = 'l2'"),
        ({"kl_share": 1.5}, "kl_share = 1.5 .* <= 1"),
        ({"kl_share": math.nan}, "kl_share = nan"),
        ({"k": 0}, "K = 0"),
        ({"k": 8}, r"K = 8 .* \[1, 7\]"),
        ({"tau": 0.0}, "tau = 0.0"),
        ({"eps": -1.0}, "eps = -1.0"),
        ({"drafts": 0}, "drafts = 0"),
        ({"drafts": 65}, r"drafts = 65 .* \[1, 64\]"),
    ],
)
def test_bad_goals_are_one_clear_line(options, message):
    with pytest.raises(SpecError, match=message):
        Goal(**{"k": 3, **options}).check_vocab(V)


@pytest.mark.parametrize("name", sorted(objectives.PLAIN))
def test_goal_minimises_the_carried_law_unless_told_otherwise(name):
    p, z = rows(10)
    log_q = z.log_softmax(-1)
    law = carried_law(log_q, k=3, tau=1.0, floor=None)
    goal = Goal(objective=name, k=3)
    torch.testing.assert_close(goal.loss(p, z, 0.0), objectives.PLAIN[name](p, log_q, law, 1))
    whole = Goal(objective=name, k=3, whole=True)
    torch.testing.assert_close(whole.loss(p, z, 0.0), objectives.PLAIN[name](p, log_q, log_q.exp(), 1))
