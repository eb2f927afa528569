# SPDX-License-Identifier: Apache-2.0
"""The backend `serial` on a pseudo-terminal: the stream of `model`, tags, threads, and a line for every failure."""

import os
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from host.psi.schema import Psi
from host.tsu.base import Draws, NoiseAlarm, TsuError
from host.tsu.lowering import draw_command, seed_command
from host.tsu.model import ModelTsu
from host.tsu.registry import open_tsu
from host.tsu.serial import driver as driver_module
from host.tsu.serial.board import CHUNK_DRAWS, CHUNKS_AHEAD, LocalBoard
from host.tsu.serial.driver import LinkDriver
from host.tsu.serial.pyserial_port import SerialPort
from host.tsu.serial.statistics import LinkTiming
from host.tsu.serial.tsu import CAPABILITIES, SerialTsu
from hw.spec.commands import Opcode, Status, WeightMode
from hw.spec.config import PRESETS, TsuConfig
from hw.spec.digest import spec_id
from hw.spec.errors import SpecError
from hw.spec.registers import REGISTERS, Alarm, constant_values
from sim.bench_file import load_module

_FAKE = load_module(Path(__file__).parents[2] / "reference" / "fake_board.py")
FakeBoard, FakeDevice, Line = _FAKE.FakeBoard, _FAKE.FakeDevice, _FAKE.Line

