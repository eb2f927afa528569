# SPDX-License-Identifier: Apache-2.0
"""`python -m host.verify`: its figures are those of the verifiers, its refusals one line."""

import subprocess
import sys

import numpy as np
import pytest

from host.verify.__main__ import main
from host.verify.gumbel import coupled_acceptance, gumbel_acceptance
from host.verify.multi import k_seq_acceptance, optimal_acceptance, recursive_acceptance
from host.verify.study import TARGETS, acceptance_of, made_up_target, psi_law
from hw.spec.errors import SpecError


def test_every_figure_is_that_of_its_rule(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--target", "zipf", "--vocab", "200", "--drafts", "1,3", "--K", "16", "--seed", "4"]) == 0
    heading, *rows = capsys.readouterr().out.splitlines()
    assert heading.split() == ["target", "V", "n", "alpha*_n", "race", "rrs", "kseq", "gumbel", "coupled"]
    p = made_up_target("zipf", vocab_size=200, seed=4)
    for n, row in zip((1, 3), rows, strict=True):
        law = psi_law(p, k=16, drafts=n)
        q, found = law.probabilities(), acceptance_of(p, k=16, drafts=n)
        alpha, race, rrs, kseq, gumbel, coupled = (float(cell) for cell in row.split()[3:])
        assert row.split()[:3] == ["zipf", "200", str(n)]
        assert alpha == pytest.approx(optimal_acceptance(p, q, n), abs=1e-4)
        assert alpha * 0.999 - 1e-4 <= race <= alpha
        assert rrs == pytest.approx(recursive_acceptance(p, q, n), abs=1e-4)
        assert kseq == pytest.approx(k_seq_acceptance(p, q, n), abs=1e-4)
        assert gumbel == pytest.approx(gumbel_acceptance(p, law, n), abs=1e-4)
        assert coupled == pytest.approx(coupled_acceptance(p, psi_law(p, k=16, drafts=1).probabilities()), abs=1e-4)
        assert found.methods["race"] == pytest.approx(race, abs=1e-4)
    assert rows[0].split()[3] == rows[0].split()[4] == rows[0].split()[5]  # with one draft all are 1 - TV


@pytest.mark.parametrize("name", TARGETS)
def test_targets_are_distributions_and_belong_to_their_seed(name: str) -> None:
    p = made_up_target(name, vocab_size=300, seed=3)
    assert p.sum() == pytest.approx(1, abs=1e-12)
    assert (p > 0).all()
    assert np.array_equal(p, made_up_target(name, vocab_size=300, seed=3))
    assert not np.array_equal(p, made_up_target(name, vocab_size=300, seed=4))
    assert not (np.diff(p) <= 0).all()  # ids are not in the order of probabilities


def test_unknown_target_is_named() -> None:
    with pytest.raises(SpecError, match=r"^target = "):
        made_up_target("uniform", vocab_size=300, seed=3)


@pytest.mark.parametrize(
    ("arguments", "start"),
    [
        (["--target", "text"], "error: target = 'text'"),
        (["--vocab", "7"], "error: vocab = 7"),
        (["--vocab", "500,"], "error: vocab = ''"),
        (["--drafts", "0"], "error: drafts = 0"),
        (["--drafts", "65"], "error: drafts = 65"),
        (["--K", "501"], "error: K = 501"),
        (["--seed", "-1"], "error: seed = -1"),
    ],
)
def test_illegal_options_are_one_line(arguments: list[str], start: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    shown = capsys.readouterr()
    assert shown.err.startswith(start)
    assert shown.err.count("\n") == 1
    assert not shown.out


def test_help_has_examples() -> None:
    command = [sys.executable, "-m", "host.verify", "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0
    assert "python -m host.verify --target logits" in done.stdout
