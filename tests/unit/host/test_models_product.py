# SPDX-License-Identifier: Apache-2.0
"""Products of few rows with a matrix, and with one of bytes, against float64."""

import pytest
import torch

from host.models.product import FEW, ByteWeight, product


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


def error(found: torch.Tensor, wanted: torch.Tensor) -> float:
    return float((found - wanted).norm() / wanted.norm())


@pytest.mark.parametrize("shape", [(1,), (6,), (2, 3), ()])
@pytest.mark.parametrize(("rows", "columns"), [(70, 48), (3, 5), (1, 1), (9, 33), (33, 64)])
def test_bytes_err_little(rows: int, columns: int, shape: tuple[int, ...]) -> None:
    """Rows of very different size, a whole vector or less of columns; a row's scale in another's place is seen."""
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(*shape, columns, generator=generator)
    sizes = 10.0 ** torch.randint(-3, 3, (rows, 1), generator=generator)
    weight = sizes * torch.randn(rows, columns, generator=generator)
    wanted = x @ weight.T
    found = ByteWeight(weight)(x)
    assert (found.shape, found.dtype) == ((*shape, rows), torch.float32)
    assert error(found, wanted) < 0.015
    assert error(ByteWeight(weight.bfloat16())(x.bfloat16()), wanted) < 0.02
    if rows > 1:
        assert error(found.roll(1, dims=-1), wanted) > 0.5


def test_bytes_of_nothing() -> None:
    weight = torch.zeros(3, 32)
    weight[1] = 1.0
    assert ByteWeight(weight)(torch.ones(32)).tolist() == pytest.approx([0.0, 32.0, 0.0], rel=0.01)
