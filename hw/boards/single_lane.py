# SPDX-License-Identifier: Apache-2.0
"""One lane and its noise, to be measured without the loader that feeds it."""

from amaranth.hdl import Module, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, connect

from hw.spec.config import TsuConfig
from hw.tsu.lane import Lane
from hw.tsu.noise.bank import NoiseBank


class SingleLane(wiring.Component):
    """A `Lane` and its monitored `NoiseBank`, every input behind a register as in the TSU.

    Parameters
    ----------
    config : TsuConfig

    Members
    -------
    lane_*, bank_* : every signal of the two but the words between them, under its own name
    Latency      one cycle more than those of `Lane` and `NoiseBank`
    Throughput   one candidate per cycle
    """

    def __init__(self, *, config: TsuConfig) -> None:
        self._lane = Lane(config=config)
        self._bank = NoiseBank(config, monitored=True)
        self._inside: dict[str, Value] = {}
        ports = {}
        for part, component in (("lane", self._lane), ("bank", self._bank)):
            for path, member, value in component.signature.flatten(component):
                if path[0] not in ("i_words", "o_words"):
                    name = "_".join((part, *map(str, path)))
                    self._inside[name] = Value.cast(value)
                    ports[name] = member.flow(len(self._inside[name]))
        super().__init__(ports)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.lane, m.submodules.bank = self._lane, self._bank
        connect(m, self._bank.o_words, self._lane.i_words)
        for name, inside in self._inside.items():
            port = getattr(self, name)
            if self.signature.members[name].flow == In:
                register = Signal(len(inside), name=f"{name}_register")
                m.d.sync += register.eq(port)
                m.d.comb += inside.eq(register)
            else:
                m.d.comb += port.eq(inside)
        return m
