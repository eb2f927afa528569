# SPDX-License-Identifier: Apache-2.0
"""Programs of others: their published output formats, stand-ins on PATH, and what a missing one leaves in the table."""

import ctypes
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from hw.spec.config import TsuConfig
from sim.native.build import FLAGS, build_library, compile_library
from sim.noise import dieharder as dieharder_file
from sim.noise import programs, testu01
from sim.noise.battery import LANES, full_plan, quick_plan
from sim.noise.dieharder import DieharderTest, dieharder, parse_dieharder
from sim.noise.programs import ProgramError
from sim.noise.report import TESTU01, Status, read_reports
from sim.noise.source import RtlSource

# Printed by rngtest 5, as quoted in mailing lists of hardware generators.
RNGTEST = """rngtest 5
rngtest: starting FIPS tests...
rngtest: bits received from input: 20000032
rngtest: FIPS 140-2 successes: 996
rngtest: FIPS 140-2 failures: 4
rngtest: FIPS 140-2(2001-10-10) Monobit: 0
rngtest: FIPS 140-2(2001-10-10) Poker: 0
rngtest: FIPS 140-2(2001-10-10) Runs: 1
rngtest: FIPS 140-2(2001-10-10) Long run: 3
rngtest: FIPS 140-2(2001-10-10) Continuous run: 0
"""

# The two lines that `ent -t` prints, from the format strings of ent.c.
ENT = """0,File-bytes,Entropy,Chi-square,Mean,Monte-Carlo-Pi,Serial-Correlation
1,4000000,7.999955,{chi2},127.484771,3.141105,{serial}
"""

# Layout of dieharder 3.31.1.
DIEHARDER = """#=============================================================================#
#            dieharder version 3.31.1 Copyright 2003 Robert G. Brown          #
#=============================================================================#
   rng_name    |rands/second|   Seed   |
stdin_input_raw|  1.20e+07  |1541613519|
#=============================================================================#
        test_name   |ntup| tsamples |psamples|  p-value |Assessment
#=============================================================================#
   diehard_birthdays|   0|       100|     100|0.64354232|  PASSED
          sts_serial|   2|    100000|     100|0.99987113|   WEAK
          sts_serial|   3|    100000|     100|0.00000000|  {last}
"""


def silent(_share: float) -> None:
    """Progress that nobody sees."""


class Counting:
    """Words 0, 1, 2, ... in each stream, with the stream in the high byte."""

    streams = 2

    def __init__(self) -> None:
        self.taken = 0

    def take(self, n: int) -> npt.NDArray[np.uint32]:
        low = np.arange(self.taken, self.taken + n, dtype=np.uint32)
        self.taken += n
        return np.stack([low, low | 1 << 24])


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Puts a Python script on an otherwise empty PATH under a program's name."""
    monkeypatch.setenv("PATH", str(tmp_path))

    def add(name: str, script: str) -> None:
        path = tmp_path / name
        path.write_text(f"#!{sys.executable}\nimport sys\n{script}", encoding="utf-8")
        path.chmod(0o755)

    return add


def test_serial_words_are_stretches_of_each_stream() -> None:
    data = np.frombuffer(programs.serial_words(Counting(), 5), dtype="<u4")
    assert list(data) == [0, 1, 2, 1 << 24, 1 << 24 | 1]


def test_missing_programs_name_their_debian_package(install) -> None:
    for result, package in (
        (programs.rngtest(Counting(), blocks=1, progress=silent), "rng-tools-debian"),
        (programs.ent(Counting(), words=10, progress=silent), "ent"),
        (dieharder(Counting(), progress=silent), "dieharder"),
    ):
        assert result.status is Status.NOT_RUN
        assert result.figure.endswith(f"Debian package {package}")


def test_parse_rngtest() -> None:
    assert programs.parse_rngtest(RNGTEST) == (996, 4)
    with pytest.raises(ProgramError, match="FIPS 140-2 failures"):
        programs.parse_rngtest(RNGTEST.replace("failures", "fails"))


