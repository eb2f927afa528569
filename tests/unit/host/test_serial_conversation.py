# SPDX-License-Identifier: Apache-2.0
"""The host's rules of the link against a device in Python, on a clock that is not the wall's."""

import random
from collections import deque
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from host.psi.schema import Psi
from host.tsu.base import TsuError
from host.tsu.lowering import draw_command, load_command, lower, seed_command
from host.tsu.model import ModelTsu
from host.tsu.serial.conversation import Conversation
from host.tsu.serial.statistics import LinkTiming
from hw.spec.commands import WeightMode
from hw.spec.config import PRESETS
from hw.spec.errors import SpecError
from hw.spec.frames import Frame, FrameType, unpack_draws, unpack_status
from hw.spec.registers import REGISTERS, constant_values
from sim.bench_file import load_module

_FAKE = load_module(Path(__file__).parents[2] / "reference" / "fake_board.py")
FakeDevice, Line = _FAKE.FakeDevice, _FAKE.Line

TINY = PRESETS["tiny"]
TIMING = LinkTiming(silence_s=0.05, tries=30, stall_s=2.0)
STEP_S = 0.002
PSI = Psi(ids=[2, 5, 9], scores_q=[4, 3, 0], scale=0.4, zero_point=0, tau=1.0, tail=0.5, vocab_size=13)
LOAD = load_command(lower(PSI, TINY, WeightMode.EXP2), count=7, tag=1)


class Pipe:
    """Bytes under way: each step some of them arrive, so that frames of both directions cross."""

    def __init__(self, seed: int, line: Callable[[bytes], bytes] = lambda data: data) -> None:
        self._rng, self._line, self._bytes = random.Random(seed), line, bytearray()

    def __call__(self, data: bytes) -> bytes:
        self._bytes += self._line(data)
        count = self._rng.choice((0, 30, 300, 3000))
        out = bytes(self._bytes[:count])
        del self._bytes[:count]
        return out


class Exchange:
    """A conversation with a device; what the device answers is collected."""

    def __init__(self, conversation: Conversation, device: FakeDevice, *, share: float = 0.0, seed: int = 0) -> None:
        self.conversation, self.device = conversation, device
        self.lines = Line(share, seed), Line(share, seed + 1)
        self._down, self._up = Pipe(seed + 2, self.lines[0]), Pipe(seed + 3, self.lines[1])
        self.now = 0.0
        self.frames: list[Frame] = []

    def run(self, done: Callable[[], bool], seconds: float = 1e9) -> None:
        """Until `done()`, or for so long."""
        end = self.now + seconds
        while not done() and self.now < end:
            out = self._up(self.device.receive(self._down(self.conversation.send(self.now))))
            self.frames += self.conversation.receive(out, self.now)
            self.now += STEP_S

    def open(self) -> None:
        self.run(lambda: self.conversation.is_open, 60)
        assert self.conversation.is_open


@pytest.fixture
def device() -> FakeDevice:
    device = FakeDevice(TINY)
    yield device
    device.close()


def check_stream(
    make: Callable[[LinkTiming], Conversation], *, commands: int, share: float, pages: int = 2
) -> Exchange:
    """Random commands, several in flight: every status and every draw comes once, in order, and is the model's."""
    rng = random.Random(commands)
    device = FakeDevice(TINY, receive_pages=pages, send_pages=2 * pages)
    exchange = Exchange(make(TIMING), device, share=share, seed=9)
    exchange.open()
    expected: deque[tuple[int, int]] = deque()  # tag and count of what is in flight
    rows: dict[int, list] = {}
    done = 0
    exchange.conversation.put(seed_command(TINY, 77, tag=1).tolist())
    exchange.conversation.put(LOAD.tolist())
    exchange.conversation.owes = True
    expected += [(1, 0), (1, 7)]
    with ModelTsu(config=TINY, seed=77, mode="exp2") as model:
        while done < commands:
            while len(expected) < 6:
                tag, count = rng.randrange(1 << 16), rng.choice((0, 1, 3, 130, 600))
                exchange.conversation.put(draw_command(count=count, tag=tag).tolist())
                expected.append((tag, count))
            before = len(exchange.frames)
            exchange.run(lambda before=before: len(exchange.frames) > before, 10)
            assert len(exchange.frames) > before, "nothing came for 10 s"
            for frame in exchange.frames[before:]:
                if frame.type is FrameType.STATUS:
                    assert unpack_status(frame)[2] == 0
                    tag, count = expected[len(rows)]
                    assert unpack_status(frame)[0] == tag
                    rows[len(rows)] = []
                else:
                    run = unpack_draws(frame, TINY)
                    first = next(index for index in rows if len(rows[index]) < expected[index][1])
                    assert run.tag == expected[first][0]
                    rows[first] += run.rows
            del exchange.frames[:]
            while rows and len(rows[0]) == expected[0][1]:
                draws = model.sample(PSI, expected.popleft()[1])
                wanted = zip(draws.tokens.tolist(), draws.weights.tolist(), draws.spreads.tolist(), strict=True)
                assert rows[0] == list(wanted)
                rows = {index - 1: found for index, found in rows.items() if index}
                done += 1
    device.close()
    return exchange


