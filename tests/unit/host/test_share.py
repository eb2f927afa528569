# SPDX-License-Identifier: Apache-2.0
"""One driver process, several clients: taking turns, seeds, clients that die or lie, and the command lines."""

import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from host.psi.schema import Psi
from host.share import main
from host.tsu.base import NoiseAlarm, TsuError
from host.tsu.model import ModelTsu
from host.tsu.registry import open_tsu
from host.tsu.serial import broker as broker_module
from host.tsu.serial import messages
from host.tsu.serial.broker import Broker
from host.tsu.serial.local import open_local
from host.tsu.serial.messages import Kind, pack_json
from host.tsu.serial.statistics import LinkTiming
from host.tsu.serial.tsu import SerialTsu
from hw.spec.commands import Opcode
from hw.spec.config import PRESETS
from hw.spec.errors import SpecError
from hw.spec.registers import REGISTERS, Alarm
from sim.bench_file import load_module

_FAKE = load_module(Path(__file__).parents[2] / "reference" / "fake_board.py")
FakeBoard, FakeDevice = _FAKE.FakeBoard, _FAKE.FakeDevice

DEFAULT = PRESETS["sim"]
PSI = Psi(ids=[2, 3, 50], scores_q=[9, 5, 0], scale=0.1, zero_point=0, tau=1.0, tail=0.5, vocab_size=700)
OTHER = Psi(ids=[7, 8], scores_q=[0, 1], scale=0.2, zero_point=0, tau=1.0, tail=0.1, vocab_size=90)
LARGE = Psi(ids=np.arange(65), scores_q=np.zeros(65, int), scale=0, zero_point=0, tau=1, tail=0, vocab_size=65)


class Shared:
    """A board in Python, a broker in a thread, and clients of it."""

    def __init__(self, folder: Path) -> None:
        self.fake = FakeBoard(FakeDevice(DEFAULT))
        self.path = folder / "tsu.sock"
        self.board = open_local(port=self.fake.port, baud=3_000_000, config=None)
        self.broker = Broker(board=self.board, path=self.path)
        self._stop = threading.Event()
        self.error: TsuError | None = None
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        try:
            self.broker.serve(stop=self._stop.is_set)
        except TsuError as error:
            self.error = error

    def client(self, seed: int = 0) -> SerialTsu:
        tsu = open_tsu(backend="serial", config=None, seed=seed, port=f"unix:{self.path}")
        assert isinstance(tsu, SerialTsu)
        return tsu

    @contextmanager
    def raw(self) -> Iterator[socket.socket]:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(10)
            connection.connect(str(self.path))
            yield connection

    def wait_clients(self, count: int) -> None:
        end = time.monotonic() + 10
        while self.broker.client_count != count:
            assert time.monotonic() < end, f"{self.broker.client_count} clients, expected {count}"
            time.sleep(0.01)

    def end(self) -> None:
        self._stop.set()
        self._thread.join(10)

    def close(self) -> None:
        self.end()
        self.broker.close()
        self.board.close()
        self.fake.__exit__()


@pytest.fixture
def shared(tmp_path: Path) -> Iterator[Shared]:
    shared = Shared(tmp_path)
    yield shared
    shared.close()


def test_alone_a_client_has_the_stream_of_the_model(shared: Shared) -> None:
    for seed in (5, 6):
        with shared.client(seed) as tsu, ModelTsu(config=DEFAULT, seed=seed) as model:
            assert (tsu.config, tsu.spec_id, tsu.capabilities.bit_true) == (DEFAULT, model.spec_id, False)
            for psi, n in ((PSI, 0), (PSI, 70_000), (OTHER, 3), (PSI, 100)):
                left, right = tsu.sample(psi, n), model.sample(psi, n)
                assert left.total == right.total
                for name in ("tokens", "weights", "spreads"):
                    assert (getattr(left, name) == getattr(right, name)).all()
            tsu.reseed(9)
            model.reseed(9)
            assert tsu.sample(PSI, 50).tokens.tolist() == model.sample(PSI, 50).tokens.tolist()
            assert tsu.statistics.frames_received > 100
        shared.wait_clients(0)


