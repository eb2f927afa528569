# SPDX-License-Identifier: Apache-2.0
"""Seeded bugs of the AXI4-Stream adapters; their bench must fail on each."""

from functools import partial
from pathlib import Path

from sim.bench_file import load_module

_BENCH = load_module(Path(__file__).parents[3] / "benches" / "bench_axi_stream.py")
mutant = partial(load_module(Path(__file__).with_name("mutants.py")).mutant, package="hw.axi")

every_word_arrives_once = _BENCH.every_word_arrives_once
flush_drops_the_rest_of_a_command = _BENCH.flush_drops_the_rest_of_a_command
transfers_leave_as_they_came = _BENCH.transfers_leave_as_they_came

BUGS = {
    "flush-forgets-the-rest": ("source", "axi_stream", "dropping.eq(inside)", "dropping.eq(0)"),
    "keep-is-all-ones": (
        "sink",
        "axi_stream",
        ".eq(transfers.o.payload[name])",
        '.eq(transfers.o.payload[name] | -(name == "keep"))',
    ),
    "held-word-is-overwritten": (
        "source",
        "hw.tsu.stream_slice",
        "with m.If(takes & written):",
        "with m.If(self.i.valid & written):",
    ),
    "offer-does-not-wait": (
        "sink",
        "hw.tsu.stream_slice",
        "gives.eq(self.o.valid & self.o.ready)",
        "gives.eq(self.o.valid)",
    ),
}
CLASSES = {"source": "axi_stream.AxiStreamInput", "sink": "axi_stream.AxiStreamOutput"}


def _top(side: str, where: str, old: str, new: str):
    def make():
        def component(**arguments):
            return mutant(CLASSES[side], where=where, old=old, new=new, **arguments)()

        return _BENCH.Adapters(**{side: component})

    return make


TOPLEVELS = {f"adapters+{name}": _top(*bug) for name, bug in BUGS.items()}
