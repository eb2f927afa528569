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
"""

import torch
from torch import Tensor
from torch.nn import functional

LAID_OUT_FOR = 8
"""Rows that a layout is made for; it serves any number."""

FEW = 6
"""Most rows that are multiplied as columns, in float32."""


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


def lay_out(weight: Tensor) -> Tensor | None:
    """oneDNN's layout of a bfloat16 matrix; None where there is none, or for another number format."""
    if weight.dtype != torch.bfloat16 or not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return None
    ops = torch.ops.mkldnn
    if not hasattr(ops, "_reorder_linear_weight") or not ops._is_mkldnn_bf16_supported():
        return None
    laid_out: Tensor = ops._reorder_linear_weight(weight.contiguous(), LAID_OUT_FOR)
    return laid_out
