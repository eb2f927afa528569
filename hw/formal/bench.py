# SPDX-License-Identifier: Apache-2.0
"""What the property benches share: free inputs, symbolic constants, looks into a component, RTLIL."""

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

from amaranth.back import rtlil
from amaranth.hdl import Assert, Assume, Cat, ClockDomain, Elaboratable, Module, ShapeLike, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from hw.spec.errors import SpecError

TOP = "bench"


class Opened:
    """A component that is elaborated, for good, to look inside.

    The variables of its `elaborate` are attributes, under the names that they have in the source; those of the methods
    that it calls are found with `of`. Memories may still get another port.
    """

    def __init__(self, component: Elaboratable) -> None:
        found: dict[str, dict[str, Any]] = {}

        def note(frame: FrameType, event: str, argument: object) -> None:
            if event == "return" and frame.f_locals.get("self") is component:
                found.setdefault(frame.f_code.co_name, {}).update(frame.f_locals)

        before = sys.getprofile()
        sys.setprofile(note)
        try:
            module = component.elaborate(None)
        finally:
            sys.setprofile(before)
        component.elaborate = lambda platform: module
        self._found, self._driven = found, module._driving  # Amaranth has no public way to ask for these
        self.submodules = module.submodules

    def __getattr__(self, name: str) -> Any:
        return self._variable("elaborate", name)

    def of(self, method: str, name: str) -> Any:
        """A variable of a method that `elaborate` calls."""
        return self._variable(method, name)

    def _variable(self, method: str, name: str) -> Any:
        try:
            return self._found[method][name]
        except KeyError:
            raise SpecError("inside", name, f"a variable of `{method}`") from None

    def signal(self, name: str) -> Signal:
        """The driven signal of that name, for one of a series that is made in a loop."""
        for signal in self._driven:
            if signal.name == name:
                return signal
        raise SpecError("signal", name, "the name of a driven signal")


class Bench(Elaboratable):
    """A component with everything around it that its properties need. Registers start at their reset values.

    Parameters
    ----------
    fill : function of Bench
        Puts component, assumptions, assertions and covers into `m`, and leaves the component's latency in
        `latency_cycles` where the depth of its proof depends on it.
    narrowed : bool
        Inputs may be narrowed, for a bug or a cover: a trace found among fewer inputs is a trace all the same.
    """

    def __init__(self, fill: Callable[["Bench"], None], *, narrowed: bool = False) -> None:
        self._fill = fill
        self.narrowed = narrowed
        self.latency_cycles = 0
        self._inputs: list[Signal] = []
        self.m = Module()
        self._domain = self.m.domains.sync = ClockDomain("sync", reset_less=True)
        self._started = Signal(name="started")
        self.m.d.sync += self._started.eq(1)

    def elaborate(self, platform: object) -> Module:
        return self.m

    def free(self, shape: ShapeLike, name: str) -> Signal:
        """An input that the solver chooses anew in every cycle."""
        signal = Signal(shape, name=name)
        self._inputs.append(signal)
        return signal

    def constant(self, shape: ShapeLike, name: str) -> Signal:
        """An input that the solver chooses once."""
        signal = self.free(shape, name)
        self.assume(self.past(signal, name=f"{name}_before") == signal, when=self._started)
        return signal

    def drive(self, component: wiring.Component, *, but: tuple[object, ...] = ()) -> None:
        """Make every input of a component free, except those of the interfaces or signals in `but`."""
        kept = [id(signal) for thing in but for signal in self._signals(thing)]
        for path, member, value in component.signature.flatten(component):
            value = Value.cast(value)
            if member.flow is In and id(value) not in kept:
                self.m.d.comb += value.eq(self.free(len(value), "_".join(map(str, path))))

    def under_test(self, component: wiring.Component, *, but: tuple[object, ...] = ()) -> Opened:
        """Put a component into the bench, opened, with every input free except those in `but`."""
        self.m.submodules.under_test = component
        opened = Opened(component)
        self.drive(component, but=but)
        return opened

    @staticmethod
    def _signals(thing: object) -> list[Value]:
        if hasattr(thing, "signature"):
            return [Value.cast(value) for _, _, value in thing.signature.flatten(thing)]
        return [Value.cast(thing)]

    def past(self, value: Value, *, name: str, init: int = 0) -> Signal:
        """`value` one cycle ago; `init` in the first cycle."""
        value = Value.cast(value)
        register = Signal(value.shape(), name=name, init=init)
        self.m.d.sync += register.eq(value)
        return register

    def counter(self, shape: ShapeLike, name: str, *, up: Value, down: Value) -> Signal:
        """A count of events that the bench keeps for itself."""
        count = Signal(shape, name=name)
        self.m.d.sync += count.eq(count + up - down)
        return count

    def assume(self, condition: Value, *, when: Value | int = 1) -> None:
        """What the neighbours of the component promise."""
        with self.m.If(when):
            self.m.d.comb += Assume(condition)

    def claim(self, condition: Value, *, when: Value | int = 1) -> None:
        """What is to be proved."""
        with self.m.If(when):
            self.m.d.comb += Assert(condition, src_loc_at=1)

    def stream_rule(
        self, name: str, valid: Value, ready: Value, payload: Value, *, promised: bool, unless: Value | int = 0
    ) -> None:
        """Once valid, a stream stays valid and its payload stays the same until it is taken.

        `promised`: assumed of an input; otherwise claimed of an output.
        """
        held = self.past(valid & ~ready & ~Value.cast(unless), name=f"{name}_held")
        before = self.past(payload, name=f"{name}_before")
        say = self.assume if promised else self.claim
        say(valid & (payload == before), when=held)

    def stream(self, name: str, stream: wiring.PureInterface, *, promised: bool) -> None:
        """`stream_rule` of an interface: all its members but valid and ready are the payload."""
        members = stream.signature.flatten(stream)
        payload = Cat(Value.cast(value) for path, _, value in members if path not in (("valid",), ("ready",)))
        self.stream_rule(name, stream.valid, stream.ready, payload, promised=promised)

    def rtlil(self) -> str:
        """The bench as RTLIL text."""
        self._fill(self)
        return rtlil.convert(self, name=TOP, ports=[self._domain.clk, *self._inputs], emit_src=True)
