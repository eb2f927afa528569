# SPDX-License-Identifier: Apache-2.0
"""Products of few rows with a matrix, against float64."""

import pytest
import torch

from host.models.product import FEW, product


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("shape", [(1,), (2,), (3, 2), (1, 1), (1, 2), (FEW,), (FEW + 1,), (2, 5, 3), (), (0,), (1, 0)])
def test_rows_of_every_number(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(*shape, 48, generator=generator).to(dtype)
    weight = torch.randn(70, 48, generator=generator).to(dtype)
    wanted = x.double() @ weight.double().T
    found = product(x, weight)
    assert (found.shape, found.dtype) == ((*shape, 70), dtype)
    assert found.is_contiguous()
    assert torch.allclose(found.double(), wanted, rtol=0, atol=1e-5 if dtype == torch.float32 else 0.2)


def test_rows_stay_in_their_places() -> None:
    x, weight = torch.eye(4)[:3], torch.arange(20.0).view(5, 4)
    assert torch.equal(product(x, weight), weight.T[:3])