@pytest.mark.parametrize("pages", [2, 8])
@pytest.mark.parametrize("share", [0.0, 0.05, 0.3])
def test_every_draw_comes_once_and_in_order(share: float, pages: int) -> None:
    exchange = check_stream(Conversation, commands=300, share=share, pages=pages)
    counts = exchange.conversation.statistics
    assert counts.frames_received > 600
    if share:
        assert min(line.damaged for line in exchange.lines) > 10
        assert min(counts.frames_refused, counts.frames_dropped, counts.errors_reported, counts.silences) > 0
        assert counts.frames_resent > 0
    else:
        assert (counts.frames_refused, counts.frames_dropped, counts.frames_resent, counts.silences) == (0, 0, 0, 0)
    assert exchange.device.resets < 20


@pytest.mark.slow
def test_a_long_bad_line() -> None:
    """10^6 frames and more pass the line, one in twelve of them damaged: no wrong draw, and an end."""
    exchange = check_stream(Conversation, commands=160_000, share=1 / 12)
    assert sum(line.passed for line in exchange.lines) > 1_000_000
    assert min(line.damaged for line in exchange.lines) > 30_000


class WithoutNumbers(Conversation):
    """Seeded bug: takes every good frame, whatever its number."""

    def _in_turn(self, frame: Frame, now: float) -> bool:
        self._due = frame.sequence
        return super()._in_turn(frame, now)


class WithoutRepeats(Conversation):
    """Seeded bug: never asks for what is missing."""

    def _acknowledgement(self, now: float) -> list[Frame]:
        self._resend = False
        return super()._acknowledgement(now)


@pytest.mark.parametrize("wrong", [WithoutNumbers, WithoutRepeats])
def test_seeded_bugs_are_seen(wrong: type[Conversation]) -> None:
    check_stream(wrong, commands=20, share=0.0)  # on a good line there is nothing to see
    with pytest.raises((AssertionError, TsuError)):
        check_stream(wrong, commands=300, share=0.3)


# --- the handshake -------------------------------------------------------------------------------------------------


def test_what_the_device_was_doing_before_is_forgotten(device: FakeDevice) -> None:
    """Draws of somebody else are under way when a host comes."""
    first = Exchange(Conversation(TIMING), device)
    first.open()
    first.conversation.put(LOAD.tolist())
    first.conversation.put(draw_command(count=5000).tolist())
    first.conversation.owes = True
    first.run(lambda: len(first.frames) > 5)
    second = Exchange(Conversation(TIMING), device)
    second.open()
    second.conversation.put(draw_command(count=1, tag=3).tolist())
    second.run(lambda: bool(second.frames), 5)
    assert [unpack_status(frame)[:3] for frame in second.frames] == [(3, 2, 12)]  # NO_PSI: the power-on state
    assert device.resets == 2


def test_a_stale_first_frame_and_its_follower_are_not_taken(device: FakeDevice) -> None:
    """PONG 0 and frame 1 of an earlier RESET arrive behind ours: frame 1 of ours must not count as a double of it."""
    conversation = Conversation(TIMING)
    reset = conversation.send(0.0)
    stale = Frame(type=FrameType.PONG, payload=b"\0\1").encode()
    stale += Frame(type=FrameType.ERROR, sequence=1, tag=2, payload=b"\0\1").encode()
    assert conversation.receive(stale, 0.0) == []
    exchange = Exchange(conversation, device)
    exchange.frames += conversation.receive(device.receive(reset), 0.0)
    exchange.open()
    assert device.resets == 1
    conversation.ask(REGISTERS["K_MAX"].address)
    exchange.run(lambda: bool(exchange.frames), 5)
    assert [int.from_bytes(frame.payload, "little") for frame in exchange.frames] == [TINY.k_max]


def test_nothing_is_sent_before_the_handshake_is_done(device: FakeDevice) -> None:
    conversation = Conversation(TIMING)
    conversation.put(LOAD.tolist())
    conversation.ask(0)
    assert conversation.send(0.0) == b"\0" + Frame(type=FrameType.RESET).encode()
    assert conversation.send(0.001) == b""


def test_all_registers_come_over_a_bad_line() -> None:
    device = FakeDevice(TINY)
    exchange = Exchange(Conversation(TIMING), device, share=0.3, seed=4)
    exchange.open()
    values = constant_values(TINY)
    for name in values:
        exchange.conversation.ask(REGISTERS[name].address)
    exchange.run(lambda: len(exchange.frames) == len(values), 60)
    found = [(frame.tag, int.from_bytes(frame.payload, "little")) for frame in exchange.frames]
    assert found == [(REGISTERS[name].address, value) for name, value in values.items()]
    device.close()


