# SPDX-License-Identifier: Apache-2.0
"""What the host does when the noise of a TSU fails a health test: RTL with bad noise, run by backends and by M0."""

import json
from pathlib import Path
from typing import Any

import pytest

from host import run_m0
from host.psi.schema import Psi
from host.tsu.base import NoiseAlarm
from host.tsu.cxxrtl import CxxrtlTsu
from host.tsu.health import noise_alarm
from host.tsu.model import ModelTsu
from host.tsu.native import NativeTsu
from host.tsu.rtl import RtlTsu
from hw.spec.config import TsuConfig
from hw.spec.registers import Alarm
from sim.bench_file import load_module
from sim.inprocess import flat_tsu

mutant = load_module(Path(__file__).parents[1] / "sim" / "faulty_rtl" / "mutants.py").mutant

CONFIG = TsuConfig(k_max=4, lanes=2)
ENGINES: dict[str, type[RtlTsu] | type[CxxrtlTsu]] = {"rtl": RtlTsu, "cxxrtl": CxxrtlTsu}
PSI = Psi(ids=[2, 3, 50], scores_q=[9, 5, 0], scale=0.1, zero_point=0, tau=1.0, tail=0.5, vocab_size=700)
WORD = "word = total.rotate_left(self.ROTATION) + total_s0"
LATER = "later = Signal(); m.d.sync += later.eq(later | self.seeding); "
FAULTS = {
    "from reset": f"{WORD} | 8",
    "stuck bit": f"{LATER}{WORD}; word = word | later << 3",
    "bias": f"{LATER}{WORD}; word = word[:32]; a, b, c, d = (word.rotate_left(n) for n in (5, 9, 13, 17)); "
    "word = word | a & b & (c | d) & later.replicate(32)",
}


def plant(monkeypatch: pytest.MonkeyPatch, cache: Path, fault: str) -> None:
    """Have TSUs built whose generators have the fault, in a cache of their own."""

    def make(**arguments: Any) -> Any:
        core = mutant("core.TsuCore", where="noise.xoshiro128pp", old=WORD, new=FAULTS[fault], **arguments)
        return core()

    monkeypatch.setenv("TSD_CACHE", str(cache))
    monkeypatch.setattr(flat_tsu, "TsuCore", make)


@pytest.mark.slow  # a TSU to compile
@pytest.mark.parametrize("engine", ENGINES)
def test_bad_from_reset(engine: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The TSU does not open; the message names lanes and test in one line."""
    plant(monkeypatch, tmp_path, "from reset")
    with pytest.raises(NoiseAlarm, match=r"^noise alarm: .*lanes 0, 1: .*start-up test") as caught:
        ENGINES[engine](config=CONFIG)
    assert Alarm.KNOWN_ANSWER in caught.value.alarms
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("engine", "fault", "alarm"),
    [
        ("rtl", "bias", Alarm.PROPORTION),
        pytest.param("rtl", "stuck bit", Alarm.REPETITION, marks=pytest.mark.slow),
        pytest.param("cxxrtl", "stuck bit", Alarm.REPETITION, marks=pytest.mark.slow),
        pytest.param("cxxrtl", "bias", Alarm.PROPORTION, marks=pytest.mark.slow),
    ],
)
def test_bad_later(engine: str, fault: str, alarm: Alarm, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Draws come until the test has seen enough; from then on every call fails, also after a new seed, in its time."""
    plant(monkeypatch, tmp_path, fault)
    with ENGINES[engine](config=CONFIG) as tsu:
        for seed in (1, 2):
            tsu.reseed(seed)
            with pytest.raises(NoiseAlarm, match=f"^noise alarm: lanes 0, 1: .*{alarm.name.lower()}") as caught:
                for _ in range(200):
                    tsu.sample(PSI, 20_000)
            assert caught.value.alarms == (alarm,)
            with pytest.raises(NoiseAlarm):
                tsu.sample(PSI, 1)


@pytest.mark.parametrize("kind", [RtlTsu, CxxrtlTsu, ModelTsu])
def test_good_noise(kind: type[NativeTsu]) -> None:
    """The same calls with good noise."""
    with kind(config=CONFIG, seed=1) as tsu:
        for _ in range(20):
            tsu.sample(PSI, 20_000)


def test_run_is_marked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """M0 ends with status 1 and one line; summary.json says why; rows keep the name of an unfinished file."""
    plant(monkeypatch, tmp_path / "cache", "stuck bit")
    out = tmp_path / "run"
    options = ["--backend", "rtl", "--steps", "3000000", "--out", str(out), "--telemetry", "step"]
    assert run_m0.main(options) == 1
    printed = capsys.readouterr()
    assert (printed.out, printed.err.count("\n")) == ("", 1)
    assert "noise alarm: lane 0: " in printed.err
    summary = json.loads((out / "summary.json").read_text())
    assert (summary["complete"], summary["sound"]) == (False, False)
    assert summary["noise_alarm"].startswith("noise alarm: lane 0: ")
    assert (out / "steps.jsonl.part").is_file()
    assert not (out / "steps.jsonl").exists()


def test_good_run_is_not_marked(tmp_path: Path) -> None:
    assert run_m0.main(["--steps", "1000", "--out", str(tmp_path)]) == 0
    assert json.loads((tmp_path / "summary.json").read_text())["noise_alarm"] is None


def test_lanes_without_a_bit() -> None:
    """Registers hold 32 lanes; alarms of the others have a name too."""
    error = noise_alarm(0b1001, [0, 0, 0, 1 << 31], TsuConfig(lanes=64))
    assert error.alarms == (Alarm.REPETITION, Alarm.LOCKUP)
    assert str(error).startswith("noise alarm: lane 32 or above: ")
    assert "; lane 31: a generator met" in str(error)