DEFAULT = PRESETS["sim"]
QUICK = LinkTiming(silence_s=0.05, tries=10, stall_s=1.0)
PSI = Psi(ids=[2, 3, 50], scores_q=[9, 5, 0], scale=0.1, zero_point=0, tau=1.0, tail=0.5, vocab_size=700)
OTHER = Psi(ids=[7, 8], scores_q=[0, 1], scale=0.2, zero_point=0, tau=1.0, tail=0.1, vocab_size=90)
LARGE = Psi(ids=np.arange(65), scores_q=np.zeros(65, int), scale=0, zero_point=0, tau=1, tail=0, vocab_size=65)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Short waits, for boards that are to be found dead."""
    monkeypatch.setattr(LinkTiming, "of_baud", classmethod(lambda cls, baud: QUICK))


@pytest.fixture
def board() -> Iterator[FakeBoard]:
    with FakeBoard(FakeDevice(DEFAULT)) as board:
        yield board


def open_serial(board: FakeBoard, **arguments: Any) -> SerialTsu:
    tsu = open_tsu(backend="serial", config=arguments.pop("config", None), port=board.port, **arguments)
    assert isinstance(tsu, SerialTsu)
    return tsu


def columns(draws: Draws) -> list[list[int]]:
    return [getattr(draws, name).tolist() for name in ("tokens", "weights", "spreads")]


def one_line(caught: pytest.ExceptionInfo[Exception]) -> str:
    text = str(caught.value)
    assert "\n" not in text
    return text


# --- the stream ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["table", "exp2"])
@pytest.mark.parametrize("share", [0.0, 0.03])
def test_stream_is_that_of_the_model(share: float, mode: str) -> None:
    """psi in turn, calls of every size; with `share`, frames are flipped, lost, doubled and cut off both ways."""
    device, down, up = FakeDevice(DEFAULT), Line(share, 1), Line(share, 2)
    with (
        FakeBoard(device, down=down, up=up) as board,
        open_serial(board, seed=6, mode=mode) as serial,
        ModelTsu(config=DEFAULT, seed=6, mode=mode) as model,
    ):
        assert (serial.capabilities, serial.config, serial.spec_id) == (CAPABILITIES, DEFAULT, spec_id(DEFAULT))
        for number, n in enumerate((0, 1, 24, 25, 700, 0, 2 * CHUNK_DRAWS + 5, 3)):
            psi = (PSI, OTHER, PSI)[number % 3]
            left, right = serial.sample(psi, n), model.sample(psi, n)
            assert (columns(left), left.total) == (columns(right), right.total)
        serial.reseed(1)
        model.reseed(1)
        assert columns(serial.sample(PSI, 50)) == columns(model.sample(PSI, 50))
        counts = serial.statistics
    assert (min(up.damaged, counts.frames_refused + counts.silences) > 3) is (share > 0)
    assert counts.bytes_received > 10 * 8000


def test_a_wrong_token_with_a_good_crc_is_seen() -> None:
    """The comparison above can fail: a device that changes one draw in ten thousand."""

    class Liar(FakeDevice):
        def runs(self, tag: int, rows: list, spread: int) -> Iterator[tuple[int, bytes]]:
            if len(rows) > 500:
                rows[500] = (rows[500][0] ^ 1, *rows[500][1:])
            return super().runs(tag, rows, spread)

    with FakeBoard(Liar(DEFAULT)) as board, open_serial(board) as serial, ModelTsu(config=DEFAULT) as model:
        left, right = serial.sample(PSI, 1000), model.sample(PSI, 1000)
    assert np.flatnonzero(left.tokens != right.tokens).tolist() == [500]


def test_equal_psi_is_not_loaded_again(board: FakeBoard) -> None:
    with open_serial(board) as tsu:
        for psi in (PSI, PSI, OTHER, OTHER, PSI):
            tsu.sample(psi, 5)
        tsu.sample(PSI, 0)
    opcodes = [Opcode(opcode).name for opcode, _, _ in board.device.log]
    assert opcodes == ["SEED", "TABLE", "LOAD", "DRAW", "TABLE", "LOAD", "DRAW", "TABLE", "LOAD"]


# --- requests ------------------------------------------------------------------------------------------------------


@pytest.fixture
def driver(board: FakeBoard) -> Iterator[LinkDriver]:
    with LinkDriver(port=SerialPort(port=board.port, baud=3_000_000), timing=QUICK) as driver:
        driver.set_config(DEFAULT)
        yield driver


def test_many_requests_are_in_flight_and_each_gets_its_own(driver: LinkDriver, board: FakeBoard) -> None:
    local = LocalBoard(driver=driver, name="test", config=DEFAULT)
    local.seed(3)
    local.sample(PSI, 0, WeightMode.TABLE)
    counts = [1, 0, 30, 2, 100, 7] * 30
    futures = [driver.submit(draw_command(count=count), count=count) for count in counts]
    registers = [driver.read_register(REGISTERS[name].address) for name in ("K_MAX", "LANES")]
    rows = [row for future in futures for row in future.result().rows]
    assert [future.result().status for future in futures] == [Status.OK] * len(counts)
    assert [len(future.result().rows) for future in futures] == counts
    assert [register.result() for register in registers] == [DEFAULT.k_max, DEFAULT.lanes]
    with ModelTsu(config=DEFAULT, seed=3) as model:
        assert [row[0] for row in rows] == model.sample(PSI, sum(counts)).tokens.tolist()
    tags = [tag for _, tag, _ in board.device.log]
    assert len(set(tags)) == len(tags)


def test_tags_wrap_and_skip_those_in_flight(driver: LinkDriver, board: FakeBoard) -> None:
    driver._tag = 0xFFFE
    futures = [driver.submit(draw_command(count=0)) for _ in range(3)]
    assert {future.result().status for future in futures} == {Status.NO_PSI}
    assert [tag for _, tag, _ in board.device.log] == [0xFFFF, 0, 1]


def test_too_many_requests_are_refused(driver: LinkDriver, board: FakeBoard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driver_module, "REQUESTS_MAX", 3)
    board.silent = True
    futures = [driver.submit(draw_command(count=0)) for _ in range(3)]
    with pytest.raises(TsuError, match="3 requests are in flight already"):
        driver.submit(draw_command(count=0))
    for future in futures:
        with pytest.raises(TsuError, match="stopped answering"):
            future.result(10)


def test_threads_share_one_board(board: FakeBoard) -> None:
    """Every thread gets what it asked for; together the draws are one stream, in the order of the commands."""
    psis = [PSI, OTHER, Psi(ids=[1], scores_q=[0], scale=0.1, zero_point=0, tau=1, tail=3, vocab_size=40)]
    with open_serial(board, seed=8) as serial:

        def client(number: int) -> list[Draws]:
            return [serial.sample(psis[number], n) for n in (50, 9000, 1, 300)]

        with ThreadPoolExecutor(3) as pool:
            found = list(pool.map(client, range(3)))
    pieces = [[draws for draws in client_draws] for client_draws in found]
    streams = [[np.concatenate([getattr(d, f) for d in part]) for f in ("tokens", "weights")] for part in pieces]
    taken, loaded = [0, 0, 0], -1
    totals = {part[0].total: number for number, part in enumerate(pieces)}
    assert len(totals) == 3
    with ModelTsu(config=DEFAULT, seed=8) as model:
        for opcode, total, count in board.device.executed:
            loaded = totals[total] if opcode == Opcode.LOAD else loaded
            if opcode in (Opcode.LOAD, Opcode.DRAW):
                draws = model.sample(psis[loaded], count)
                part = slice(taken[loaded], taken[loaded] + count)
                assert streams[loaded][0][part].tolist() == draws.tokens.tolist()
                assert streams[loaded][1][part].tolist() == draws.weights.tolist()
                taken[loaded] += count
    assert taken == [9351] * 3


@pytest.mark.parametrize("ahead", [CHUNKS_AHEAD, 40])
def test_a_large_call_lets_others_in(ahead: int, board: FakeBoard, monkeypatch: pytest.MonkeyPatch) -> None:
    """While one thread draws 40 chunks, another one's single draws come between them: not behind them.

    With all chunks sent ahead (the seeded bug) the second thread waits for all of them at least once.
    """
    monkeypatch.setattr("host.tsu.serial.board.CHUNKS_AHEAD", ahead)
    with open_serial(board) as tsu:
        started = threading.Event()

        def greedy() -> None:
            started.set()
            tsu.sample(PSI, 40 * CHUNK_DRAWS)

        thread = threading.Thread(target=greedy)
        thread.start()
        started.wait(10)
        for _ in range(5):
            tsu.sample(OTHER, 1)
        thread.join(60)
    counts = [count for opcode, _, count in board.device.log if opcode in (Opcode.LOAD, Opcode.DRAW)]
    places = [place for place, count in enumerate(counts) if count == 1]
    assert len(places) == 5
    waits = [place - before for before, place in zip([0, *places], places, strict=False)]
    assert (max(waits) <= 12) is (ahead == CHUNKS_AHEAD), f"places of the single draws: {places}"


# --- a board that is wrong -----------------------------------------------------------------------------------------


class WrongTag(FakeDevice):
    def status(self, tag: int, opcode: int, status: int, total: int) -> None:
        super().status(tag ^ (opcode == Opcode.DRAW), opcode, status, total)


class WrongDrawTag(FakeDevice):
    def runs(self, tag: int, rows: list, spread: int) -> Iterator[tuple[int, bytes]]:
        return super().runs(tag ^ 0x100, rows, spread)


class LostDraw(FakeDevice):
    def runs(self, tag: int, rows: list, spread: int) -> Iterator[tuple[int, bytes]]:
        return super().runs(tag, rows[1:], spread)


class OneMoreDraw(FakeDevice):
    def runs(self, tag: int, rows: list, spread: int) -> Iterator[tuple[int, bytes]]:
        return super().runs(tag, rows + rows[:1], spread)


class WrongOpcode(FakeDevice):
    def status(self, tag: int, opcode: int, status: int, total: int) -> None:
        super().status(tag, 3 if opcode == Opcode.DRAW else opcode, status, total)


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (WrongTag, r"the board sent a status with tag \d+ out of turn"),
        (WrongDrawTag, r"the board sent draws with tag \d+ out of turn"),
        (LostDraw, r"the board ended command \d+ wrongly: 29 draws of 30, last = True"),
        (OneMoreDraw, r"the board ended command \d+ wrongly: 31 draws of 30, last = True"),
        (WrongOpcode, r"the board sent status 0 of opcode 3 to a command of opcode 2"),
    ],
)
def test_a_board_that_breaks_the_rules_is_left(kind: type[FakeDevice], text: str) -> None:
    with FakeBoard(kind(DEFAULT)) as board, open_serial(board) as tsu:
        tsu.sample(PSI, 0)
        with pytest.raises(TsuError, match=text) as caught:
            tsu.sample(PSI, 30)
        one_line(caught)
        with pytest.raises(TsuError, match=text):
            tsu.sample(OTHER, 1)


def test_a_refused_psi_is_one_line_and_leaves_the_stream_whole(board: FakeBoard) -> None:
    """A total below the least: tail and head lose their weight to a shift that hw.spec would never choose."""
    bad = Psi(ids=[1], scores_q=[0], scale=0.1, zero_point=0, tau=1.0, tail=0.0, vocab_size=9)
    with open_serial(board, seed=4) as serial, ModelTsu(config=DEFAULT, seed=4) as model:
        board.device.refuse_next_load = Status.BAD_TOTAL
        with pytest.raises(TsuError, match=r"^the TSU refused LOAD: BAD_TOTAL, .* \(k = 1, tail = 0\.0") as caught:
            serial.sample(bad, 3 * CHUNK_DRAWS)
        one_line(caught)
        for psi in (LARGE, PSI):
            with pytest.raises(SpecError, match=r"^(k = 65|n = -1) "):
                serial.sample(psi, 4 if psi is LARGE else -1)
        for psi in (bad, PSI):
            assert columns(serial.sample(psi, 33)) == columns(model.sample(psi, 33))


def test_health_alarm_is_an_error(board: FakeBoard) -> None:
    with open_serial(board) as tsu:
        tsu.sample(PSI, 10)
        board.device.alarm = True
        board.device.registers |= {REGISTERS["HEALTH"].address: 0b010, REGISTERS["NOISE_PROPORTION"].address: 1}
        with pytest.raises(NoiseAlarm, match=r"^noise alarm: lane 0: a window had too few") as caught:
            tsu.sample(PSI, 10)
        one_line(caught)
        assert caught.value.alarms == (Alarm.PROPORTION,)
        board.device.registers[REGISTERS["HEALTH"].address] = 0
        with pytest.raises(TsuError, match=r"^noise alarm: it was raised, and a SEED that followed"):
            tsu.sample(PSI, 10)


def test_failed_known_answer_is_an_error_at_open() -> None:
    values = {"HEALTH": 0b100, "NOISE_KNOWN_ANSWER": 1}
    with FakeBoard(FakeDevice(DEFAULT, registers=values)) as board:
        for _ in range(2):  # the port is released
            with pytest.raises(NoiseAlarm, match=r"^noise alarm: lane 0: the words after reset"):
                open_serial(board)


# --- which board ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "config",
    [
        PRESETS["tiny"],
        PRESETS["up5k"],
        TsuConfig(lanes=2, noise="lfsr-leap", weight_source="exp2", level_stages=2),
        TsuConfig(groups=3, lanes=2, level_stages=3),
    ],
    ids=["tiny", "up5k", "no preset", "groups"],
)
def test_configuration_is_found_out(config: TsuConfig) -> None:
    with FakeBoard(FakeDevice(config)) as board, open_serial(board) as tsu:
        assert tsu.config == config


def test_unknown_board_is_one_line() -> None:
    with FakeBoard(FakeDevice(DEFAULT, registers={"SPEC_ID_HIGH": 0x12345678})) as board:
        with pytest.raises(TsuError) as caught:
            open_serial(board)
        text = one_line(caught)
        assert text.startswith("spec_id = 0x12345678")
        assert f"of the board at {board.port} is not legal" in text
        assert all(f"{name} {spec_id(config):#018x}" in text for name, config in PRESETS.items())
        assert "K_MAX = 64" in text
        with pytest.raises(TsuError, match="spec_id"):  # and the port was released
            open_serial(board)


def test_other_board_than_asked_for(board: FakeBoard) -> None:
    other = PRESETS["tiny"]
    with pytest.raises(TsuError) as caught:
        open_serial(board, config=other)
    assert one_line(caught).endswith(f"is not legal: expected {spec_id(other):#018x}, the host's")


def test_registers_of_no_configuration(board: FakeBoard) -> None:
    board.device.registers = {address: 0 for address in board.device.registers}
    with pytest.raises(TsuError, match=r"^spec_id = 0x0000000000000000 .* K_MAX = 0"):
        open_serial(board)
    assert constant_values(DEFAULT)["K_MAX"] == 64


# --- a port that is wrong ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("port", "text"),
    [
        ("/dev/no-such-port", "port /dev/no-such-port cannot be opened: No such file or directory"),
        (os.devnull, "port /dev/null cannot be opened: Inappropriate ioctl for device"),
        ("foo://x", "port foo://x cannot be opened: invalid URL, protocol 'foo' not known"),
        ("unix:/nowhere/sock", "no shared board at /nowhere/sock: No such file or directory"),
    ],
)
def test_port_that_cannot_be_opened(port: str, text: str) -> None:
    with pytest.raises(TsuError) as caught:
        open_tsu(backend="serial", config=None, port=port)
    assert one_line(caught) == text


def test_port_in_use(board: FakeBoard) -> None:
    with open_serial(board):
        with pytest.raises(TsuError) as caught:
            open_serial(board)
        assert one_line(caught) == f"port {board.port} cannot be opened: another program uses it"
    open_serial(board).close()


@pytest.mark.usefixtures("quick")
def test_dead_port(board: FakeBoard) -> None:
    board.silent = True
    with pytest.raises(TsuError) as caught:
        open_serial(board)
    assert one_line(caught).startswith(f"port {board.port}: the board does not answer: is it a TSU of this baud rate?")


@pytest.mark.usefixtures("quick")
def test_a_line_that_only_echoes() -> None:
    """A URL of pyserial: everything that is sent comes back."""
    with pytest.raises(TsuError, match=r"^port loop://: the board does not answer"):
        open_tsu(backend="serial", config=None, port="loop://")


@pytest.mark.usefixtures("quick")
def test_board_that_falls_silent(board: FakeBoard) -> None:
    with open_serial(board) as tsu:
        tsu.sample(PSI, 5)
        board.silent = True
        with pytest.raises(TsuError, match="the board stopped answering"):
            tsu.sample(PSI, 5)


@pytest.mark.usefixtures("quick")
def test_board_that_is_reset_by_somebody_else(board: FakeBoard) -> None:
    with open_serial(board) as tsu:
        tsu.sample(PSI, 5000)
        board.power_cut = True
        with pytest.raises(TsuError, match=r"it was reset|was reset by somebody else") as caught:
            tsu.sample(PSI, 5000)
        one_line(caught)


def test_port_that_vanishes() -> None:
    with FakeBoard(FakeDevice(DEFAULT)) as board:
        tsu = open_serial(board)
        board.unplug()
        with pytest.raises(TsuError, match=f"^port {board.port} failed to (read|write): ") as caught:
            tsu.sample(PSI, 100)
        one_line(caught)
        tsu.close()
        tsu.close()


def test_closed_tsu_says_so(board: FakeBoard) -> None:
    tsu = open_serial(board)
    tsu.close()
    with pytest.raises(TsuError, match="the serial TSU is closed"):
        tsu.sample(PSI, 1)
    with pytest.raises(TsuError, match="the serial TSU is closed"):
        tsu.reseed(1)


def test_interrupted_call_closes_the_device(board: FakeBoard, monkeypatch: pytest.MonkeyPatch) -> None:
    with open_serial(board) as tsu:
        with monkeypatch.context() as patch:
            patch.setattr(LocalBoard, "_collect", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
            with pytest.raises(KeyboardInterrupt):
                tsu.sample(PSI, 5)
        with pytest.raises(TsuError, match="closed: an interrupted call left draws behind"):
            tsu.sample(PSI, 5)


def test_a_thread_that_dies_fails_its_requests(driver: LinkDriver, monkeypatch: pytest.MonkeyPatch) -> None:
    """Something unforeseen in the thread: nobody waits for ever."""
    caught = []
    monkeypatch.setattr(threading, "excepthook", lambda arguments: caught.append(arguments.exc_type))
    monkeypatch.setattr(driver, "_take", lambda frame: 1 // 0)
    future = driver.submit(seed_command(DEFAULT, 1))
    with pytest.raises(TsuError, match=r"the driver of .* stopped"):
        future.result(10)
    assert caught == [ZeroDivisionError]


# --- arguments -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "start"),
    [
        ({"backend": "model", "config": DEFAULT, "port": "/dev/x"}, "port = '/dev/x' is not legal: expected none"),
        ({"backend": "model", "config": DEFAULT, "baud": 9600}, "baud = 9600 is not legal: expected none"),
        ({"backend": "model", "config": None}, "config = None is not legal: expected a TsuConfig"),
        ({"backend": "serial", "config": None}, "port = None is not legal: expected the path of a serial port"),
        ({"backend": "serial", "config": None, "port": ""}, "port = '' is not legal"),
        ({"backend": "serial", "config": None, "port": "unix:"}, "port = 'unix:' is not legal"),
        ({"backend": "serial", "config": None, "port": "x", "baud": 9599}, "baud = 9599 is not legal"),
        ({"backend": "serial", "config": None, "port": "x", "baud": 12_000_001}, "baud = 12000001 is not legal"),
        ({"backend": "serial", "config": None, "port": "x", "seed": -1}, "seed = -1 is not legal"),
    ],
)
def test_illegal_arguments_name_the_field(arguments: dict[str, Any], start: str) -> None:
    with pytest.raises(SpecError) as caught:
        open_tsu(**arguments)
    assert one_line(caught).startswith(start)


def test_illegal_mode_releases_the_port() -> None:
    with FakeBoard(FakeDevice(PRESETS["up5k"])) as board:
        for _ in range(2):
            with pytest.raises(SpecError, match=r"^mode = 'exp2' .* expected one of table"):
                open_serial(board, mode="exp2")


def test_missing_pyserial_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith(("serial", "host.tsu.serial."))]:
        if name != "host.tsu.serial.address":
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "serial", None)
    with pytest.raises(TsuError) as caught:
        open_tsu(backend="serial", config=None, port="/dev/ttyUSB0")
    assert one_line(caught) == (
        "backend serial needs the package serial: pip install 'thermo-speculative-decoding[serial]'"
    )