def test_two_clients_share_one_stream(shared: Shared) -> None:
    """Their draws together are the model's, in the order in which the board got the commands."""
    with shared.client(seed=3) as one, shared.client(seed=4) as two:
        found: dict[int, list] = {}

        def draw(number: int, tsu: SerialTsu, psi: Psi) -> None:
            found[number] = [tsu.sample(psi, n) for n in (20_000, 1, 300)]

        threads = [threading.Thread(target=draw, args=(i, t, p)) for i, (t, p) in enumerate(((one, PSI), (two, OTHER)))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
    streams = [np.concatenate([draws.tokens for draws in found[number]]) for number in (0, 1)]
    totals = {found[0][0].total: 0, found[1][0].total: 1}
    taken, loaded, switches = [0, 0], -1, 0
    with ModelTsu(config=DEFAULT, seed=3) as model:  # the first client's seed: the second one was not alone
        for opcode, total, count in shared.fake.device.executed:
            if opcode == Opcode.LOAD:
                loaded, switches = totals[total], switches + 1
            if count:
                expected = model.sample((PSI, OTHER)[loaded], count).tokens
                assert (streams[loaded][taken[loaded] : taken[loaded] + count] == expected).all()
                taken[loaded] += count
    assert taken == [20_301, 20_301]
    assert switches >= 4, "the clients did not take turns"


def test_seed_is_refused_while_others_share_the_board(shared: Shared) -> None:
    with shared.client(seed=3) as one:
        before = one.sample(PSI, 10)
        with shared.client(seed=99) as two:  # joins the stream as it is
            after = one.sample(PSI, 10)
            for tsu in (one, two):
                with pytest.raises(TsuError) as caught:
                    tsu.reseed(1)
                assert str(caught.value).startswith("seed is refused: 1 other clients share the board")
        shared.wait_clients(1)
        one.reseed(3)
        again = one.sample(PSI, 20)
    assert again.tokens.tolist() == [*before.tokens.tolist(), *after.tokens.tolist()]
    assert [opcode for opcode, _, _ in shared.fake.device.log].count(Opcode.SEED) == 2


def test_refusals_reach_the_client_and_nobody_else(shared: Shared) -> None:
    with shared.client() as one, shared.client() as two:
        with pytest.raises(SpecError, match=r"^k = 65 "):
            one.sample(LARGE, 3)
        with pytest.raises(SpecError, match=r"^n = -1 "):
            one.sample(PSI, -1)
        with pytest.raises(SpecError, match=r"^seed = -1 "):
            one.reseed(-1)
        assert len(two.sample(PSI, 5)) == len(one.sample(PSI, 5)) == 5


def test_a_health_alarm_reaches_every_client(shared: Shared) -> None:
    with shared.client() as one, shared.client() as two:
        shared.fake.device.alarm = True
        shared.fake.device.registers |= {REGISTERS["HEALTH"].address: 1, REGISTERS["NOISE_REPETITION"].address: 1}
        for tsu in (one, two):
            with pytest.raises(NoiseAlarm, match=r"^noise alarm: lane 0: one bit") as caught:
                tsu.sample(PSI, 5)
            assert caught.value.alarms == (Alarm.REPETITION,)


def hello(**values: object) -> tuple[Kind, bytes]:
    return Kind.HELLO, pack_json(version=messages.MESSAGE_VERSION, seed=0, **values)


@pytest.mark.parametrize(
    "lie",
    [
        b"",
        b"\1",
        struct.pack("<I", 0),
        struct.pack("<I", 1 << 30),
        struct.pack("<IB", 1, 99),
        struct.pack("<IB", 3, Kind.SAMPLE) + b"ab",
        struct.pack("<IB", 6, Kind.SAMPLE) + struct.pack("<BI", 7, 5),
        struct.pack("<IB", 1, Kind.WELCOME),
        struct.pack("<IB", 4, Kind.SEED) + b"[1]",
    ],
    ids=[
        "gone",
        "half a length",
        "length 0",
        "too long",
        "kind 99",
        "short SAMPLE",
        "mode 7",
        "no question",
        "no seed",
    ],
)
def test_a_client_that_lies_or_dies_harms_nobody(shared: Shared, lie: bytes) -> None:
    with shared.client() as other:
        with shared.raw() as connection:
            messages.send(connection, *hello())
            assert messages.receive(connection)[0] is Kind.WELCOME
            shared.wait_clients(2)
            connection.sendall(lie)
        shared.wait_clients(1)
        assert len(other.sample(PSI, 100)) == 100
    assert shared.error is None


def test_a_client_that_dies_in_mid_request_harms_nobody(shared: Shared) -> None:
    with shared.client() as other:
        with shared.raw() as connection:
            messages.send(connection, *hello())
            messages.receive(connection)
            messages.send(connection, Kind.SAMPLE, messages.pack_sample(PSI, messages.SAMPLE_MAX, 0))
        assert len(other.sample(OTHER, 100)) == 100
        shared.wait_clients(1)


def test_a_bad_psi_is_answered_and_the_client_stays(shared: Shared) -> None:
    with shared.raw() as connection:
        messages.send(connection, *hello())
        messages.receive(connection)
        messages.send(connection, Kind.SAMPLE, struct.pack("<BI", 0, 1) + b"no psi at all" * 9)
        kind, body = messages.receive(connection)
        assert kind is Kind.ERROR
        assert messages.unpack_json(body)["text"].startswith("magic = ")
        messages.send(connection, Kind.STATISTICS, b"")
        assert messages.receive(connection)[0] is Kind.DONE


def test_another_version_is_refused(shared: Shared) -> None:
    with shared.raw() as connection:
        messages.send(connection, Kind.HELLO, pack_json(version=0))
        assert messages.receive(connection) == (Kind.ERROR, pack_json(text="message version is not legal: expected 1"))
        assert messages.receive(connection) is None


def test_too_many_clients_are_refused(shared: Shared, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broker_module, "CLIENTS_MAX", 1)
    with shared.client(), pytest.raises(TsuError, match="1 clients share the board already"):
        shared.client()


def test_a_dead_board_is_told_to_every_client(shared: Shared, monkeypatch: pytest.MonkeyPatch) -> None:
    with shared.client() as one, shared.client() as two:
        shared.fake.unplug()
        for tsu in (one, two):
            with pytest.raises(TsuError, match=f"port {shared.fake.port} failed to|the driver process"):
                tsu.sample(PSI, 5)
    shared._thread.join(10)
    assert shared.error is not None


def test_a_driver_process_that_ends_is_one_line(shared: Shared) -> None:
    with shared.client() as tsu:
        shared.end()
        shared.broker.close()
        with pytest.raises(TsuError, match=f"^the driver process at {shared.path}") as caught:
            tsu.sample(PSI, 5)
        assert "\n" not in str(caught.value)


# --- the command ---------------------------------------------------------------------------------------------------


@pytest.fixture
def process(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], FakeBoard, Path]]:
    path = tmp_path / "tsu.sock"
    with FakeBoard(FakeDevice(DEFAULT)) as fake:
        command = [sys.executable, "-m", "host.share", "--port", fake.port, "--socket", str(path)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            try:
                assert process.stdout.readline() == f"socket: {path}\n"
                yield process, fake, path
            finally:
                process.kill()


def m0(*arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "host.run_m0", "--backend", "serial", "--telemetry", "off", *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_two_processes_share_a_board(process: tuple[subprocess.Popen[str], FakeBoard, Path]) -> None:
    server, _, path = process
    runs = [m0("--port", f"unix:{path}", "--steps", "20000", "--seed", seed) for seed in ("1", "2")]
    for run in runs:
        out, err = run.communicate(timeout=100)
        assert (run.returncode, err) == (0, "")
        assert "sound=yes" in out
    with pytest.raises(SpecError, match=r"^socket = .* expected a socket that no other process serves"):
        Broker(board=None, path=path)
    server.send_signal(signal.SIGINT)
    assert server.wait(20) == 0
    assert not path.exists()


def test_a_board_that_dies_ends_the_process(process: tuple[subprocess.Popen[str], FakeBoard, Path]) -> None:
    server, fake, path = process
    fake.unplug()
    _, err = server.communicate(timeout=20)
    assert server.returncode == 1
    assert err.startswith(f"error: port {fake.port} failed to read: ")
    assert err.count("\n") == 1
    assert not path.exists()


@pytest.mark.parametrize(
    ("arguments", "start"),
    [
        (["--port", "/dev/no-such", "--socket", "s"], "error: port /dev/no-such cannot be opened: No such file"),
        (["--port", "unix:x", "--socket", "s"], "error: port = 'unix:x' is not legal: expected a serial port"),
        (["--port", "x", "--socket", "s", "--baud", "fast"], "error: baud = 'fast' is not legal: expected an integer"),
        (["--port", "x", "--socket", "s", "--baud", "1"], "error: baud = 1 is not legal"),
        (["--port", "x"], "error: Missing option '--socket'"),
    ],
)
def test_illegal_options_are_one_line(arguments: list[str], start: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith(start)
    assert error.count("\n") == 1


def test_a_file_is_not_replaced_by_a_socket(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("mine")
    with FakeBoard(FakeDevice(DEFAULT)) as fake:
        assert main(["--port", fake.port, "--socket", str(path)]) == 2
    assert capsys.readouterr().err.startswith(
        f"error: socket = '{path}' is not legal: expected a path where nothing is"
    )
    assert path.read_text() == "mine"


def test_a_socket_that_nobody_serves_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "tsu.sock"
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
    assert path.is_socket()
    shared = Shared(tmp_path)
    with shared.client() as tsu:
        assert len(tsu.sample(PSI, 5)) == 5
    assert os.stat(path).st_mode & 0o777 == 0o600
    shared.close()
    assert not path.exists()


def test_waits_of_a_client_outlast_those_of_the_driver() -> None:
    from host.tsu.serial.remote import ANSWER_S

    timing = LinkTiming.of_baud(9600)
    assert max(timing.stall_s, timing.tries * timing.silence_s) < ANSWER_S