@pytest.mark.parametrize("failures, status", [(1, Status.PASS), (90, Status.FAIL)])
def test_rngtest_gets_every_block_and_is_judged_by_its_failures(install, failures: int, status: Status) -> None:
    text = RNGTEST.replace("996", str(100 - failures)).replace(" 4\n", f" {failures}\n")
    install(
        "rngtest",
        f"assert sys.argv[1:] == ['-c', '100']\nassert len(sys.stdin.buffer.read()) == 100 * 2500 + 4\n"
        f"sys.stderr.write({text!r})\nsys.exit(1)",
    )
    result = programs.rngtest(Counting(), blocks=100, progress=silent)
    assert (result.status, result.figure) == (status, f"{failures} of 100 blocks fail")


def test_rngtest_that_breaks_or_stops_early_is_an_error(install) -> None:
    install("rngtest", "sys.exit(11)")
    with pytest.raises(ProgramError, match="exit status 11"):
        programs.rngtest(Counting(), blocks=1, progress=silent)
    install("rngtest", f"sys.stdin.buffer.read()\nsys.stderr.write({RNGTEST!r})")
    with pytest.raises(ProgramError, match="1000 blocks of 1001"):
        programs.rngtest(Counting(), blocks=1001, progress=silent)


@pytest.mark.parametrize(
    "chi2, serial, status",
    [
        (250.1, 0.0005, Status.PASS),
        (400.0, 0.0, Status.FAIL),  # p = 1.4e-8 at 255 degrees of freedom
        (150.0, 0.0, Status.FAIL),  # too even: p = 3e-8
        (250.1, -0.0030, Status.FAIL),  # 6 sigma of 4e6 bytes
    ],
)
def test_ent_is_judged_by_bytes_and_their_neighbours(install, chi2: float, serial: float, status: Status) -> None:
    text = ENT.format(chi2=chi2, serial=serial)
    install(
        "ent",
        f"assert sys.argv[1] == '-t'\nassert len(open(sys.argv[2], 'rb').read()) == 4000000\nprint({text!r}, end='')",
    )
    assert programs.ent(Counting(), words=10**6, progress=silent).status is status


def test_ent_with_other_output_is_an_error(install) -> None:
    for text in ("", "0,a\n1,b\n", "0,a\n1,2\n", "0,a\n1,2,3\n"):
        with pytest.raises(ProgramError, match="ent printed"):
            programs.parse_ent(text)
    install("ent", f"print({ENT.format(chi2=250, serial=0)!r})")
    with pytest.raises(ProgramError, match="4000000 bytes of 40"):
        programs.ent(Counting(), words=10, progress=silent)


