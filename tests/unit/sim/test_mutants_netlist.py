# SPDX-License-Identifier: Apache-2.0
"""The list of mutants, the Verilog that holds them, scripts as numbers, and the cut of the equivalence proof."""

from pathlib import Path

import pytest

from hw.spec.commands import Status
from hw.spec.config import TsuConfig
from hw.spec.errors import SpecError
from sim.mutants.equivalence import cut_state
from sim.mutants.flat_core import TOP_NAME, FlatCore
from sim.mutants.library import mutant_library
from sim.mutants.netlist import SELECTOR, VERILOG_FILE, Mutant, list_mutants, write_netlist, write_verilog
from sim.mutants.script import ExpectedBeat, ExpectedStatus, Segment, Stalls, encode_script
from sim.native.build import NativeBuildError

CONFIG = TsuConfig(k_max=2, vocab_max=16, weight_bits=8, headroom_bits=1, guard_bits=3, tail_noise_bits=5)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("netlist")
    write_netlist(FlatCore(config=CONFIG).to_rtlil(), top=TOP_NAME, folder=made)
    return made


@pytest.fixture(scope="module")
def mutants(folder: Path) -> list[Mutant]:
    return list_mutants(tries=300, seed=1, within="", folder=folder)


def test_mutants_are_numbered_from_one_and_spread(mutants: list[Mutant]) -> None:
    assert [mutant.index for mutant in mutants] == list(range(1, len(mutants) + 1))
    assert len(mutants) > 280
    assert {mutant.mode for mutant in mutants} == {"inv", "const0", "const1", "cnot0", "cnot1"}
    assert len({mutant.component for mutant in mutants}) >= 12


def test_clocks_are_left_out_and_names_do_not_hold_folders(mutants: list[Mutant]) -> None:
    assert [mutant.port for mutant in mutants if "CLK" in mutant.port] == []
    assert [mutant.text for mutant in mutants if str(Path(__file__).parents[3]) in mutant.text] == []


def test_list_follows_seed_and_pattern(folder: Path, mutants: list[Mutant]) -> None:
    assert list_mutants(tries=300, seed=1, within="", folder=folder) == mutants
    assert list_mutants(tries=300, seed=2, within="", folder=folder) != mutants
    some = list_mutants(tries=300, seed=1, within=r"^core\.loader", folder=folder)
    assert 0 < len(some) < len(mutants)
    assert {mutant.component.partition(".")[0] for mutant in some} == {"loader"}


def test_verilog_has_the_selector(folder: Path, mutants: list[Mutant]) -> None:
    write_verilog(mutants[:5], folder=folder)
    text = (folder / VERILOG_FILE).read_text(encoding="utf-8")
    assert f"input [2:0] {SELECTOR};" in text
    for number in range(1, 6):
        assert f"3'h{number}" in text


def test_wrong_mutant_is_one_line(folder: Path, mutants: list[Mutant]) -> None:
    fields = vars(mutants[0]) | {"command": "-mode inv -module tsu -cell nothing -port A -portbit 0"}
    with pytest.raises(NativeBuildError, match="Yosys failed") as caught:
        write_verilog([Mutant(**fields)], folder=folder)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("tries", [0, 20_001])
def test_number_of_mutants_is_checked(tries: int) -> None:
    with pytest.raises(SpecError, match="tries"):
        mutant_library(CONFIG, tries=tries, seed=1)


def test_script_as_numbers() -> None:
    segment = Segment(
        name="x",
        reset=True,
        commands=[[1, 2], [3]],
        statuses=[ExpectedStatus(tag=5, opcode=2, code=Status.NO_PSI, total=0)],
        beats=[ExpectedBeat(keep=0b10, tag=5, last=True, draws=[(7, 8, 9)])],
        stalls=Stalls(command=1, status=2, draw=3),
        hold_cycles=4,
        bound_cycles=6,
        linger=12,
        registers=[(8, 77)],
    )
    header = [1, 1 | 2 << 16 | 3 << 32, 1, 4, (1 << 64) - 1, 6, 3, 1, 1, 5, 1, 12]
    last = 1 << 32
    lists = [1, 2 | last, 3 | last, 5 | 2 << 16 | 12 << 24, 0, 0b10, 5 | 1 << 16, 7, 8, 9, 8, 77]
    assert encode_script([segment]).tolist() == [1, *header, *lists]


@pytest.mark.parametrize("field", ["command", "status", "draw"])
def test_stream_that_always_stalls_is_refused(field: str) -> None:
    with pytest.raises(SpecError, match=field):
        Stalls(**{field: 256})


def test_cut_turns_registers_and_memories_into_ports() -> None:
    directions = {"CLK": "input", "D": "input", "Q": "output"}
    register = {"type": "$dff", "port_directions": directions, "connections": {"CLK": [2], "D": [3], "Q": [4]}}
    gate = {"type": "$not", "port_directions": {"A": "input", "Y": "output"}, "connections": {"A": [4], "Y": [3]}}
    module = {"ports": {}, "cells": {"r.x": register, "g": gate}}
    cut_state(module)
    assert list(module["cells"]) == ["g"]
    assert module["ports"] == {
        "cut_r_x_D": {"direction": "output", "bits": [3]},
        "cut_r_x_Q": {"direction": "input", "bits": [4]},
    }
