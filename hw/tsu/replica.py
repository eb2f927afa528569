# SPDX-License-Identifier: Apache-2.0
"""A register of its own for each of several readers."""

from amaranth.hdl import Cat, DomainRenamer, Module, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .layouts import members

MODULE_PREFIX = "replica_"
"""Begin of the module names by which `hw.synth` finds replicas and keeps equal ones apart."""


class Replica(wiring.Component):
    """A register that has equal siblings elsewhere on the chip, one near each reader.

    Synthesis would merge registers of equal contents into one, whose way to the furthest reader then bounds the clock.

    Parameters
    ----------
    width : int
    reset : bool
        Whether reset clears it; without, its contents must not count until they have been written.

    Members
    -------
    i : In(width)    o : Out(width)
    Latency      1 cycle
    Throughput   one word per cycle
    """

    def __init__(self, *, width: int, reset: bool) -> None:
        self._reset = reset
        super().__init__({"i": In(width), "o": Out(width)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        register = Signal(len(self.i), reset_less=not self._reset)
        m.d.sync += register.eq(self.i)
        m.d.comb += self.o.eq(register)
        return m


def replicated(m: Module, source: object, *, name: str, domain: str = "sync") -> object:
    """A copy of the signals of an input port, one cycle later and without reset, to be connected to another input."""
    copy = wiring.PureInterface(source.signature.flip(), path=(name,))
    given, taken = (Cat(value for _, value in members(port)) for port in (source, copy))
    m.d.comb += taken.eq(replica(m, given, name=name, reset=False, domain=domain))
    return copy


def replica(m: Module, value: Value, *, name: str, reset: bool, domain: str = "sync") -> Value:
    """`value` one cycle later, from a replica of its own."""
    unit = Replica(width=len(value), reset=reset)
    m.submodules[MODULE_PREFIX + name] = DomainRenamer(domain)(unit)
    m.d.comb += unit.i.eq(value)
    return unit.o
