# SPDX-License-Identifier: Apache-2.0
"""psi: what it stores, what it derives, and every value it refuses."""

import math
import struct

import numpy as np
import pytest

from host.psi.schema import Psi
from hw.spec.errors import SpecError

GOOD = {
    "ids": [2, 5, 11],
    "scores_q": [127, -28, 100],
    "scale": 0.05,
    "zero_point": 3,
    "tau": 0.75,
    "tail": 0.125,
    "vocab_size": 20,
}


def make(**changes) -> Psi:
    return Psi(**{**GOOD, **changes})


def test_stored_types_and_rounding():
    psi = make()
    assert psi.ids.dtype == np.uint32
    assert psi.scores_q.dtype == np.int8
    assert psi.ids.tolist() == [2, 5, 11]
    assert psi.scale == struct.unpack("<f", struct.pack("<f", 0.05))[0] != 0.05
    assert all(type(x) is float for x in (psi.scale, psi.tau, psi.tail))
    assert (psi.k, psi.spread, psi.score_max_q) == (3, 17, 127)


def test_derived_values_by_hand():
    psi = make(scale=0.5)
    assert psi.scores.tolist() == [62.0, -15.5, 48.5]
    assert psi.scores.dtype == np.float64
    assert psi.distances.tolist() == [0, 155, 27]
    assert psi.distances.dtype == np.uint8
    assert math.isclose(psi.eps, 0.125 * math.exp(62.0 / 0.75) / 17, rel_tol=1e-13)
    assert make(tail=0).eps == 0
    assert make(scale=1e30).eps == math.inf
    assert make(scores_q=[-128, 127, 0]).distances.tolist() == [255, 0, 127]


def test_arrays_are_copies_that_stay_read_only():
    ids = np.array([2, 5, 11])
    psi = make(ids=ids)
    ids[0] = 3
    assert psi.ids[0] == 2
    for array in (psi.ids, psi.scores_q):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1
        with pytest.raises(ValueError, match="cannot set WRITEABLE"):
            array.setflags(write=True)
    with pytest.raises(AttributeError):
        psi.tau = 2.0


def test_equal_by_content():
    assert make() == make(ids=np.array([2, 5, 11], dtype=np.int16), scale=np.float32(0.05))
    assert hash(make()) == hash(make(tau=np.float64(0.75)))
    changed = {
        "ids": [2, 5, 12],
        "scores_q": [127, -28, 99],
        "scale": 0.06,
        "zero_point": 4,
        "tau": 1,
        "tail": 0.25,
        "vocab_size": 21,
    }
    for field, value in changed.items():
        assert make(**{field: value}) != make()
    assert make() != "psi"
    assert make(scale=-0.0) == make(scale=0.0)
    assert math.copysign(1, make(scale=-0.0).scale) == 1


def test_from_unsorted_keeps_each_score_with_its_id():
    psi = Psi.from_unsorted(**{**GOOD, "ids": [11, 2, 5], "scores_q": [100, 127, -28]})
    assert psi == make()
    with pytest.raises(SpecError, match="strictly increase"):
        Psi.from_unsorted(**{**GOOD, "ids": [11, 2, 11]})


