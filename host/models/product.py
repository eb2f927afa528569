# SPDX-License-Identifier: Apache-2.0
"""Products of few rows with large matrices, which is what a pass over one or two tokens consists of.

Reading the weights takes the time, if the kernel lets it. In float32 the library's x W^T takes twice as long for
two rows as for one. W x^T takes less for two columns than for one, so that one row is best done twice:

    rows                    1     2     3     4     5     8     16
    x W^T, ms              24    50    65    37    42    42    55
    W x^T, ms              24    16    23    27    32    40    64
    W [x, x]^T, ms         16

(70.8 M weights: four kinds of matrices of SmolLM2, one thread of an AMD EPYC with AVX-512, torch 2.13, fastest of 7.)
In bfloat16 x W^T takes 17 ms for one row and for two.
"""

import torch
from torch import Tensor
from torch.nn import functional

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
