# SPDX-License-Identifier: Apache-2.0
"""Train a head on a language model's states along texts that the model wrote itself."""

import hashlib
from dataclasses import asdict

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from host.models.config import HeadConfig, describe
from host.models.head import TARGET_DIGEST, Head, joined, model_digest, shortlist_size, token_table
from host.models.llama import LlamaModel

from .goal import Goal
from .loop import SCORE
from .own_text import OwnTexts
from .settings import TrainSettings

RIDGE = 1e-3
"""Penalty of the regression, as a share of the mean variance of its inputs."""

MEASURED = 1024
"""Held-out contexts of each temperature, at most."""

CHUNK = 32
"""Contexts whose whole laws are held at a time, and texts of the regression."""

FORMAT = torch.bfloat16
"""Numbers of the output matrix in training; measured is in float32."""


class HeadTask:
    """Train a head to say what the model says one token later; see `host.train.loop.Task`.

    Position t of a text gives an example: the head sees the hidden and the middle state of token t - 1, the embedding
    of token t and its state alone; what it is to match is the model's law behind token t, at the temperature of the
    text.

    Parameters
    ----------
    config : HeadConfig
    model : LlamaModel
        The language model; its matrices are used, not its cache.
    texts : OwnTexts
        To learn from.
    heldout : OwnTexts
        To measure on.
    settings : TrainSettings
        `batch` counts texts. The regression stays as it is: at the rates at which the gated layer learns it would be
        lost within a few steps.
    goal : Goal
    """

    def __init__(
        self,
        *,
        config: HeadConfig,
        model: LlamaModel,
        texts: OwnTexts,
        heldout: OwnTexts,
        settings: TrainSettings,
        goal: Goal,
    ) -> None:
        goal.check_vocab(config.kept)
        self.config = config
        self._lm, self._texts, self._heldout = model, texts, heldout
        self._settings, self._goal = settings, goal
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(settings.seed)
            self.model = Head(config)
        self.model.token_ids.copy_(frequent_tokens(texts.tokens, config))
        self._output = model.output_weights.float()
        self._table = token_table(model, config.alone)
        self._kept = self._output[self.model.token_ids].to(FORMAT)
        weight, bias = ridge_regression(self._table, texts)
        with torch.no_grad():
            self.model.predict.weight.copy_(weight)
            self.model.predict.bias.copy_(bias)
            self.model.set_shortlist(self._output[self.model.token_ids], second_moments(texts))
        self.model.predict.requires_grad_(False)

    @property
    def outcome(self) -> nn.Module:
        """The model."""
        return self.model

    def loss(self, step: int, progress: float) -> Tensor:
        """Mean objective over all positions of a few texts; an epoch sees every text once."""
        count, batch = len(self._texts), min(self._settings.batch, len(self._texts))
        epoch, place = divmod(step, count // batch)
        order = np.random.default_rng([self._settings.seed, epoch]).permutation(count)
        chosen = self._texts.rows(torch.from_numpy(order[place * batch : (place + 1) * batch]))
        norms = after(chosen.log_norms)
        heat = chosen.temperatures[:, None].expand_as(norms).flatten()[:, None]
        with torch.no_grad():
            logits = functional.linear(after(chosen.hidden).flatten(0, 1).to(FORMAT), self._kept).float()
            p = logits.div_(heat).sub_(norms.flatten()[:, None]).exp_()  # in place: a quarter of a step's time
        return self._goal.loss(p, self._logits(chosen).div_(heat), progress).mean()

    def measure(self) -> dict[str, float]:
        """Acceptance through psi at each temperature, and their mean: the score."""
        figures: dict[str, float] = {}
        accepted = []
        for heat in sorted(set(self._heldout.temperatures.tolist()), reverse=True):
            alike = self._heldout.rows(self._heldout.temperatures == heat)
            accepted.append(float(self._accepted(alike, heat).mean()))
            figures[f"acceptance_T{heat:.4g}"] = accepted[-1]
        mean = float(np.mean(accepted))
        return {"acceptance": mean, **figures, SCORE: mean}

    def facts(self) -> dict[str, object]:
        """Sizes, goal, digests of texts and model."""
        return {
            "model": describe(self.config),
            **asdict(self._goal),
            "texts": list(self._texts.tokens.shape),
            "heldout_texts": list(self._heldout.tokens.shape),
            "texts_sha256": tensor_digest(self._texts.tokens),
            TARGET_DIGEST: model_digest(self._lm.output_weights),
        }

    def _logits(self, texts: OwnTexts) -> Tensor:
        """Logits of the kept tokens behind every token but the first, text by text; (positions, kept)."""
        y = self.model(inputs(self._table, texts).flatten(0, 1))
        return functional.linear(y.to(FORMAT), self._kept).float().add_(self.model.bias)

    def _accepted(self, texts: OwnTexts, heat: float) -> npt.NDArray[np.float64]:
        """Acceptance of the drafts at evenly spread contexts of texts of one temperature."""
        span = texts.tokens.shape[1] - 1
        positions = len(texts) * span
        chosen = torch.linspace(0, positions - 1, min(MEASURED, positions)).long()
        kept = self._output[self.model.token_ids]
        parts, count = [], shortlist_size(self.config, self._goal.k)
        for rows in torch.split(chosen, CHUNK):
            text, place = rows // span, rows % span
            hidden = after(texts.hidden)[text, place].float()
            p = torch.softmax(functional.linear(hidden, self._output).double() / heat, dim=-1)
            y = self.model(inputs_at(self._table, texts, text, place))
            best, shares, rest = self.model.law(y, self.model.rough(y), kept, temperature=heat, count=count)
            q = (rest / max(1, p.shape[1] - count))[:, None].repeat(1, p.shape[1])
            q.scatter_(1, self.model.token_ids[best], shares)
            parts.append(self._goal.accepted(p.numpy(), q.numpy()))
        return np.concatenate(parts)


def inputs(table: Tensor, texts: OwnTexts) -> Tensor:
    """What the head sees at every token but the first, float32 (texts, length - 1, INPUTS width)."""
    text, place = torch.meshgrid(torch.arange(len(texts)), torch.arange(texts.tokens.shape[1] - 1), indexing="ij")
    return inputs_at(table, texts, text, place)


def inputs_at(table: Tensor, texts: OwnTexts, text: Tensor, place: Tensor) -> Tensor:
    """What the head sees at the token behind each place of a text; int64 (...) and (...) give (..., INPUTS width)."""
    newest = functional.embedding(texts.tokens[text, place + 1].long(), table)
    return joined(texts.hidden[text, place], texts.middle[text, place], newest)


def after(states: Tensor) -> Tensor:
    """What belongs to `inputs`: the entries behind every token but the first."""
    return states[:, 1:]


def frequent_tokens(tokens: Tensor, config: HeadConfig) -> Tensor:
    """The `config.kept` most frequent tokens, int64, increasing; of equally frequent ones the lower ids."""
    counts = torch.bincount(tokens.flatten(), minlength=config.vocab_size)
    return counts.sort(descending=True, stable=True).indices[: config.kept].sort().values


def ridge_regression(table: Tensor, texts: OwnTexts) -> tuple[Tensor, Tensor]:
    """Weight (width, INPUTS width) and bias (width,) that predict the hidden states from `inputs`, least squares.

    Solves (X' X + r I) [A, a]' = X' Y in float64, r = `RIDGE` times the mean of the diagonal.
    """
    gram, moment = torch.zeros(()), torch.zeros(())
    for rows in torch.split(torch.arange(len(texts)), CHUNK):
        part = texts.rows(rows)
        x = functional.pad(inputs(table, part).flatten(0, 1), (0, 1), value=1.0)
        gram = gram + (x.T @ x).double()
        moment = moment + (x.T @ after(part.hidden).flatten(0, 1).float()).double()
    gram += RIDGE * gram.diagonal().mean() * torch.eye(len(gram), dtype=torch.float64)
    solved = torch.linalg.solve(gram, moment).float().T
    return solved[:, :-1], solved[:, -1]


def second_moments(texts: OwnTexts) -> Tensor:
    """E[y y'] of the hidden states of `inputs`, with `RIDGE` times the mean of the diagonal; float64 (width, width)."""
    total = torch.zeros(())
    for part in torch.split(after(texts.hidden), CHUNK):
        y = part.flatten(0, 1).float()
        total = total + (y.T @ y).double()
    moments = total / after(texts.hidden)[..., 0].numel()
    return moments + RIDGE * moments.diagonal().mean() * torch.eye(len(moments), dtype=torch.float64)


def tensor_digest(tensor: Tensor) -> str:
    """SHA-256 of an integer tensor's entries, as little-endian int64."""
    return hashlib.sha256(np.asarray(tensor.numpy(), dtype="<i8").tobytes()).hexdigest()
