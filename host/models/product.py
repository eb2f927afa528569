# SPDX-License-Identifier: Apache-2.0
"""Products of few rows with large matrices, which is what a pass over one or two tokens consists of.

Reading the weights takes the time, if the kernel lets it. In float32 the library's x W^T takes twice as long for
two rows as for one. W x^T takes less for two columns than for one, so that one row is best done twice:

    rows                    1     2     3     4     5     8     16
    x W^T, ms              24    50    65    37    42    42    55
    W x^T, ms              24    16    23    27    32    40    64
    W [x, x]^T, ms         16

(70.8 M weights: four kinds of matrices of SmolLM2, one thread of an AMD EPYC with AVX-512, torch 2.13, fastest of 7.)
In bfloat16 oneDNN multiplies by a matrix that it laid out once for that, as compiled models of torch do, about twice as
fast, and a few rows take as long as one (37.4 M weights of the same kinds, two threads):

    rows                    1     2     3     4     5     8     16
    x W^T, ms             6.5   6.6   7.0   7.2   7.4   8.3   9.5
    laid out, ms          3.6   4.1   3.3   3.1   3.1   3.8   5.1

Where a product may err a little more, bytes are read faster still: one row times the 8.4 M weights of a head, none of
them in the cache, took 1.66 ms laid out in bfloat16 and 1.03 ms as bytes.
"""

import torch
from torch import Tensor
from torch.nn import functional

LAID_OUT_FOR = 8
"""Rows that a layout is made for; it serves any number."""

FEW = 6
"""Most rows that are multiplied as columns, in float32."""

BYTE_MAX = 127
"""Largest number of a byte."""

BYTE_COLUMNS = 32
"""Rows of bytes are filled up to multiples of this: torch reads whole vectors, beyond the end of shorter rows too."""

SCALE_MIN = 1e-30
"""Least scale of a row of bytes: one of zeros needs one too."""


def product(x: Tensor, weight: Tensor) -> Tensor:
    """x W^T: Tensors of shape (..., columns) and (rows, columns), of one dtype, give (..., rows), contiguous.

    A row's result depends in its last bits on how many rows there are.
    """
    count = x.numel() // x.shape[-1]
    if weight.dtype != torch.float32 or not 0 < count <= FEW:
        return functional.linear(x, weight)
    columns = x.reshape(count, -1)
    if count == 1:
        columns = columns.repeat(2, 1)
    return (weight @ columns.T)[:, :count].T.contiguous().view(*x.shape[:-1], len(weight))


class Weight:
    """A matrix W that is multiplied by again and again: x W^T, of x (..., columns), gives (..., rows).

    Parameters
    ----------
    weight : Tensor of shape (rows, columns)
        Not to change afterwards.
    """

    def __init__(self, weight: Tensor) -> None:
        self._laid_out = lay_out(weight)
        self._weight = weight if self._laid_out is None else None

    def __call__(self, x: Tensor) -> Tensor:
        """x W^T, contiguous. A row's result depends in its last bits on how many rows there are."""
        if self._weight is not None:
            return product(x, self._weight)
        done: Tensor = torch.ops.mkldnn._linear_pointwise(x, self._laid_out, None, "none", [], "")
        return done


class ByteWeight:
    """A matrix W of bytes, each row with a scale of its own: x W^T errs by about 0.01 of its norm, bfloat16 by 0.003.

    Parameters
    ----------
    weight : Tensor of shape (rows, columns)
    """

    def __init__(self, weight: Tensor) -> None:
        weight = weight.detach().float()
        self._scales = (weight.abs().amax(dim=1) / BYTE_MAX).clamp_min(SCALE_MIN).bfloat16()
        codes = (weight / self._scales.float()[:, None]).round_().clamp_(-BYTE_MAX, BYTE_MAX)
        self._filled = -weight.shape[1] % BYTE_COLUMNS
        self._bytes = functional.pad(codes, (0, self._filled)).to(torch.int8)

    def __call__(self, x: Tensor) -> Tensor:
        """x W^T: (..., columns) of any float dtype gives float32 (..., rows), from factors rounded to bfloat16."""
        rows = x.reshape(-1, x.shape[-1]).bfloat16()
        if self._filled:
            rows = functional.pad(rows, (0, self._filled))
        done: Tensor = torch.ops.aten._weight_int8pack_mm(rows, self._bytes, self._scales)
        return done.float().view(*x.shape[:-1], -1)


def lay_out(weight: Tensor) -> Tensor | None:
    """oneDNN's layout of a bfloat16 matrix; None where there is none, or for another number format."""
    if weight.dtype != torch.bfloat16 or not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return None
    ops = torch.ops.mkldnn
    if not hasattr(ops, "_reorder_linear_weight") or not ops._is_mkldnn_bf16_supported():
        return None
    laid_out: Tensor = ops._reorder_linear_weight(weight.contiguous(), LAID_OUT_FOR)
    return laid_out