@pytest.fixture
def one_test(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two tests that need a million words each."""
    monkeypatch.setattr(dieharder_file, "TESTS", (DieharderTest(3, 10**6, ""), DieharderTest(8, 10**6, "")))


@pytest.mark.parametrize("last, status", [("PASSED", Status.PASS), ("FAILED", Status.FAIL)])
def test_dieharder_is_fed_until_it_has_enough(install, one_test: None, last: str, status: Status) -> None:
    install(
        "dieharder",
        "assert sys.argv[1:4] == ['-g', '200', '-d'] and sys.argv[4] in ('3', '8')\n"
        "data = sys.stdin.buffer.read(5000000)\nassert data[4:8] != data[:4]\n"
        f"print({DIEHARDER.format(last=last)!r})",
    )
    result = dieharder(Counting(), progress=silent)
    assert result.status is status
    failed = 2 if status is Status.FAIL else 0
    assert result.figure.startswith(f"{failed} of 6 results failed, 2 weak, 0.00 x 10^9 words")
    assert result.figure.endswith(": sts_serial 3") == (status is Status.FAIL)


def test_dieharder_that_breaks_or_prints_nothing_is_an_error(install) -> None:
    install("dieharder", "sys.exit(3)")
    with pytest.raises(ProgramError, match="exit status 3"):
        dieharder(Counting(), progress=silent)
    install("dieharder", "print('stdin_input_raw|')")
    with pytest.raises(ProgramError, match="no result of test 0"):
        dieharder(Counting(), progress=silent)


def test_dieharder_that_took_too_few_words_is_not_judged(install, one_test: None) -> None:
    install("dieharder", f"sys.stdin.buffer.read(2000000)\nprint({DIEHARDER.format(last='PASSED')!r})")
    with pytest.raises(ProgramError, match=r"took \d+ words for test 3, which needs 1000000"):
        dieharder(Counting(), progress=silent)


def test_dieharder_that_read_something_else_or_twice_is_not_judged() -> None:
    text = DIEHARDER.format(last="PASSED")
    assert [(found.name, found.verdict) for found in parse_dieharder(text)] == [
        ("diehard_birthdays", "PASSED"),
        ("sts_serial 2", "WEAK"),
        ("sts_serial 3", "PASSED"),
    ]
    with pytest.raises(ProgramError, match="did not say that it reads stdin_input_raw"):
        parse_dieharder(text.replace("stdin_input_raw", "        mt19937"))
    with pytest.raises(ProgramError, match="twice"):
        parse_dieharder(text + "# The file file_input_raw was rewound 3 times\n")


def test_program_that_hangs_is_stopped(install, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs, "TIME_LIMIT_S", 0.3)
    for name in ("dieharder", "rngtest"):
        install(name, "import time\ntime.sleep(60)")
    with pytest.raises(ProgramError, match=r"dieharder took more than 0\.3 s"):
        dieharder(Counting(), progress=silent)
    with pytest.raises(ProgramError, match="rngtest did not end well"):
        programs.rngtest(Counting(), blocks=1, progress=silent)


# The part of TestU01's interface that is used (unif01.h, bbattery.h, swrite.h): the p-value is the share of set bits.
FAKE_TESTU01 = """
#define EXPORT extern "C" __attribute__((visibility("default")))
EXPORT double bbattery_pVal[201];
EXPORT int bbattery_NTests, swrite_Basic;
double bbattery_pVal[201];
int bbattery_NTests, swrite_Basic = 1;
struct generator { unsigned (*next)(void); };
EXPORT generator *unif01_CreateExternGenBits(char *, unsigned (*next)(void)) { return new generator{next}; }
EXPORT void unif01_DeleteExternGenBits(generator *gen) { delete gen; }
EXPORT void bbattery_SmallCrush(generator *gen) {
    unsigned long ones = 0;
    for (int i = 0; i < 1000; ++i) ones += __builtin_popcount(gen->next());
    bbattery_NTests = 3;
    bbattery_pVal[0] = WORST;
    bbattery_pVal[1] = -1;
    bbattery_pVal[2] = ones / 32000.0;
}
"""


@pytest.mark.parametrize("worst, status", [("0.01", Status.PASS), ("1e-9", Status.FAIL), ("1 - 1e-9", Status.FAIL)])
def test_small_crush_reads_the_gateware_and_its_p_values(tmp_path: Path, worst: str, status: Status) -> None:
    path = tmp_path / "testu01.cpp"
    path.write_text(FAKE_TESTU01.replace("WORST", worst), encoding="utf-8")
    library = ctypes.CDLL(str(build_library(name="fake_testu01", source=path, headers=[], generated={})))
    with RtlSource(config=TsuConfig(lanes=LANES), seed=1) as source:
        result = testu01.small_crush(source, library)
    assert result.status is status
    assert result.figure.startswith("2 statistics")
    share = (ctypes.c_double * 3).in_dll(library, "bbattery_pVal")[2]
    assert abs(share - 0.5) < 5 * 0.5 / 32000**0.5
    assert ctypes.c_int.in_dll(library, "swrite_Basic").value == 0


def test_testu01_is_looked_for_and_not_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes.util, "find_library", lambda name: None)
    assert testu01.find_testu01() is None


def test_testu01_is_used_where_it_is_installed(tmp_path: Path) -> None:
    """The whole command with a stand-in where the loader looks: full runs take it, quick ones where asked."""
    assert full_plan().testu01 and not quick_plan().testu01
    source, libraries = tmp_path / "testu01.cpp", tmp_path / "lib"
    source.write_text(FAKE_TESTU01.replace("WORST", "0.01"), encoding="utf-8")
    libraries.mkdir()
    flags = [*FLAGS, f"-Wl,-soname,lib{testu01.LIBRARY}.so"]
    compile_library(tmp_path, [source], flags=flags).rename(libraries / f"lib{testu01.LIBRARY}.so")
    command = [sys.executable, "-m", "sim.noise", "--quick", "--testu01", "--generator", "lfsr-leap", "--out", "here"]
    environment = os.environ | {"LD_LIBRARY_PATH": str(libraries)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    (report,) = read_reports(tmp_path / "here")
    assert [check.figure for check in report.checks if check.name == TESTU01] == ["2 statistics, most extreme p 0.01"]
