# SPDX-License-Identifier: Apache-2.0
"""Which bins a TSU in simulation fills, from what passes over its ports.

It shares nothing with the benches' drivers but the wires. They check streams and answers; here it is only sorted.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from hw.spec.commands import LOAD_HEADER_WORDS, Opcode, Status, opcodes
from hw.spec.config import TsuConfig
from hw.spec.noise import STATE_WORDS

from .classes import Load, count_class, length_class, table_step
from .groups import Functional


class Handshake(NamedTuple):
    """A stream in one cycle; `payload` counts only where both others are set."""

    valid: bool
    ready: bool
    payload: int = 0

    @property
    def taken(self) -> bool:
        """Whether the payload is transferred."""
        return self.valid and self.ready


@dataclass(kw_only=True)
class Command:
    """One command on its way.

    Parameters
    ----------
    words : list of int
    owed : bool
        Whether draws were owed when its first word was offered.
    situation : str
        Of a LOAD or SEED, when its first word was offered.
    psi : Load or None
        What its draws come from.
    """

    words: list[int]
    owed: bool
    situation: str = ""
    psi: Load | None = None
    status: Status | None = None
    delivered: int = 0
    last_lane: int = 0
    noted: set[str] = field(default_factory=set)
    stalls: set[str] = field(default_factory=set)

    @property
    def name(self) -> str:
        """Opcode, or `unknown`."""
        code = self.words[0] & 0xFF
        return Opcode(code).name if code in opcodes(0) else "unknown"

    @property
    def tag(self) -> int:
        """Tag of its status and draws."""
        return self.words[0] >> 16

    @property
    def count(self) -> int:
        """Draws that it asks for; 0 where it cannot."""
        return self.words[1] if self.name in ("LOAD", "DRAW") and len(self.words) > 1 else 0


class TsuSampler:
    """Follows commands, statuses, draws and stalls of one TSU, or of its loader alone.

    Parameters
    ----------
    config : TsuConfig
    functional : Functional
        Where hits are counted.
    """

    def __init__(self, config: TsuConfig, functional: Functional) -> None:
        self.config, self.hit = config, functional.hit
        self._used = False
        self._begin()

    def _begin(self) -> None:
        """The state after a reset."""
        self._words: list[int] = []
        self._next: Command | None = None
        self._waiting: deque[Command] = deque()  # without status
        self._jobs: deque[Command] = deque()  # whose draws are not all delivered
        self._psi: Load | None = None  # the last that was sent
        self._step: str | None = None  # of the last table
        self._good: bool | None = None  # the last LOAD answered
        self._seeded: bool | None = None  # the last SEED answered
        self._switches: list[Command] = []  # LOADs whose first draw has not come
        self._lengths = {"i_command gap": 0, "i_command refused": 0, "o_status held": 0, "o_draw held": 0}

    @property
    def _owed(self) -> bool:
        return any(job.status in (None, Status.OK) for job in self._jobs)

    def cycle(self, *, reset: bool, command: Handshake, status: Handshake, draw: Handshake) -> None:
        """One rising edge of the clock."""
        if reset:
            if self._used:
                self._reset()
            self._begin()
            self._used = False
            return
        self._stalls(command, status, draw)
        if command.valid and self._next is None:
            self._offered(command)
        if status.taken:
            self._answered(status.payload)
        if draw.taken:
            self._drawn(draw.payload)
        if command.taken:
            self._used = True
            self._words.append(command.payload & 0xFFFF_FFFF)
            if command.payload >> 32 & 1:
                self._sent()

    def _reset(self) -> None:
        situation = "idle"
        if self._owed:
            situation = "draws owed"
        elif self._words:
            situation = "inside a command"
        elif self._waiting:
            situation = "before a status"
        self.hit("reset", situation)

    def _stalls(self, command: Handshake, status: Handshake, draw: Handshake) -> None:
        """Lengths of stalls, and the kinds that a psi switch in progress has seen."""
        now = {
            "i_command gap": bool(self._words) and not command.valid,
            "i_command refused": command.valid and not command.ready,
            "o_status held": status.valid and not status.ready,
            "o_draw held": draw.valid and not draw.ready,
        }
        for name, stalled in now.items():
            if stalled:
                self._lengths[name] += 1
            elif self._lengths[name]:
                self.hit("stall", name, length_class(self._lengths[name]))
                self._lengths[name] = 0
        kinds = {"i_command gap": "command gaps", "o_status held": "status held", "o_draw held": "draws held"}
        for switching in self._switches:
            switching.stalls.update(kinds[name] for name in kinds if now[name])

    def _offered(self, command: Handshake) -> None:
        """The first word of a command is offered."""
        self._next = Command(words=[command.payload & 0xFFFF_FFFF], owed=self._owed)
        loads = {id(job.psi) for job in self._jobs if job.status in (None, Status.OK)}
        if self._next.name == "LOAD":
            situation = "draws owed" if loads else "no draws owed"
            if self._psi is None:
                situation = "first psi"
            elif self._good is False and not self._waiting:
                situation = "after a refused psi"
            elif len(loads) > 1:
                situation = "both banks in use"
            self._next.situation = situation
            self._switches.append(self._next)
        elif self._next.name == "SEED":
            situation = "draws owed" if loads else "no draws owed"
            if self._seeded is False and not self._waiting:
                situation = "after a refused SEED"
            elif self._psi is None:
                situation = "no psi"
            self._next.situation = situation

    def _sent(self) -> None:
        """The last word of a command was taken."""
        command, self._next = self._next, None
        assert command is not None  # a word that is taken was offered
        command.words, self._words = self._words, []
        if command.name == "TABLE":
            self._step = table_step(command.words, self.config)
        if command.name == "LOAD" and len(command.words) > LOAD_HEADER_WORDS:
            self._psi = Load(command.words, self.config, table_step=self._step)
        command.psi = self._psi
        self._waiting.append(command)
        if command.count:
            self._jobs.append(command)

    def _answered(self, payload: int) -> None:
        """A status was taken."""
        command = self._waiting.popleft()
        command.status = status = Status(payload >> 24 & 0xFF)
        outcome = "executed" if status is Status.OK else "refused"
        name = command.name
        self.hit("status", name, status.name)
        self.hit("command and draws", name, outcome, "owed" if command.owed else "none owed")
        if status is Status.BAD_LENGTH:
            self.hit("length", name, "fewer" if self._is_short(command.words) else "more")
        if name == "SEED":
            self.hit("seed", command.situation, outcome)
            self._seeded = status is Status.OK
            if status is Status.BAD_SEED:
                self._zero_state(command.words)
        if name in ("LOAD", "DRAW") and status is Status.OK and command.count == 0:
            self.hit("batch", name, "0")
        if name == "LOAD":
            self._good = status is Status.OK
            if self._good and command.psi is not None:
                command.psi.total = payload >> 32
            else:
                self._switches.remove(command)
        if status is Status.OK:
            self._note(command)
        elif command in self._jobs:
            self._jobs.remove(command)

    def _is_short(self, words: Sequence[int]) -> bool:
        streams = self.config.noise_streams
        need = {"DRAW": 2, "TABLE": 513, "SEED": 1 + streams * STATE_WORDS, "LOAD": LOAD_HEADER_WORDS}
        name = Opcode(words[0] & 0xFF).name
        need_words = need[name]
        if name == "LOAD" and len(words) >= LOAD_HEADER_WORDS:
            need_words += words[3] & 0x7FF
        return len(words) < need_words

    def _zero_state(self, words: Sequence[int]) -> None:
        count = self.config.noise_streams
        states = [words[1 + STATE_WORDS * i : 1 + STATE_WORDS * (i + 1)] for i in range(count)]
        for index, state in enumerate(states):
            if not any(state):
                place = "the first" if index == 0 else "the last" if index == count - 1 else "an inner one"
                self.hit("zero state", place)

    def _drawn(self, payload: int) -> None:
        """A beat was taken."""
        config = self.config
        width = config.id_bits + config.total_bits + 1
        keep = payload >> width * config.lanes & ((1 << config.lanes) - 1)
        tag = payload >> (width + 1) * config.lanes + config.id_bits & 0xFFFF
        job = next((job for job in self._jobs if job.tag == tag and job.status in (None, Status.OK)), None)
        if job is None or job.psi is None:
            return  # the bench fails on it
        lanes = [lane for lane in range(config.lanes) if keep >> lane & 1]
        for lane in lanes:
            token = payload >> width * lane & ((1 << config.id_bits) - 1)
            self.hit("draw", job.psi.place(token, bool(payload >> width * lane + width - 1 & 1)), job.psi.mode)
            job.last_lane = lane
        job.delivered += len(lanes)
        if job.delivered >= job.count:
            self._jobs.remove(job)
        self._note(job)

    def _note(self, job: Command) -> None:
        """Count a batch and its psi, once each, as soon as draws and status have come (in either order)."""
        psi, config = job.psi, self.config
        if psi is None or job.status is not Status.OK or not job.delivered:
            return
        if "psi" not in job.noted:
            job.noted.add("psi")
            self._note_psi(psi)
        if job.delivered >= job.count and "batch" not in job.noted:
            job.noted.add("batch")
            self.hit("batch", job.name, count_class(job.count))
            if config.lanes <= 4:
                begins = "later" if (job.last_lane + 1 - job.count) % config.lanes else "at lane 0"
                ends = "at the last lane" if job.last_lane == config.lanes - 1 else "before"
                self.hit("lanes", str(config.lanes), begins, ends)

    def _note_psi(self, psi: Load) -> None:
        """Count the psi of a draw, the TSU that delivered it, and the switch to it."""
        config = self.config
        self.hit("psi", psi.k_class, psi.tail_class, psi.mode)
        if psi.step is not None:
            self.hit("scale / tau", psi.step, psi.mode)
        self.hit("codes", psi.distance_class, psi.mode)
        self.hit("shift", psi.shift_class, psi.mode)
        self.hit("ids", *psi.id_classes)
        self.hit("noise", config.noise, "of reset" if self._seeded is None else "of a SEED")
        for name in configuration_bins(config):
            self.hit("configuration", name)
        for load in [load for load in self._switches if load.psi is psi]:
            for kind in load.stalls or {"none"}:
                self.hit("psi switch", load.situation, kind)
            self._switches.remove(load)


def configuration_bins(config: TsuConfig) -> list[str]:
    """Bins of the group `configuration` that a TSU belongs to."""
    sizes = ((2, "k_max 2"), (16, "k_max 4 to 16"), (128, "k_max 32 to 128"), (1024, "k_max 256 to 1024"))
    names = [next(name for bound, name in sizes if config.k_max <= bound)]
    names += [f"level_stages {config.level_stages}", f"weight_source {config.weight_source}"]
    return [*names, "block_ram"] if config.block_ram else names
