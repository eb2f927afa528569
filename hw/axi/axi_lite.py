# SPDX-License-Identifier: Apache-2.0
"""AXI4-Lite to a plain register port."""

from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Member, Out

from hw.spec.axi import APERTURE_BITS

BUS_BITS = 32
"""Width of addresses and data on the bus."""

REGISTER_ADDRESS_BITS = APERTURE_BITS - 2
"""Width of a register's number."""


BUS_SIGNALS: dict[str, Member] = {
    "awaddr": In(BUS_BITS),
    "awprot": In(3),
    "awvalid": In(1),
    "awready": Out(1),
    "wdata": In(BUS_BITS),
    "wstrb": In(BUS_BITS // 8),
    "wvalid": In(1),
    "wready": Out(1),
    "bresp": Out(2),
    "bvalid": Out(1),
    "bready": In(1),
    "araddr": In(BUS_BITS),
    "arprot": In(3),
    "arvalid": In(1),
    "arready": Out(1),
    "rdata": Out(BUS_BITS),
    "rresp": Out(2),
    "rvalid": Out(1),
    "rready": In(1),
}
"""Ports of an AXI4-Lite slave."""


def axi_lite_ports(prefix: str) -> dict[str, Member]:
    """Members of an AXI4-Lite slave: `<prefix>_awaddr` and so on."""
    return {f"{prefix}_{name}": member for name, member in BUS_SIGNALS.items()}


class AxiLite(wiring.Component):
    """Execute the writes and reads of an AXI4-Lite master one by one.

    Address and data of a write may come in any order. A write is executed when both are there and the response before
    it was taken; writes and reads do not wait for each other. Every output comes from a register. Address bits above
    the aperture, the lowest two, and AWPROT and ARPROT are ignored.

    Parameters
    ----------
    prefix : str
        Begin of the port names.

    Members
    -------
    <prefix>_aw*, _w*, _b*, _ar*, _r*       the bus
    write_stb : Out(1)                      execute this write now
    write_address : Out(10), write_data : Out(32), write_strobe : Out(4)
    write_response : In(2)                  in the cycle of `write_stb`
    read_address : Out(10)                  holds until the read is over
    read_data : In(32), read_response : In(2)      `READ_CYCLES` after the address has changed
    Latency      READ_CYCLES + 2 from ARVALID to RVALID, WRITE_CYCLES from the later of AWVALID and WVALID to BVALID
    Throughput   one write in WRITE_CYCLES, one read in READ_CYCLES + 3
    Reset        no response waits
    """

    READ_CYCLES = 1
    """The register port answers this many cycles after the address: one register in between."""

    WRITE_CYCLES = 2
    """A response follows its write by as much."""

    def __init__(self, *, prefix: str = "s_axil") -> None:
        self._prefix = prefix
        super().__init__(
            axi_lite_ports(prefix)
            | {
                "write_stb": Out(1),
                "write_address": Out(REGISTER_ADDRESS_BITS),
                "write_data": Out(BUS_BITS),
                "write_strobe": Out(BUS_BITS // 8),
                "write_response": In(2),
                "read_address": Out(REGISTER_ADDRESS_BITS),
                "read_data": In(BUS_BITS),
                "read_response": In(2),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        bus = {name: getattr(self, f"{self._prefix}_{name}") for name in BUS_SIGNALS}
        self._writes(m, bus)
        self._reads(m, bus)
        return m

    def _writes(self, m: Module, bus: dict[str, Signal]) -> None:
        """Two registers catch address and data; a write leaves both at once."""
        address_full, data_full = Signal(), Signal()
        m.d.comb += [
            bus["awready"].eq(~address_full),
            bus["wready"].eq(~data_full),
            self.write_stb.eq(address_full & data_full & ~bus["bvalid"]),
        ]
        with m.If(bus["awvalid"] & bus["awready"]):
            m.d.sync += [address_full.eq(1), self.write_address.eq(bus["awaddr"][2:APERTURE_BITS])]
        with m.If(bus["wvalid"] & bus["wready"]):
            m.d.sync += [data_full.eq(1), self.write_data.eq(bus["wdata"]), self.write_strobe.eq(bus["wstrb"])]
        with m.If(bus["bready"]):
            m.d.sync += bus["bvalid"].eq(0)
        with m.If(self.write_stb):
            m.d.sync += [
                address_full.eq(0),
                data_full.eq(0),
                bus["bvalid"].eq(1),
                bus["bresp"].eq(self.write_response),
            ]

    def _reads(self, m: Module, bus: dict[str, Signal]) -> None:
        """One read at a time."""
        under_way, waited = Signal(), Signal(range(self.READ_CYCLES + 1))
        m.d.comb += bus["arready"].eq(~under_way)
        with m.If(bus["arvalid"] & bus["arready"]):
            m.d.sync += [under_way.eq(1), waited.eq(0), self.read_address.eq(bus["araddr"][2:APERTURE_BITS])]
        with m.If(under_way & ~bus["rvalid"]):
            m.d.sync += waited.eq(waited + 1)
            with m.If(waited == self.READ_CYCLES):
                m.d.sync += [
                    bus["rvalid"].eq(1),
                    bus["rdata"].eq(self.read_data),
                    bus["rresp"].eq(self.read_response),
                ]
        with m.If(bus["rvalid"] & bus["rready"]):
            m.d.sync += [bus["rvalid"].eq(0), under_way.eq(0)]
