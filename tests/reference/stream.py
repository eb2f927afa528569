# SPDX-License-Identifier: Apache-2.0
"""A slow sampler written from docs/DESIGN_TSD.md sections 3 to 6: what gateware and compiled model are compared with.

It shares the noise step functions and the exp2 coefficients with the rest of the project, which are checked against
published vectors and their equations elsewhere; everything else is big integers, linear scans and mpmath.
"""

import mpmath
import numpy as np

from host.psi.schema import Psi
from hw.spec.config import TsuConfig
from hw.spec.exp2 import C0, C1, C2
from hw.spec.noise import get_generator, stream_states

Row = tuple[int, int, int]
"""Token, weight, spread."""


class ReferenceTsu:
    """Big integers and linear scans; one draw at a time."""

    def __init__(self, config: TsuConfig, seed: int) -> None:
        self.config = config
        self.step = get_generator(config.noise).step
        self.states = stream_states(config.noise, seed, config.noise_streams)
        self.drawn = [0] * config.groups

    def candidate(self, lane: int) -> tuple[int, int]:
        """u and r_w of the next candidate of a lane, counted through all groups."""
        joined = 0
        for word in range(self.config.noise_words):
            stream = lane * self.config.noise_words + word
            self.states[stream], value = self.step(self.states[stream])
            joined |= value << (32 * word)
        return split_noise(joined, self.config)

    def draw(self, ids: list[int], weights: list[int], tail: int, vocab: int, group: int) -> Row:
        """The next draw of the group's stream."""
        lane = group * self.config.lanes + self.drawn[group] % self.config.lanes
        while True:
            row = decide(*self.candidate(lane), ids, weights, tail, vocab, self.config)
            if row is not None:
                self.drawn[group] += 1
                return row

    def rows(self, psi: Psi, n: int, mode: str, *, group: int = 0) -> list[Row]:
        """The next n draws of a group, all from one psi."""
        weights, tail = reference_weights(psi, self.config, mode)
        ids = psi.ids.tolist()
        return [self.draw(ids, weights, tail, psi.vocab_size, group) for _ in range(n)]

    def blocks(self, bank: dict[int, Psi], contexts: list[int], length: int, mode: str) -> list[list[Row]]:
        """The rows of each stream of a block: docs/DESIGN_TSD.md section 8, one candidate at a time."""
        laws = {
            slot: (psi.ids.tolist(), *reference_weights(psi, self.config, mode), psi.vocab_size)
            for slot, psi in bank.items()
        }
        found: list[list[Row]] = [[] for _ in contexts]
        for lane in range(self.config.lanes):
            going = [(number, start) for number, start in enumerate(contexts) if number % self.config.lanes == lane]
            while going:
                next_round = []
                for number, context in going:
                    row = decide(*self.candidate(lane), *laws[context], self.config)
                    if row is None:
                        next_round.append((number, context))
                        continue
                    found[number].append(row)
                    if len(found[number]) < length and row[0] in laws:
                        next_round.append((number, row[0]))
                going = next_round
        return found


def split_noise(joined: int, config: TsuConfig) -> tuple[int, int]:
    """u and r_w of one candidate's noise words, stream 0 in the low bits."""
    u_bits, tail_bits = config.uniform_bits, config.tail_noise_bits
    return joined % (1 << u_bits), (joined >> u_bits) % (1 << tail_bits)


def decide(
    u: int, tail_word: int, ids: list[int], weights: list[int], tail: int, vocab: int, config: TsuConfig
) -> Row | None:
    """What one candidate becomes: a draw, or None where it is rejected."""
    total, n, tail_bits = sum(weights) + tail, vocab - len(ids), config.tail_noise_bits
    scale = (1 << config.uniform_bits) // total
    r, low = divmod(tail_word * n, 1 << tail_bits)
    if u >= scale * total or (n > 0 and low < (1 << tail_bits) % n):
        return None
    reached = 0
    for token, weight in zip(ids, weights, strict=True):
        reached += weight
        if u < scale * reached:
            return token, weight, 1
    return r + sum(token - i <= r for i, token in enumerate(ids)), tail, n


def reference_shift_and_tail(psi: Psi, config: TsuConfig) -> tuple[int, int]:
    """h and T of docs/DESIGN_TSD.md section 3."""
    top = config.weight_bits - 1
    tail_numerator, tail_denominator = psi.tail.as_integer_ratio()
    tail_full = tail_numerator << top
    bound = (psi.k + 1) * (1 << top) - (-tail_full // tail_denominator)
    shift = max(0, bound.bit_length() - config.total_bits)
    unit = tail_denominator << shift
    return shift, max(1, (2 * tail_full + unit) // (2 * unit)) if psi.tail else 0


def reference_weight(d: int, *, scale: float, tau: float, shift: int, config: TsuConfig, mode: str) -> int:
    """w of code distance d, with mpmath for exp and log."""
    with mpmath.workdps(60):
        ratio = mpmath.mpf(scale) / mpmath.mpf(tau)
        if mode == "table":
            exact = mpmath.ldexp(mpmath.exp(-d * ratio), config.weight_bits - 1)
            mantissa, exponent = max(1, int(mpmath.nint(exact))) << (51 - config.weight_bits), 0
        else:
            x = d * min((1 << 50) - 1, int(mpmath.nint(mpmath.ldexp(ratio / mpmath.log(2), 44))))
            exponent, f = x >> 44, x % (1 << 44)
            i, y = f >> 35, (f >> 8) % (1 << 27)
            mantissa = C0[i] - (((C1[i] - ((C2[i] * (y >> 9)) >> 11)) * y) >> 22)
    drop = 51 - config.weight_bits + exponent + shift
    return max(1, (mantissa + (1 << (drop - 1))) >> drop)


def reference_weights(psi: Psi, config: TsuConfig, mode: str) -> tuple[list[int], int]:
    """w_k and T of docs/DESIGN_TSD.md section 3."""
    shift, tail = reference_shift_and_tail(psi, config)
    scores = psi.scores_q.tolist()
    by_distance = {
        d: reference_weight(d, scale=psi.scale, tau=psi.tau, shift=shift, config=config, mode=mode)
        for d in {max(scores) - score for score in scores}
    }
    return [by_distance[max(scores) - score] for score in scores], tail


def random_psi(seed: int, *, k: int, vocab: int, tail: float, scale: float = 0.0588, crowd: bool = False) -> Psi:
    """A psi with random ids (the first k where `crowd`), codes, zero point and temperature."""
    rng = np.random.default_rng(seed)
    ids = np.arange(k) if crowd else np.sort(rng.choice(vocab, k, replace=False))
    return Psi(
        ids=ids,
        scores_q=rng.integers(-128, 128, k),
        scale=scale,
        zero_point=int(rng.integers(-128, 128)),
        tau=float(rng.uniform(0.5, 2)),
        tail=tail,
        vocab_size=vocab,
    )