@pytest.mark.parametrize(
    "changes",
    [
        {"ids": [0], "scores_q": [0], "tail": 0, "vocab_size": 1},
        {"ids": range(1024), "scores_q": [0] * 1024, "vocab_size": 1 << 20},
        {"ids": [0, 1, (1 << 20) - 1], "vocab_size": 1 << 20},
        {"tail": 2.0**-64},
        {"tail": 2.0**24},
        {"tail": 0, "vocab_size": 12},
        {"scale": 0},
        {"tau": 2.0**-149},
        {"zero_point": -128},
        {"zero_point": np.int64(127)},
    ],
)
def test_ends_of_the_ranges_are_legal(changes):
    assert make(**changes).k >= 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"ids": [], "scores_q": []}, r"K = len\(ids\) = 0 .* \[1, 1024\]"),
        ({"ids": range(1025), "scores_q": [0] * 1025, "vocab_size": 2000}, r"K = len\(ids\) = 1025 .* \[1, 1024\]"),
        ({"vocab_size": 2}, r"vocab_size = 2 .* \[3, 1048576\]"),
        ({"vocab_size": 0}, r"vocab_size = 0 "),
        ({"vocab_size": (1 << 20) + 1}, r"vocab_size = 1048577 .* \[1, 1048576\]"),
        ({"vocab_size": 20.0}, r"vocab_size = 20.0 .* an integer"),
        ({"vocab_size": True}, r"vocab_size = True "),
        ({"ids": [2, 5, 5]}, r"ids\[2\] = 5 .* above ids\[1\] = 5"),
        ({"ids": [5, 2, 11]}, r"ids\[1\] = 2 .* strictly increase"),
        ({"ids": [2, 5, 20]}, r"ids\[2\] = 20 .* \[0, 19\]"),
        ({"ids": [-1, 5, 11]}, r"ids\[0\] = -1 .* \[0, 19\]"),
        ({"ids": np.array([2, 5, 2**64 - 1], dtype=np.uint64)}, r"ids\[2\] = 18446744073709551615 "),
        ({"ids": [2.0, 5.0, 11.0]}, r"ids.dtype = 'float64' .* an integer dtype"),
        ({"ids": [True, False, True]}, r"ids.dtype = 'bool' "),
        ({"ids": ["2", "5", "11"]}, r"ids.dtype = "),
        ({"ids": [[2, 5, 11]]}, r"ids.shape = \(1, 3\) "),
        ({"ids": 2}, r"ids.shape = \(\) "),
        ({"ids": None}, r"ids.shape = \(\) "),
        ({"ids": [[2], [5, 11]]}, r"ids = 'list' "),
        ({"scores_q": [127, -28]}, r"len\(scores_q\) = 2 .* 3"),
        ({"scores_q": [128, 0, 0]}, r"scores_q\[0\] = 128 .* \[-128, 127\]"),
        ({"scores_q": [0, -129, 0]}, r"scores_q\[1\] = -129 "),
        ({"scores_q": [0.5, 0, 0]}, r"scores_q.dtype = 'float64' "),
        ({"scores_q": [math.nan, 0, 0]}, r"scores_q.dtype = 'float64' "),
        ({"zero_point": 128}, r"zero_point = 128 .* \[-128, 127\]"),
        ({"zero_point": 0.0}, r"zero_point = 0.0 "),
        ({"scale": math.nan}, r"scale = nan "),
        ({"scale": math.inf}, r"scale = inf "),
        ({"scale": 1e39}, r"scale = 1e\+39 .* binary32"),
        ({"scale": -0.5}, r"scale = -0.5 .* >= 0"),
        ({"scale": "0.5"}, r"scale = '0.5' "),
        ({"scale": None}, r"scale = None "),
        ({"tau": 0}, r"tau = 0 .* > 0"),
        ({"tau": -1.0}, r"tau = -1.0 .* > 0"),
        ({"tau": 1e-60}, r"tau = 1e-60 .* > 0"),
        ({"tau": math.nan}, r"tau = nan "),
        ({"tau": math.inf}, r"tau = inf "),
        ({"tau": True}, r"tau = True "),
        ({"tail": -0.1}, r"tail = -0.1 "),
        ({"tail": math.nan}, r"tail = nan "),
        ({"tail": math.inf}, r"tail = inf "),
        ({"tail": 2.0**-65}, r"tail = .* 0, or a number in \[2\^-64, 2\^24\]"),
        ({"tail": 1e-60}, r"tail = 1e-60 "),
        ({"tail": 2.0**25}, r"tail = 33554432.0 "),
        ({"vocab_size": 3, "ids": [0, 1, 2]}, r"tail = 0.125 .* expected 0, because vocab_size = K = 3"),
    ],
)
def test_bad_psi_is_one_clear_line(changes, message):
    with pytest.raises(SpecError, match=message) as caught:
        make(**changes)
    assert "\n" not in str(caught.value)
