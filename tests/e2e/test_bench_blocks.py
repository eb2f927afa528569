# SPDX-License-Identifier: Apache-2.0
"""python -m host.bench_blocks: a line for each number of streams and length, one line for bad input."""

import pytest

from host.bench_blocks import LENGTHS, STREAMS, main


def test_a_line_for_each_block(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--backend", "model", "--contexts", "16", "--K", "8", "--lanes", "2"]) == 0
    heading, *lines, last = capsys.readouterr().out.splitlines()
    assert heading.split() == ["streams", "length", "cycles", "tokens/cycle/lane", "M", "tokens/s"]
    shapes = [tuple(map(int, line.split()[:2])) for line in lines]
    assert shapes == [(streams, length) for streams in STREAMS for length in LENGTHS]
    assert all(line.split()[2:4] == ["0", "-"] for line in lines)  # the model has no clock
    assert last.startswith("one command for each token: ")


@pytest.mark.slow  # a build of its own
def test_sixteen_streams_fill_the_pipeline(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--contexts", "16", "--K", "8"]) == 0
    rates = {
        tuple(map(int, line.split()[:2])): float(line.split()[3]) for line in capsys.readouterr().out.splitlines()[1:-1]
    }
    assert all(rates[streams, 512] >= 0.9 for streams in STREAMS)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--contexts", "100"], "contexts = 100 is not legal: expected a power of two in [4, 1024]"),
        (["--K", "256"], "K = 256 is not legal: expected an integer in [2, 255]"),
        (["--lanes", "16"], "lanes = 16 is not legal: expected an integer in [1, 8]"),
        (["--stages", "4"], "level_stages = 4 is not legal: expected an integer in [1, 3]"),
        (["--backend", "thrml"], "backend = 'thrml' is not legal: expected one of model, rtl, cxxrtl"),
        (["--seed", "x"], "seed = 'x' is not legal: expected an integer"),
    ],
)
def test_bad_input_is_one_line(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    assert capsys.readouterr().err == f"error: {message}\n"
