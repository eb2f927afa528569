# SPDX-License-Identifier: Apache-2.0
"""Targets: the documented generator calls, permuted ids, and every way a file can be bad."""

import math
from pathlib import Path

import numpy as np
import pytest

from host.targets.categorical import TargetError, dirichlet, from_file, make_target, zipf
from hw.spec.errors import SpecError


@pytest.mark.parametrize("seed", [0, 11, 2**64 - 1])
def test_dirichlet_is_the_documented_call(seed: int) -> None:
    """alpha = 1 equals Generator(PCG64(seed)).dirichlet(ones(V)), to the last bit."""
    p = dirichlet(vocab_size=500, alpha=1.0, seed=seed)
    assert np.array_equal(p, np.random.Generator(np.random.PCG64(seed)).dirichlet(np.ones(500)))


def test_dirichlet_alpha_changes_the_spread() -> None:
    """The variance of a component is (V - 1) / (V^2 (V alpha + 1)): the law of p, not only its shape."""
    for alpha in (0.1, 1.0, 10.0):
        p = dirichlet(vocab_size=20_000, alpha=alpha, seed=3)
        expected = 1 / (20_000 * (20_000 * alpha + 1))
        assert p.var() == pytest.approx(expected, rel=0.3)


def test_zipf_law_and_permutation() -> None:
    """Sorted, the masses are rank^-alpha / H; the ids are shuffled and depend on the seed."""
    p = zipf(vocab_size=1000, alpha=1.1, seed=5)
    rank = np.sort(p)[::-1]
    harmonic = math.fsum(r**-1.1 for r in range(1, 1001))
    for r in (1, 2, 10, 1000):
        assert rank[r - 1] == pytest.approx(r**-1.1 / harmonic, rel=1e-12)
    assert not np.array_equal(p, rank)
    assert not np.array_equal(p, zipf(vocab_size=1000, alpha=1.1, seed=6))
    assert np.array_equal(p, zipf(vocab_size=1000, alpha=1.1, seed=5))
    best = [int(np.argmax(zipf(vocab_size=1000, alpha=1.1, seed=s))) for s in range(200)]
    assert 400 < np.mean(best) < 600  # uniform over ids: 499.5 +- 20


def test_zipf_far_tail_underflows_to_zero() -> None:
    """A steep exponent leaves exact zeros, which are legal probabilities."""
    p = zipf(vocab_size=100, alpha=400.0, seed=0)
    assert p.sum() == pytest.approx(1.0)
    assert (p == 0).sum() > 50


def test_npy_and_text_agree(tmp_path: Path) -> None:
    """Both formats give the same p; comments, blank lines and zeros are allowed."""
    p = np.array([0.5, 0.0, 0.25, 0.25])
    np.save(tmp_path / "p.npy", p)
    (tmp_path / "p.txt").write_text("# a target\n0.5\n0\n\n0.25  # third\n2.5e-1\n")
    assert np.array_equal(from_file(tmp_path / "p.npy"), p)
    assert np.array_equal(from_file(tmp_path / "p.txt"), p)