# --- time-outs -----------------------------------------------------------------------------------------------------


def silent_until_error(conversation: Conversation, now: float, data: bytes = b"") -> tuple[float, str]:
    """Seconds until the conversation gives up on a line that brings only `data`, and the line it says."""
    begin = now
    while now < begin + 1000:
        try:
            conversation.receive(data, now)
            conversation.send(now)
        except TsuError as error:
            assert "\n" not in str(error)
            return now - begin, str(error)
        now += STEP_S
    raise AssertionError("it waits for ever")


@pytest.mark.parametrize("noise", [b"", b"\0\x55\0", b"U" * 40], ids=["nothing", "delimiters", "one long frame"])
def test_no_answer_is_given_up(noise: bytes) -> None:
    seconds, text = silent_until_error(Conversation(TIMING), 0.0, noise)
    assert seconds == pytest.approx(TIMING.silence_s * (TIMING.tries + 1), rel=0.1)
    assert text.startswith("the board does not answer: is it a TSU of this baud rate? (asked 30 times")


def test_a_board_that_dies_is_given_up(device: FakeDevice) -> None:
    exchange = Exchange(Conversation(TIMING), device)
    exchange.open()
    exchange.run(lambda: False, 5)  # idle is not silent
    assert exchange.conversation.statistics.silences == 0
    exchange.conversation.put(LOAD.tolist())
    seconds, text = silent_until_error(exchange.conversation, exchange.now)
    assert seconds == pytest.approx(TIMING.silence_s * (TIMING.tries + 1), rel=0.1)
    assert text.startswith("the board stopped answering")


def test_a_board_that_answers_but_never_finishes_is_given_up(device: FakeDevice) -> None:
    exchange = Exchange(Conversation(TIMING), device)
    exchange.open()
    exchange.conversation.put(LOAD.tolist())
    exchange.conversation.owes = True  # and is never told otherwise
    with pytest.raises(TsuError, match="the board answers, but finished nothing for 2 s"):
        exchange.run(lambda: False, 100)
    assert exchange.now < 10


@pytest.mark.parametrize("commands", [0, 40])
def test_a_reset_in_mid_stream_is_no_wrong_draw(commands: int) -> None:
    device = FakeDevice(TINY)
    exchange = Exchange(Conversation(TIMING), device)
    exchange.open()
    exchange.conversation.owes = True
    exchange.conversation.put(LOAD.tolist())
    for _ in range(commands):
        exchange.conversation.put(draw_command(count=100).tolist())
    exchange.run(lambda: len(exchange.frames) > 2 * commands, 20)
    device.restart()
    exchange.conversation.put(draw_command(count=100, tag=9).tolist())
    count = len(exchange.frames)
    with pytest.raises(TsuError, match=r"reset|stopped answering|finished nothing"):
        exchange.run(lambda: False, 100)
    assert all(unpack_draws(frame, TINY).tag != 9 for frame in exchange.frames[count:] if frame.type is FrameType.DRAWS)
    device.close()


def test_waits_follow_the_rate() -> None:
    slow, fast = LinkTiming.of_baud(9600), LinkTiming.of_baud(12_000_000)
    assert slow.silence_s > 8 * 256 * 10 / 9600 > 1 > fast.silence_s > 0.1


@pytest.mark.parametrize(
    ("field", "arguments"),
    [
        ("silence_s", {"silence_s": 0.0}),
        ("tries", {"silence_s": 1.0, "tries": 0}),
        ("stall_s", {"silence_s": 1.0, "stall_s": float("nan")}),
    ],
)
def test_illegal_waits_name_the_field(field: str, arguments: dict[str, float]) -> None:
    with pytest.raises(SpecError, match=f"^{field} = "):
        LinkTiming(**arguments)


def test_device_of_the_tests_sends_what_the_model_draws(device: FakeDevice) -> None:
    """The double itself: one command by hand, no conversation."""
    frames = [*_frames(device.receive(b""))]
    assert [(frame.type, frame.sequence) for frame in frames] == [(FrameType.PONG, 0)]
    payload = LOAD.astype("<u4").tobytes()
    frames = [*_frames(device.receive(Frame(type=FrameType.COMMAND, tag=1, payload=payload).encode()))]
    assert [frame.type for frame in frames] == [FrameType.STATUS, FrameType.GRANT, FrameType.DRAWS]
    with ModelTsu(config=TINY, mode="exp2") as model:
        expected = model.sample(PSI, 7)
    run = unpack_draws(frames[2], TINY)
    assert [row[0] for row in run.rows] == expected.tokens.tolist()
    assert np.array([row[1] for row in run.rows]).tolist() == expected.weights.tolist()
    assert run.last


def _frames(data: bytes) -> list[Frame]:
    from hw.spec.frames import FrameReader

    return [found for found in FrameReader().feed(data) if isinstance(found, Frame)]
