# SPDX-License-Identifier: Apache-2.0
"""`python -m host.plan` from outside: tables, name=value lines, files, one line for bad input, the guide's commands."""

import json
import re
import shlex
from pathlib import Path

import numpy as np
import pytest

from host.plan import tree_command
from host.plan.command import main
from host.plan.shape import TreeShape

GUIDE = (Path(__file__).parents[2] / "docs" / "how-to" / "plan.md").read_text(encoding="utf-8")


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def values(text: str) -> dict[str, str]:
    return dict(line.split("=", 1) for line in text.splitlines() if re.fullmatch(r"[A-Za-z_]+=\S.*", line))


def test_trees_of_given_acceptances(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--acceptances", "0.75,0.95", "--nodes", "8,2", "--depths", "1,none", "--rule", "optimal"]
    assert main(["tree", *arguments, "--json", "tree.json", "--plot", "tree.png"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].split() == ["drafts", "depth<=1", "any", "depth", "chain"]
    assert lines[2].split() == ["2", "1.950", "2.312", "2.312"]
    assert lines[3].split()[:2] == ["8", "1.950"]
    assert lines[5:7] == ["rule=optimal", "acceptances=0.7500,0.9500"]
    assert lines[7] == "budget=2 drafts=2 depth=2 tokens_per_call=2.3125 draft_acceptance_rate=0.6562 children=1,1,0"
    record = json.loads(Path("tree.json").read_text())
    assert [(tree["budget"], tree["depth_max"]) for tree in record["trees"]] == [(2, 1), (8, 1), (2, None), (8, None)]
    shapes = [TreeShape(children=tuple(tree["children"])) for tree in record["trees"]]
    assert shapes[2] == TreeShape.chain(2)
    assert Path("tree.png").read_bytes().startswith(b"\x89PNG")


def test_acceptances_of_each_depth(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tree", "--acceptances", "1,1;0.2,1;1,1", "--nodes", "5", "--depths", "none"]) == 0
    assert "tokens_per_call=4.0000" in capsys.readouterr().out


def test_a_simulation_agrees_and_a_wrong_prediction_does_not(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ["tree", "--vocab", "40", "--K", "4", "--nodes", "6", "--depths", "3", "--simulate", "3000"]
    assert main(arguments) == 0
    assert capsys.readouterr().out.splitlines()[-1].endswith("as_predicted=yes")
    search = tree_command.plan_trees
    monkeypatch.setattr(
        tree_command, "plan_trees", lambda *, tables, **options: search(tables=tables, **options)[:0] or [
            tree_command.TreePlan(shape=plan.shape, tokens_per_call=plan.tokens_per_call + 0.2)
            for plan in search(tables=tables, **options)
        ],
    )  # fmt: skip
    assert main(arguments) == 1
    assert capsys.readouterr().out.splitlines()[-1].endswith("as_predicted=no")


def test_speedup_shows_parts_and_assumptions(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["speedup", "--vocab", "60", "--K", "8", "--nodes", "4,8", "--depths", "1,2,3"]) == 0
    out = capsys.readouterr().out
    found = values(out)
    rows = [line.split() for line in out.splitlines()[1 : out.splitlines().index("")]]
    assert max(float(row[-1]) for row in rows) == pytest.approx(float(found["best_speedup"]), abs=1e-3)
    assert float(found["best_speedup"]) >= float(found["chain_speedup"]) > 1
    assert found["bytes_per_s"] == "1.2e+06"
    assert out.count("assumption=") == 5
    shape = TreeShape(children=tuple(int(count) for count in found["best_children"].split(",")))
    assert (str(shape.nodes), str(shape.depth)) == (found["best_drafts"], found["best_depth"])


def test_the_fastest_of_several_psi(capsys: pytest.CaptureFixture[str]) -> None:
    """On a slow line a small psi is fastest, on a fast one a large one; the figures are those of that K alone."""
    for baud, k in (("9600", "1"), ("12000000", "40")):
        arguments = ["--vocab", "60", "--nodes", "4,8", "--depths", "1,2", "--baud", baud]
        assert main(["speedup", *arguments, "--K", "1,5,40"]) == 0
        found = values(capsys.readouterr().out)
        assert found["best_K"] == k
        assert main(["speedup", *arguments, "--K", k]) == 0
        assert values(capsys.readouterr().out)["best_speedup"] == found["best_speedup"]


def test_knob_of_a_file_of_contexts(capsys: pytest.CaptureFixture[str]) -> None:
    rows = np.random.default_rng(1).dirichlet(np.ones(30), 2)
    np.save("rows.npy", rows)
    arguments = ["knob", "--pgen", "file", "--target", "rows.npy", "--acceptance", "0.9", "--drafts-max", "3"]
    assert main([*arguments, "--bytes-per-s", "1e5"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("smallest K with a mean alpha*_n of at least 0.9, 2 contexts, V = 30\n")
    found = values(out)
    assert float(found["cheapest_acceptance"]) >= 0.9
    assert found["bytes_per_s"] == "100000"
    assert main([*arguments, "--K-max", "1", "--drafts-max", "1"]) == 0
    assert "cheapest=none" in capsys.readouterr().out


@pytest.mark.parametrize("command", ["", "tree", "speedup", "knob"])
def test_help(capsys: pytest.CaptureFixture[str], command: str) -> None:
    assert main([*command.split(), "--help"]) == 0
    out = capsys.readouterr().out
    assert "Usage: python -m host.plan" in out
    assert command or "Examples" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("tree --nodes 0", "nodes = 0"),
        ("tree --nodes 8,x", "nodes = '8,x'"),
        ("tree --nodes 300", "nodes = 300"),
        ("tree --depths 2,-1", "depths = -1"),
        ("tree --depths ,", "depths = ''"),
        ("tree --rule best", "rule = 'best'"),
        ("tree --acceptances 0.5,1.2", "acceptances[2] = 1.2"),
        ("tree --acceptances 0.5,,1", "acceptances = '0.5,,1'"),
        ("tree --acceptances 0.5,0.4 --rule kseq", "acceptances[2] = 0.4"),
        ("tree --acceptances 0.5 --simulate 100", "simulate = 100"),
        ("tree --rule optimal --simulate 100", "simulate = 100"),
        ("tree --contexts 2 --simulate 100", "simulate = 100"),
        ("tree --contexts 0", "contexts = 0"),
        ("tree --K 0", "K = 0"),
        ("tree --drafts 65", "drafts = 65"),
        ("tree --pgen uniform", "pgen = 'uniform'"),
        ("tree --pgen file", "target = None"),
        ("tree --pgen file --target nowhere.npy", "target = 'nowhere.npy' cannot be read"),
        ("tree --pgen file --target bad.npy", "target = 'bad.npy': row 1"),
        ("tree --pgen file --target rows.npy --vocab 9", "vocab_size = 9"),
        ("tree --pgen file --target rows.npy --contexts 2", "contexts = 2"),
        ("tree --plot tree.txt", "plot = 'tree.txt'"),
        ("tree --json nowhere/tree.json", "json = 'nowhere/tree.json'"),
        ("speedup --target-ms 0", "target_ms = 0.0"),
        ("speedup --baud 100", "baud = 100"),
        ("speedup --baud 9600 --bytes-per-s 5", "bytes_per_s = '5'"),
        ("speedup --acceptances 0.5", "acceptances = '0.5'"),
        ("speedup --K 64,x", "K = '64,x'"),
        ("speedup --depths 0", "depth_max = 0"),
        ("knob --acceptance x", "acceptance = 'x'"),
        ("knob --acceptance 1.5", "acceptance = 1.5"),
        ("knob --K-max 2000", "k_max = 2000"),
        ("knob --draws-per-s 0", "draws_per_s = 0.0"),
    ],
)
def test_bad_input_is_one_line_and_writes_nothing(
    capsys: pytest.CaptureFixture[str], arguments: str, message: str
) -> None:
    np.save("rows.npy", np.full((2, 4), 0.25))
    np.save("bad.npy", np.array([[0.5, 0.5], [0.5, 0.6]]))
    assert main(shlex.split(arguments)) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith(f"error: {message}")
    assert (captured.err.count("\n"), captured.out) == (1, "")
    assert sorted(path.name for path in Path().iterdir()) == ["bad.npy", "rows.npy"]


def commands(text: str) -> list[str]:
    """Lines that begin with `$ python -m host.plan` in the guide."""
    return re.findall(r"^\$ python -m host\.plan (.+)$", text, re.MULTILINE)


def blocks(text: str) -> list[tuple[str, list[str]]]:
    """Each console block of the guide that shows one command and lines that it prints."""
    found = []
    for block in re.findall(r"^```console\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        lines = block.splitlines()
        if len(lines) > 1 and lines[0].startswith("$ "):
            found.append((lines[0].removeprefix("$ python -m host.plan "), [line for line in lines[1:] if line]))
    return found


def test_the_guide_shows_commands() -> None:
    assert len(commands(GUIDE)) >= 5
    assert len(blocks(GUIDE)) >= 3


NUMBER = re.compile(r"\d+(?:\.\d+)?")


def is_printed(line: str, printed: list[str], *, fitted: bool) -> bool:
    """Whether a line is among the printed ones; what hangs on the race's fit, or on its draws, may differ a little."""
    if not fitted or line in printed:
        return line in printed
    plain = re.sub(r"p_value=\S+", "p_value", line)
    numbers = [float(number) for number in NUMBER.findall(plain)]
    for other in (re.sub(r"p_value=\S+", "p_value", candidate) for candidate in printed):
        if NUMBER.sub("#", other).split() == NUMBER.sub("#", plain).split():
            found = [float(number) for number in NUMBER.findall(other)]
            if all(abs(x - y) <= 0.02 * max(x, 1.0) for x, y in zip(numbers, found, strict=True)):
                return True
    return False


@pytest.mark.parametrize(("command", "shown"), [pytest.param(*block, id=block[0]) for block in blocks(GUIDE)])
def test_the_guide_shows_what_is_printed(capsys: pytest.CaptureFixture[str], command: str, shown: list[str]) -> None:
    """Every line that the guide shows below a command is one that it prints; `...` stands for left-out lines."""
    assert main(shlex.split(command)) == 0
    printed = capsys.readouterr().out.splitlines()
    fitted = not command.startswith("knob") and not re.search("--rule|--acceptances", command)
    assert [line for line in shown if line != "..." and not is_printed(line, printed, fitted=fitted)] == []


def test_lines_that_are_not_printed_are_seen() -> None:
    printed = ["tokens=5.157 p_value=0.3 drafts=32", "as_predicted=yes"]
    assert is_printed("tokens=5.160 p_value=0.9 drafts=32", printed, fitted=True)
    assert not is_printed("tokens=5.160 p_value=0.3 drafts=32", printed, fitted=False)
    assert not is_printed("tokens=5.357 p_value=0.3 drafts=32", printed, fitted=True)
    assert not is_printed("tokens=5.157 p_value=0.3 drafts=33", printed, fitted=True)
    assert not is_printed("as_predicted=no", printed, fitted=True)


def test_python_in_the_guide() -> None:
    """The Python block runs as it stands."""
    for block in re.findall(r"^```python\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL):
        exec(compile(block, "docs/how-to/plan.md", "exec"), {})


def test_an_interrupt_is_said_in_one_line(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*arguments: object, **more: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("host.plan.tree_command.plan_trees", interrupt)
    assert main(["tree", "--acceptances", "0.5,0.7"]) == 130
    assert capsys.readouterr().err == "error: interrupted before there was a result\n"
