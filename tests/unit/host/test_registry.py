# SPDX-License-Identifier: Apache-2.0
"""Backends by name, and the one line that each wrong request gets."""

import sys

import pytest

from host.psi.schema import Psi
from host.tsu.base import TsuError
from host.tsu.registry import BACKENDS, open_tsu
from hw.spec.config import TsuConfig
from hw.spec.digest import spec_id
from hw.spec.errors import SpecError

DEFAULT = TsuConfig()
PSI = Psi(ids=[4], scores_q=[0], scale=0.1, zero_point=0, tau=1.0, tail=0.0, vocab_size=9)


def test_model_opens_by_name() -> None:
    with open_tsu(backend="model", config=DEFAULT, seed=5, mode="exp2") as tsu:
        assert tsu.capabilities.name == "model"
        assert tsu.capabilities.exact
        assert tsu.capabilities.bit_true
        assert tsu.config == DEFAULT
        assert tsu.spec_id == spec_id(DEFAULT)
        draws = tsu.sample(PSI, 3)
        assert draws.tokens.tolist() == [4, 4, 4]
        assert draws.log_q.tolist() == [0.0, 0.0, 0.0]


def test_unknown_backend_names_the_legal_ones() -> None:
    with pytest.raises(SpecError) as caught:
        open_tsu(backend="gpu", config=DEFAULT)
    assert str(caught.value) == "backend = 'gpu' is not legal: expected one of " + ", ".join(BACKENDS)


@pytest.mark.parametrize(("field", "arguments"), [("seed", {"seed": 1 << 64}), ("mode", {"mode": "log"})])
def test_illegal_arguments_name_the_field(field: str, arguments: dict[str, object]) -> None:
    with pytest.raises(SpecError, match=f"^{field} = "):
        open_tsu(backend="model", config=DEFAULT, **arguments)  # type: ignore[arg-type]  # one argument of two types


@pytest.mark.parametrize(("backend", "extra"), [("rtl", "sim"), ("cxxrtl", "hw")])
def test_missing_dependency_names_the_extra(
    backend: str, extra: str, monkeypatch: pytest.MonkeyPatch, tmp_path: object
) -> None:
    """An empty cache makes the RTL backend elaborate, which needs Amaranth; None in sys.modules hides it."""
    monkeypatch.setenv("TSD_CACHE", str(tmp_path))
    for name in [module for module in sys.modules if module.split(".")[0] == "amaranth"]:
        monkeypatch.delitem(sys.modules, name)
    ours = ("hw.tsu", "sim.", "host.tsu.rtl", "host.tsu.cxxrtl")
    for name in [module for module in sys.modules if module.startswith(ours)]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "amaranth", None)
    monkeypatch.setitem(sys.modules, "amaranth.hdl", None)
    with pytest.raises(TsuError) as caught:
        open_tsu(backend=backend, config=DEFAULT)
    assert str(caught.value).startswith(f"backend {backend} needs the package amaranth")
    assert str(caught.value).endswith(f"pip install 'thermo-speculative-decoding[{extra}]'")
    assert "\n" not in str(caught.value)


def test_missing_compiler_is_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    from sim.native.toolchain import find_cxx

    monkeypatch.setenv("TSD_CACHE", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    find_cxx.cache_clear()
    try:
        with pytest.raises(TsuError, match=r"no C\+\+ compiler") as caught:
            open_tsu(backend="model", config=DEFAULT)
    finally:
        find_cxx.cache_clear()
    assert "\n" not in str(caught.value)