def test_file_is_normalised_within_the_tolerance(tmp_path: Path) -> None:
    """Sum 1 + 9e-7 is accepted and divided out; 1 + 2e-6 is refused."""
    np.save(tmp_path / "p.npy", np.array([0.5, 0.5 + 9e-7]))
    assert math.fsum(from_file(tmp_path / "p.npy")) == pytest.approx(1.0, abs=1e-15)
    np.save(tmp_path / "p.npy", np.array([0.5, 0.5 + 2e-6]))
    with pytest.raises(TargetError, match=r"sum = 1\.000002"):
        from_file(tmp_path / "p.npy")


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.array([0.5, np.nan, 0.5]), "entry 1 is nan"),
        (np.array([0.5, -0.1, 0.6]), r"entry 1 is -0\.1"),
        (np.array([np.inf, 1.0]), "entry 0 is inf"),
        (np.array([0.4, 0.4]), r"sum = 0\.8"),
        (np.array([[0.5, 0.5]]), r"shape \(1, 2\)"),
        (np.array(1.0), r"shape \(\)"),
        (np.array([]), "has 0 entries"),
        (np.array(["a", "b"]), "dtype <U1"),
        (np.array([0.5 + 0j, 0.5]), "dtype complex128"),
        (np.array([{}, {}], dtype=object), "not a .npy file of numbers"),
    ],
)
def test_bad_npy(tmp_path: Path, array: np.ndarray, message: str) -> None:
    """One line that names the file and what is wrong."""
    np.save(tmp_path / "p.npy", array, allow_pickle=True)
    with pytest.raises(TargetError, match=message) as caught:
        from_file(tmp_path / "p.npy")
    assert "\n" not in str(caught.value)
    assert "p.npy" in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "has 0 entries"),
        (b"0.5\nhalf\n", "line 2 is 'half'"),
        (b"0.5 0.5\n", "line 1 is '0.5 0.5'"),
        (b"0.5\nnan\n", "entry 1 is nan"),
        (b"\xff\xfe\x00", "neither .npy nor text"),
    ],
)
def test_bad_text(tmp_path: Path, content: bytes, message: str) -> None:
    """One line that names the file and what is wrong."""
    (tmp_path / "p.txt").write_bytes(content)
    with pytest.raises(TargetError, match=message) as caught:
        from_file(tmp_path / "p.txt")
    assert "\n" not in str(caught.value)


def test_unreadable_files(tmp_path: Path) -> None:
    """Missing, a folder, or a truncated .npy."""
    with pytest.raises(TargetError, match="No such file"):
        from_file(tmp_path / "none.npy")
    with pytest.raises(TargetError, match="directory"):
        from_file(tmp_path)
    np.save(tmp_path / "p.npy", np.full(4, 0.25))
    for size in (0, 5, 140):
        (tmp_path / "cut.npy").write_bytes((tmp_path / "p.npy").read_bytes()[:size])
        with pytest.raises(TargetError, match=r"not a \.npy file"):
            from_file(tmp_path / "cut.npy")


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"pgen": "uniform"}, "pgen"),
        ({"vocab_size": 0}, "vocab_size"),
        ({"vocab_size": 2**20 + 1}, "vocab_size"),
        ({"vocab_size": None}, "vocab_size"),
        ({"alpha": 0.0}, "alpha"),
        ({"alpha": math.nan}, "alpha"),
        ({"alpha": -1.0, "pgen": "zipf"}, "alpha"),
        ({"alpha": math.inf, "pgen": "zipf"}, "alpha"),
        ({"seed": -1}, "seed"),
        ({"seed": 2**64}, "seed"),
        ({"pgen": "file"}, "target"),
        ({"file": "p.npy"}, "target"),
    ],
)
def test_bad_arguments(changes: dict[str, object], field: str) -> None:
    """Each wrong argument is named."""
    arguments: dict[str, object] = {"pgen": "dirichlet", "vocab_size": 10, "alpha": 1.0, "seed": 0, "file": None}
    with pytest.raises(SpecError) as caught:
        make_target(**{**arguments, **changes})
    assert caught.value.field == field


def test_vocab_must_equal_the_file(tmp_path: Path) -> None:
    """A given V that is not the file's length is refused; without V the file decides."""
    np.save(tmp_path / "p.npy", np.full(4, 0.25))
    file = tmp_path / "p.npy"
    assert len(make_target(pgen="file", vocab_size=None, alpha=1.0, seed=0, file=file)) == 4
    assert len(make_target(pgen="file", vocab_size=4, alpha=1.0, seed=0, file=file)) == 4
    with pytest.raises(SpecError, match="vocab_size = 5"):
        make_target(pgen="file", vocab_size=5, alpha=1.0, seed=0, file=file)
