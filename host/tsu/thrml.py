# SPDX-License-Identifier: Apache-2.0
"""Backend `thrml`: the law of the TSU, drawn by Extropic's block Gibbs sampler on JAX.

One categorical node has K + 1 states: the top-K ids, and the whole tail as one. A block holds many such nodes; a sweep
of the block is one independent draw for each. The tail token is drawn outside, uniformly over the V - K tokens. JAX
takes the accelerator that it finds (a CUDA device where its plugin is installed), else the processor.

Stream
------
Each psi has a stream of its own, numbered in the order in which psi come up after a seed, and made of blocks that
follow from seed, number and position alone. So `sample(psi, a)` and then `sample(psi, b)` are `sample(psi, a + b)`,
whatever other psi are asked for in between. A psi that is not used while `STREAMS_KEPT` others are loses its stream
and gets a new number when it comes again: no draw is ever handed out twice.

Law
---
Weights are float32 logarithms of the integers, and the race is run in float32, so the law is not exact. `LAW_BOUND`
bounds the total variation; docs/reference/thrml.md derives it and says what was measured. What is reported with a draw
are the integers.
"""

from collections import OrderedDict
from types import TracebackType
from typing import Self

import numpy as np

from host.psi.schema import Psi
from hw.spec.config import TsuConfig, check_no_contexts
from hw.spec.digest import spec_id
from hw.spec.errors import check_int

from .base import Capabilities, Draws, TsuError
from .lowering import check_mode, lower
from .thrml_stream import DrawStream
from .weights import integer_weights

LAW_BOUND = 2.0**-20
"""Bound on TV(law of the draws, F_hw(psi)), for every psi."""

CAPABILITIES = Capabilities(name="thrml", exact=False, bit_true=False, counts_cycles=False, bound=LAW_BOUND)
"""What this backend promises."""

STREAMS_KEPT = 4096
"""Psi whose streams are kept: contexts come again and again."""

SEED_LIMIT = (1 << 64) - 1
"""Largest seed."""

STREAMS_LIMIT = 1 << 32
"""Streams of one seed: their number is a 32-bit word of the key."""


class ThrmlTsu:
    """A TSU in JAX. Seeded when it is opened; used by one thread at a time.

    Parameters
    ----------
    config : TsuConfig
        Widths decide the law; lanes, groups and noise are those of gateware and play no part.
    seed : int
        In [0, 2**64 - 1].
    mode : str or None
        Weights from a "table" or from the "exp2" unit; None takes the table where the TSU has one.

    Raises
    ------
    SpecError
        `seed` or `mode` is not legal, or `config` has contexts.
    """

    def __init__(self, *, config: TsuConfig, seed: int = 0, mode: str | None = None) -> None:
        check_no_contexts(config, who="backend thrml")
        self._config = config
        self._mode = check_mode(config, mode)
        self._open = True
        self.reseed(seed)

    @property
    def capabilities(self) -> Capabilities:
        """What this backend promises."""
        return CAPABILITIES

    @property
    def config(self) -> TsuConfig:
        """Widths of this TSU; its lanes, groups and noise are not used."""
        return self._config

    @property
    def spec_id(self) -> int:
        """Digest of layouts and configuration: the host's own, for there is no device to read it from."""
        return spec_id(self._config)

    @property
    def cycles(self) -> int:
        """0: there is no clock."""
        return 0

    def sample(self, psi: Psi, n: int) -> Draws:
        """The next n draws of the stream of `psi`.

        Raises
        ------
        SpecError
            `n` is negative, or the psi exceeds the capacity of this TSU.
        TsuError
            The total of the psi is not legal, or this TSU is closed.
        """
        check_int("n", n, 0, 1 << 48)
        self._check_open()
        stream = self._stream(psi)
        tokens, weights, spreads = np.empty(n, np.uint32), np.empty(n, np.uint64), np.empty(n, np.uint32)
        stream.take(tokens, weights, spreads)
        return Draws(tokens=tokens, weights=weights, spreads=spreads, total=stream.total)

    def reseed(self, seed: int) -> None:
        """Start every stream again from a 64-bit seed."""
        self._check_open()
        self._seed = check_int("seed", seed, 0, SEED_LIMIT)
        self._streams: OrderedDict[Psi, DrawStream] = OrderedDict()
        self._numbered = 0

    def close(self) -> None:
        """Let go of the streams. Closing twice is harmless."""
        self._open = False
        self._streams = OrderedDict()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _check_open(self) -> None:
        if not self._open:
            raise TsuError("the thrml TSU is closed")

    def _stream(self, psi: Psi) -> DrawStream:
        stream = self._streams.get(psi)
        if stream is None:
            stream = self._streams[psi] = self._new_stream(psi)
            if len(self._streams) > STREAMS_KEPT:
                self._streams.popitem(last=False)
        self._streams.move_to_end(psi)
        return stream

    def _new_stream(self, psi: Psi) -> DrawStream:
        lowered = lower(psi, self._config, self._mode)
        weights, total = integer_weights(lowered, self._config)
        if self._numbered == STREAMS_LIMIT:
            raise TsuError(f"the thrml TSU has opened {STREAMS_LIMIT} streams: another seed is needed")
        number = self._numbered
        self._numbered += 1
        return DrawStream(
            psi=psi, weights=weights, tail_weight=lowered.tail_weight, total=total, seed=self._seed, number=number
        )
