# SPDX-License-Identifier: Apache-2.0
"""Groups of lanes in hw.spec: legal numbers, what follows from them, and which group executes a command."""

import pytest

from hw.spec.commands import GroupChoice
from hw.spec.config import PRESETS, TsuConfig
from hw.spec.errors import SpecError
from hw.spec.registers import constant_values
from hw.tsu.layouts import beat_layout

LOAD, DRAW, TABLE, SEED = 0x0101, 0x0102, 0x0103, 0x0104


def test_numbers_that_follow() -> None:
    config = TsuConfig(groups=3, lanes=4)
    assert (config.all_lanes, config.group_bits, config.noise_words, config.noise_streams) == (12, 2, 3, 36)
    assert (constant_values(config)["LANES"], constant_values(config)["GROUPS"]) == (4, 3)
    assert [TsuConfig(groups=groups).group_bits for groups in (1, 2, 3, 4, 5, 16)] == [0, 1, 2, 2, 3, 4]


def test_presets_have_one_group() -> None:
    assert {config.groups for config in PRESETS.values()} == {1}


def test_beat_names_its_group_only_where_there_are_several() -> None:
    one, three = beat_layout(TsuConfig(lanes=4)), beat_layout(TsuConfig(lanes=4, groups=3))
    assert three.size == one.size + 2
    assert "group" not in one.members
    assert three["group"].offset == one.size


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"groups": 0}, r"^groups = 0 is not legal: expected an integer in \[1, 16\]"),
        ({"groups": 17}, r"^groups = 17 "),
        ({"groups": 1.5}, r"^groups = 1.5 "),
        ({"groups": 3, "lanes": 32}, r"^groups \* lanes = 96 is not legal: expected an integer in \[1, 64\]"),
        ({"groups": 2, "lanes": 64}, r"^groups \* lanes = 128 "),
        ({"groups": 2, "lanes": 3}, r"^lanes = 3 "),
    ],
)
def test_illegal_numbers(fields: dict[str, int], text: str) -> None:
    with pytest.raises(SpecError, match=text):
        TsuConfig(**fields)


@pytest.mark.parametrize("fields", [{"groups": 16, "lanes": 4}, {"groups": 1, "lanes": 64}, {"groups": 5, "lanes": 8}])
def test_legal_numbers(fields: dict[str, int]) -> None:
    assert TsuConfig(**fields).all_lanes == fields["groups"] * fields["lanes"]


@pytest.mark.parametrize(
    ("groups", "commands"),
    [
        (1, "L0 S0 L0 D0 T0 v0"),
        (2, "D0 L0 D0 T01 L1 D1 D1 L0"),  # DRAW before any LOAD; LOADs in turn; TABLE takes no turn
        (3, "L0 L1 S012 D1 L0 L1 L2 L0"),  # SEED: the next LOAD to group 0, a DRAW still to the last LOAD's group
        (3, "L0 L1 v1 s1 t1 o1 f1 L2"),  # another version or opcode: to the last LOAD's group, and no turn is taken
    ],
)
def test_group_of_a_command(groups: int, commands: str) -> None:
    """A letter for word 0, and the groups that execute the command."""
    words = {"L": LOAD, "D": DRAW, "T": TABLE, "S": SEED}
    words |= {"v": 0x0201, "s": 0x0204, "t": 0x0003, "o": 0x0105, "f": 0x01FF}
    choice = GroupChoice(groups)
    for command in commands.split():
        expected = [int(digit) for digit in command[1:]]
        assert list(choice.of(words[command[0]] | 0xABCD_0000)) == expected, command
