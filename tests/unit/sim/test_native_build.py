# SPDX-License-Identifier: Apache-2.0
"""The compile cache, and the generated headers as a C++ compiler sees them."""

import ctypes
from pathlib import Path

import pytest

from hw.spec.cache import cache_folder
from hw.spec.config import PRESETS, TsuConfig
from hw.spec.digest import spec_id
from hw.spec.noise import stream_states
from sim.native.build import NativeBuildError, build_library
from sim.native.header import CONFIG_HEADER_NAME, EXP2_HEADER_NAME, config_header, exp2_header

ANSWER = '#include "answer.h"\nextern "C" __attribute__((visibility("default"))) int answer(void) { return ANSWER; }\n'


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TSD_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "answer.cpp"
    path.write_text(ANSWER, encoding="utf-8")
    return path


def build(source: Path, answer: str) -> Path:
    return build_library(name="answer", source=source, headers=[], generated={"answer.h": f"#define ANSWER {answer}\n"})


def test_same_content_is_built_once_and_other_content_beside_it(source: Path) -> None:
    first = build(source, "42")
    assert first.parent == cache_folder("native")
    stamp = first.stat().st_mtime_ns
    assert build(source, "42") == first
    assert first.stat().st_mtime_ns == stamp
    second = build(source, "43")
    assert second != first
    assert [ctypes.CDLL(str(path)).answer() for path in (first, second)] == [42, 43]
    assert sorted(first.parent.iterdir()) == sorted([first, second])  # nothing left behind


def test_compile_error_is_one_line_and_leaves_nothing(source: Path) -> None:
    with pytest.raises(NativeBuildError, match=r"did not compile answer\.cpp: .*error") as caught:
        build(source, "(")
    assert "\n" not in str(caught.value)
    assert list(cache_folder("native").iterdir()) == []


def test_files_that_are_not_listed_cannot_be_included(source: Path) -> None:
    source.with_name("answer.h").write_text("#define ANSWER 1\n", encoding="utf-8")
    with pytest.raises(NativeBuildError, match=r"answer\.h"):
        build_library(name="answer", source=source, headers=[], generated={})


def test_cache_that_cannot_be_written_is_one_line(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TSD_CACHE", str(source))  # a file, not a folder
    with pytest.raises(NativeBuildError, match="cannot write to the build cache") as caught:
        build(source, "42")
    assert "\n" not in str(caught.value)


def test_cache_folders(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("TSD_CACHE", raising=False)
    assert cache_folder("native") == Path(__file__).parents[3] / "build" / "native"
    monkeypatch.setattr(Path, "is_file", lambda path: False)  # as if installed outside a checkout
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder("native") == tmp_path / "tsd" / "native"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder("native") == tmp_path / ".cache" / "tsd" / "native"


HEADER_PROBE = """
#include "tsd_config.h"
#include "tsd_exp2.h"
extern "C" __attribute__((visibility("default"))) uint64_t probe(int i) {
  const uint64_t values[] = {TSD_OPCODE_SEED, TSD_STATUS_NO_SEED, TSD_MODE_EXP2, TSD_LOAD_TAIL_WEIGHT_WIDTH, TSD_K_MAX,
                             TSD_TOTAL_MIN, TSD_TOTAL_MAX, TSD_UNIFORM_BITS, TSD_SPEC_ID, tsd_exp2_c0[0],
                             TSD_NOISE == TSD_GENERATOR_LFSR_LEAP, tsd_reset_states[TSD_NOISE_STREAMS * 4 - 1],
                             TSD_SEED_COMMAND_WORDS, TSD_HAS_TABLE, sizeof tsd_reset_states};
  return values[i];
}
"""


def test_headers_hold_the_constants_of_a_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TSD_CACHE", str(tmp_path))
    config = TsuConfig(noise="lfsr-leap", lanes=2, weight_source="exp2")
    path = tmp_path / "probe.cpp"
    path.write_text(HEADER_PROBE, encoding="utf-8")
    headers = {CONFIG_HEADER_NAME: config_header(config), EXP2_HEADER_NAME: exp2_header()}
    library = ctypes.CDLL(str(build_library(name="probe", source=path, headers=[], generated=headers)))
    library.probe.restype = ctypes.c_uint64
    last_word = stream_states("lfsr-leap", 0, 6)[5][3]
    expected = [4, 14, 1, 64, 64, (1 << 46) + 1, (1 << 56) - 1, 64, spec_id(config), 1 << 50, 1, last_word, 25, 0, 96]
    assert [library.probe(i) for i in range(len(expected))] == expected


def test_header_differs_between_presets() -> None:
    headers = {config_header(config) for config in PRESETS.values()}
    assert len(headers) == len(set(PRESETS.values()))
