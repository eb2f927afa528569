# SPDX-License-Identifier: Apache-2.0
"""Seeded bugs of the AXI4-Lite slave; its bench must fail on each."""

from functools import partial
from pathlib import Path

from sim.bench_file import load_module

_BENCH = load_module(Path(__file__).parents[3] / "benches" / "bench_axi_lite.py")
mutant = partial(load_module(Path(__file__).with_name("mutants.py")).mutant, package="hw.axi")

bytes_of_any_length_and_alignment = _BENCH.bytes_of_any_length_and_alignment
every_strobe_with_address_and_data_in_any_order = _BENCH.every_strobe_with_address_and_data_in_any_order
many_transfers_in_flight = _BENCH.many_transfers_in_flight
responses_are_those_of_the_registers = _BENCH.responses_are_those_of_the_registers

BUGS = {
    "data-does-not-wait-for-its-address": (
        'self.write_stb.eq(address_full & data_full & ~bus["bvalid"])',
        'self.write_stb.eq(data_full & ~bus["bvalid"])',
    ),
    "response-does-not-wait": ('with m.If(bus["bready"]):', "with m.If(1):"),
    "strobes-are-all-ones": ('self.write_strobe.eq(bus["wstrb"])', "self.write_strobe.eq(15)"),
    "data-is-read-too-early": ("READ_CYCLES = 1", "READ_CYCLES = 0"),
    "read-response-is-lost": ('bus["rresp"].eq(self.read_response)', 'bus["rresp"].eq(0)'),
}


def _top(old: str, new: str):
    def make():
        return _BENCH.Scratch(bus=mutant("axi_lite.AxiLite", where="axi_lite", old=old, new=new))

    return make


TOPLEVELS = {f"scratch+{name}": _top(old, new) for name, (old, new) in BUGS.items()}
