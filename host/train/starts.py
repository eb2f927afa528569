# SPDX-License-Identifier: Apache-2.0
"""Several low-rank bigrams that learn side by side from different starts."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from host.models.low_rank import LowRank


class Starts(nn.Module):
    """Low-rank bigrams of one size as one model: a step of all of them costs little more than a step of one.

    Their gradients do not touch each other, but are clipped together.

    Parameters
    ----------
    models : sequence of LowRank
        At least one; copied.
    """

    def __init__(self, models: Sequence[LowRank]) -> None:
        super().__init__()
        self._config = models[0].config
        self.contexts, self.tokens, self.bias = (
            nn.Parameter(torch.stack([getattr(model, name).detach() for model in models]))
            for name in ("contexts", "tokens", "bias")
        )

    def __len__(self) -> int:
        return len(self.contexts)

    def rows(self) -> Tensor:
        """Logits of all of them, float32 (starts, V + 1, V); see `LowRank.rows`."""
        return self.contexts @ self.tokens + self.bias[:, None]

    def one(self, number: int) -> LowRank:
        """A copy of one of them."""
        model = LowRank(self._config)
        own = {name: values[number] for name, values in self.state_dict().items()}
        model.load_state_dict(own)
        return model
