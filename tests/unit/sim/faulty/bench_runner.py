# SPDX-License-Identifier: Apache-2.0
"""A top that cannot be built, and a bench whose only test is skipped: the runner must report both as failures."""

import cocotb
from amaranth import Instance, Module
from amaranth.lib import wiring
from amaranth.lib.wiring import Out


class Counter(wiring.Component):
    """Counts clock cycles."""

    o_count: Out(8)

    def elaborate(self, platform):
        m = Module()
        m.d.sync += self.o_count.eq(self.o_count + 1)
        return m


class Unbuildable(wiring.Component):
    """Instantiates a module that does not exist."""

    o_count: Out(8)

    def elaborate(self, platform):
        m = Module()
        m.submodules.missing = Instance("module_that_does_not_exist", o_count=self.o_count)
        return m


@cocotb.test(skip=True)
async def skipped(dut):
    """Never runs."""


TOPLEVELS = {"skipped": Counter, "unbuildable": Unbuildable}
