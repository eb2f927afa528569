# SPDX-License-Identifier: Apache-2.0
"""What the benches share: stall patterns, packing of payloads, pipelines without handshake, tops with flat streams."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any

from amaranth import Module
from amaranth.hdl import Shape
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In
from cocotb.triggers import RisingEdge

from sim.bench_file import variant
from sim.bfm import burst_stalls, never, random_stalls

STALLS = ("none", "random", "bursts")
"""Names of the stall patterns that every test of a stream runs with."""


def stalls(kind: str, seed: int) -> Iterator[bool]:
    """A stall pattern by name; streams of one test take different seeds."""
    match kind:
        case "none":
            return never()
        case "random":
            return random_stalls(0.4, seed=seed)
        case "bursts":
            return burst_stalls(2 + seed % 5, 3 + seed % 7)
    raise ValueError(f"stalls = {kind!r} is not legal: expected one of {', '.join(STALLS)}")


def variants(component: Callable[..., Any], options: dict[str, dict[str, Any]]) -> dict[str, Callable[[], Any]]:
    """`TOPLEVELS` of a bench: for each variant the component with the keyword arguments of that variant."""
    return {name: partial(component, **arguments) for name, arguments in options.items()}


def base_variant() -> str:
    """Variant that the running tests are simulated on, without the name of a seeded bug behind a plus sign."""
    return variant().partition("+")[0]


def pack(shape: Any, value: Any) -> int:
    """Bits of a payload; a struct is given as a dict, an array as a sequence, missing fields are 0."""
    if not isinstance(shape, data.Layout):
        return int(value) & ((1 << Shape.cast(shape).width) - 1)
    items = value.items() if isinstance(value, dict) else enumerate(value)
    return sum(pack(shape[key].shape, item) << shape[key].offset for key, item in items)


def unpack(shape: Any, value: int) -> Any:
    """A payload as dicts, lists and unsigned integers."""
    value &= (1 << Shape.cast(shape).width) - 1
    if isinstance(shape, data.ArrayLayout):
        return [unpack(field.shape, value >> field.offset) for _, field in shape]
    if isinstance(shape, data.Layout):
        return {key: unpack(field.shape, value >> field.offset) for key, field in shape}
    return value


def check(found: Sequence[Any], expected: Iterable[Any], what: str) -> None:
    """Compare sequences; the message names the first item that differs."""
    expected = list(expected)
    for index, (a, b) in enumerate(zip(found, expected, strict=False)):
        assert a == b, f"{what}: item {index} is {a}, expected {b}"
    assert len(found) == len(expected), f"{what}: {len(found)} items, expected {len(expected)}"


async def through_pipeline(
    dut: Any, rows: Sequence[Any], *, drive: Callable[[Any], None], sample: Callable[[], Any], latency: int
) -> list[Any]:
    """Drive one row a cycle; for each row the outputs `latency` cycles later."""
    found = []
    for index in range(len(rows) + latency + 1):
        await RisingEdge(dut.clk)
        if index > latency:
            found.append(sample())
        if index < len(rows):
            drive(rows[index])
    return found


def payload_of(signature: wiring.Signature) -> data.StructLayout:
    """The members of a signature beside its handshake, as one payload."""
    fields = {name: member for name, member in signature.members.items() if name not in ("valid", "ready")}
    leaves: dict[str, Any] = {}
    for name, member in fields.items():
        inner = payload_of(member.signature) if member.is_signature else member.shape
        leaves[name] = data.ArrayLayout(inner, member.dimensions[0]) if member.dimensions else inner
    return data.StructLayout(leaves)


class Streamed(wiring.Component):
    """A component whose ports with loose members beside `valid` and `ready` become streams, so that bus models fit.

    An array of such ports `i_result` becomes the streams `i_result_0`, `i_result_1`, ...; other ports keep their names.

    Parameters
    ----------
    inner : Component
    """

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        ports: dict[str, Any] = {}
        for name, member in inner.signature.members.items():
            for stream_name, _ in self._streams(name, member):
                ports[stream_name] = member.flow(stream.Signature(payload_of(member.signature)))
            if not self._is_loose(member):
                ports[name] = member
        super().__init__(ports)

    @staticmethod
    def _is_loose(member: Any) -> bool:
        return (
            member.is_signature
            and {"valid", "ready"} <= set(member.signature.members)
            and ("payload" not in member.signature.members)
        )

    def _streams(self, name: str, member: Any) -> list[tuple[str, Any]]:
        """Streams that a port becomes, and the port or element of a port that each stands for."""
        if not self._is_loose(member):
            return []
        port = getattr(self._inner, name)
        return [(f"{name}_{i}", element) for i, element in enumerate(port)] if member.dimensions else [(name, port)]

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.inner = inner = self._inner
        for name, member in inner.signature.members.items():
            for stream_name, port in self._streams(name, member):
                self._bridge(m, getattr(self, stream_name), port, member)
            if self._is_loose(member):
                continue
            own, port = getattr(self, name), getattr(inner, name)
            for outer, element in zip(own, port, strict=True) if member.dimensions else [(own, port)]:
                if member.is_signature:
                    wiring.connect(m, wiring.flipped(outer), element)
                else:
                    m.d.comb += element.eq(outer) if member.flow == In else outer.eq(element)
        return m

    @staticmethod
    def _bridge(m: Module, outer: Any, port: Any, member: Any) -> None:
        """Connect one stream with one port."""
        inwards = member.flow == In
        if inwards:
            port = wiring.flipped(port)  # a flipped interface does not show its arrays

        def join(packed: Any, loose: Any, shape: Any) -> None:
            for key, field in shape:
                part = loose[key] if isinstance(shape, data.ArrayLayout) else getattr(loose, key)
                if isinstance(field.shape, data.Layout):
                    join(packed[key], part, field.shape)
                else:
                    m.d.comb += part.eq(packed[key]) if inwards else packed[key].eq(part)

        join(outer.payload, port, payload_of(member.signature))
        ends = (port.valid, outer.valid), (outer.ready, port.ready)
        m.d.comb += [a.eq(b) if inwards else b.eq(a) for a, b in ends]
