# SPDX-License-Identifier: Apache-2.0
"""A TSU used through AXI4-Lite registers alone: psi in, draws out, interrupts, errors, strobes, switching to streams.

Offsets and bits are written out here as docs/reference/axi.md lists them.
"""

import random
import struct
from functools import partial
from pathlib import Path

import cocotb

from host.golden.exact import draft_law
from host.tsu.lowering import draw_command, seed_command
from hw.axi.axi_tsu import AxiTsu
from hw.spec.commands import Opcode, Status
from hw.spec.digest import spec_id
from sim.bench_file import load_module

_HERE = Path(__file__).parent
_DRIVER, _SUPPORT, _TSU = (load_module(_HERE / name) for name in ("axi_driver.py", "support.py", "bench_axi_tsu.py"))
OKAY, SLVERR, DECERR = _DRIVER.OKAY, _DRIVER.SLVERR, _DRIVER.DECERR
ReferenceTsu, config, some_psi = _TSU.ReferenceTsu, _TSU.config, _TSU.some_psi

CONFIGS = {name: _TSU.CONFIGS[name] for name in ("small-1", "small-4")}
TOPLEVELS = {name: partial(AxiTsu, config=chosen) for name, chosen in CONFIGS.items()}

CONTROL, STATE, ROUTE, IRQ_ENABLE, IRQ_PENDING = 0x104, 0x108, 0x10C, 0x110, 0x114
COMMAND_WORD, COMMAND_LAST = 0x118, 0x11C
STATUS_HEAD, STATUS_LOW, STATUS_HIGH, STATUS_TAKE = 0x120, 0x124, 0x128, 0x12C
DRAW_HEAD, DRAW_TOKEN, DRAW_SPREAD, DRAW_LOW, DRAW_HIGH, DRAW_TAKE = 0x140, 0x144, 0x148, 0x14C, 0x150, 0x154
READ_ONLY = [*range(0, 0x3C, 4), 0x100, STATE]
ON_WAIT = [STATUS_HEAD, STATUS_LOW, STATUS_HIGH, DRAW_HEAD, DRAW_TOKEN, DRAW_SPREAD, DRAW_LOW, DRAW_HIGH]
WRITE_ONLY = [COMMAND_WORD, COMMAND_LAST, STATUS_TAKE, DRAW_TAKE]
READ_WRITE = [CONTROL, ROUTE, IRQ_ENABLE, IRQ_PENDING]
ALL_REGISTERS = 7
FIFO_WORDS = 16
PAUSED = {"none": (), "all": ("s_axil",)}


async def started(dut, *, paused: str, route: int = ALL_REGISTERS):
    tsu = await _TSU.started(dut, paused=PAUSED[paused])
    await tsu.write(ROUTE, route)
    return tsu


async def put(tsu, words) -> None:
    """Write one command, as room comes."""
    values, room = [int(word) for word in words], 0
    for index, value in enumerate(values):
        while room == 0:
            room = await tsu.read(STATE) >> 16
        room -= 1
        await tsu.write(COMMAND_LAST if index == len(values) - 1 else COMMAND_WORD, value)


async def wait_for(tsu, bit: int, *, polls: int = 2000) -> None:
    """Poll STATE until a bit is set."""
    for _ in range(polls):
        if await tsu.read(STATE) >> bit & 1:
            return
    raise AssertionError(f"STATE[{bit}] stays 0")


async def status(tsu) -> tuple[int, int, int, int]:
    """Tag, opcode, code and total of the next status, which is then taken."""
    await wait_for(tsu, 1)
    head, low, high = [await tsu.read(offset) for offset in (STATUS_HEAD, STATUS_LOW, STATUS_HIGH)]
    await tsu.write(STATUS_TAKE, 1)
    return head & 0xFFFF, head >> 16 & 0xFF, head >> 24, low | high << 32


async def draws(tsu, count: int, *, tag: int) -> list[tuple[int, int, int]]:
    """The draws of one command, taken one by one."""
    rows = []
    for index in range(count):
        await wait_for(tsu, 2)
        assert await tsu.read(DRAW_HEAD) == tag | (index == count - 1) << 16, f"head of draw {index}"
        token, spread, low, high = [await tsu.read(o) for o in (DRAW_TOKEN, DRAW_SPREAD, DRAW_LOW, DRAW_HIGH)]
        await tsu.write(DRAW_TAKE, 1)
        rows.append((token, low | high << 32, spread))
    return rows


@cocotb.test(timeout_time=3, timeout_unit="ms")
@cocotb.parametrize(paused=list(PAUSED))
async def psi_and_draws_through_registers_only(dut, paused):
    """SEED, LOAD and DRAW word by word; every draw equals the reference stream; the AXI4-Streams stay silent."""
    tsu = await started(dut, paused=paused)
    await put(tsu, seed_command(config(), 31, tag=1))
    assert await status(tsu) == (1, Opcode.SEED, Status.OK, 0)
    reference = ReferenceTsu(config(), 31)
    for number in range(3):
        psi = some_psi(200 + number)
        total = draft_law(psi, config(), "exp2").total
        await put(tsu, tsu.load_words(psi, 21, "exp2", tag=50 + number))
        assert await status(tsu) == (50 + number, Opcode.LOAD, Status.OK, total)
        found = await draws(tsu, 21, tag=50 + number)
        _SUPPORT.check(found, reference.rows(psi, 21, "exp2"), f"psi {number}, LOAD")
        await put(tsu, draw_command(count=6, tag=70))
        assert await status(tsu) == (70, Opcode.DRAW, Status.OK, total)
        _SUPPORT.check(await draws(tsu, 6, tag=70), reference.rows(psi, 6, "exp2"), f"psi {number}, DRAW")
    assert await tsu.read(STATE) == FIFO_WORDS << 16
    assert tsu.statuses.empty() and tsu.draws.empty()


@cocotb.test(timeout_time=3, timeout_unit="ms")
@cocotb.parametrize(paused=list(PAUSED))
async def identification(dut, paused):
    """SPEC_ID, widths and AXI_ID at their offsets, through any base address."""
    tsu, digest = await started(dut, paused=paused), spec_id(config())
    expected = [digest % (1 << 32), digest >> 32, config().k_max, config().vocab_max, config().lanes]
    expected += [config().weight_bits, config().total_bits, config().uniform_bits, 0, 0]
    for base in (0, 0x43C0_0000, 0xFFFF_F000):
        found = [await tsu.read(base + 4 * address) for address in range(10)]
        assert found == expected
        assert await tsu.read(base + 0x100) == 0x54534401


@cocotb.test(timeout_time=3, timeout_unit="ms")
@cocotb.parametrize(paused=list(PAUSED))
async def every_address_is_answered(dut, paused):
    """1,024 reads and writes: DECERR where no register is, SLVERR where the access is not allowed, else OKAY."""
    tsu = await started(dut, paused=paused)
    listed = READ_ONLY + ON_WAIT + WRITE_ONLY + READ_WRITE
    for offset in range(0, 4096, 4):
        if offset in listed:
            reads = SLVERR if offset in WRITE_ONLY + ON_WAIT else OKAY
            writes = OKAY if offset in (*READ_WRITE, COMMAND_WORD, COMMAND_LAST) else SLVERR
        else:
            reads = writes = DECERR
        value = await tsu.read(offset, expected=reads)
        assert reads == OKAY or value == 0, f"{value:#x} is read at {offset:#x} beside an error"
        await tsu.write(offset, 0, expected=writes)
    # The two command words are a command of opcode 0, which waits because ROUTE was set to 0.
    await tsu.write(ROUTE, ALL_REGISTERS)
    assert (await status(tsu))[1:] == (0, Status.BAD_OPCODE, 0)


@cocotb.test(timeout_time=3, timeout_unit="ms")
@cocotb.parametrize(paused=list(PAUSED))
async def strobes(dut, paused):
    """A byte that is not written keeps its value; a command word of fewer than four bytes is refused whole."""
    tsu = await started(dut, paused=paused)
    await tsu.write(IRQ_ENABLE, 0xF)
    for offset, data in ((IRQ_ENABLE + 1, b"\xff\xff\xff"), (IRQ_ENABLE + 2, b"\xff")):
        assert (await tsu.lite.write(offset, data)).resp == OKAY
        assert await tsu.read(IRQ_ENABLE) == 0xF
    assert (await tsu.lite.write(IRQ_ENABLE, b"\x05")).resp == OKAY
    assert await tsu.read(IRQ_ENABLE) == 5
    assert (await tsu.lite.write(CONTROL + 1, b"\xff\xff\xff")).resp == OKAY
    assert (await tsu.lite.write(STATUS_TAKE + 1, b"\x01")).resp == SLVERR
    for offset, data in ((COMMAND_WORD, b"\x01"), (COMMAND_LAST + 2, b"\x01\x01"), (COMMAND_WORD + 1, b"\x01" * 3)):
        assert (await tsu.lite.write(offset, data)).resp == SLVERR
        assert await tsu.read(STATE) == FIFO_WORDS << 16, "a part of a command word was taken"
    tag = 0x0A0B
    await put(tsu, draw_command(count=1, tag=tag))
    assert await status(tsu) == (tag, Opcode.DRAW, Status.NO_PSI, 0)


@cocotb.test(timeout_time=3, timeout_unit="ms")
@cocotb.parametrize(paused=list(PAUSED))
async def full_command_fifo_refuses_the_word_and_keeps_the_rest(dut, paused):
    """While the streams feed the TSU, words for the registers' FIFO wait; the 17th is refused; none is lost."""
    tsu = await started(dut, paused=paused, route=6)
    words = [int(word) for word in tsu.load_words(some_psi(210), 3, "exp2", tag=9)]
    commands = [*words, *words, *words]
    ends = {len(words) - 1, 2 * len(words) - 1, 3 * len(words) - 1}
    for index in range(FIFO_WORDS):
        assert await tsu.read(STATE) >> 16 == FIFO_WORDS - index
        await tsu.write(COMMAND_LAST if index in ends else COMMAND_WORD, commands[index])
    assert await tsu.read(STATE) >> 16 == 0
    for _ in range(3):
        await tsu.write(COMMAND_WORD, 0xDEADBEEF, expected=SLVERR)
    await tsu.write(ROUTE, ALL_REGISTERS)
    room = 0
    for index in range(FIFO_WORDS, len(commands)):
        while room == 0:
            room = await tsu.read(STATE) >> 16
        room -= 1
        await tsu.write(COMMAND_LAST if index in ends else COMMAND_WORD, commands[index])
    reference = ReferenceTsu(config(), 0)
    for _ in range(3):
        assert (await status(tsu))[:3] == (9, Opcode.LOAD, Status.OK)
        _SUPPORT.check(await draws(tsu, 3, tag=9), reference.rows(some_psi(210), 3, "exp2"), "behind a full FIFO")


@cocotb.test(timeout_time=3, timeout_unit="ms")
@cocotb.parametrize(paused=list(PAUSED))
async def interrupts(dut, paused):
    """Each cause alone raises irq where it is enabled, and ends as documented."""
    tsu = await started(dut, paused=paused)

    async def level(expected: int, pending: int) -> None:
        assert await tsu.read(IRQ_PENDING) == pending
        assert dut.irq.value == expected

    await level(0, 0b0100)  # the FIFO is empty, nothing is enabled
    await tsu.write(IRQ_ENABLE, 0b0100)
    await level(1, 0b0100)
    await tsu.write(IRQ_ENABLE, 0b1000)
    await level(0, 0b0100)
    await put(tsu, draw_command(count=1, tag=2))
    await wait_for(tsu, 1)
    await level(1, 0b1101)  # refused, and its status waits
    await tsu.write(IRQ_PENDING, 0b0111)
    await level(1, 0b1101)  # levels cannot be cleared
    await tsu.write(IRQ_PENDING, 0b1000)
    await level(0, 0b0101)
    await tsu.write(IRQ_ENABLE, 0b0001)
    await level(1, 0b0101)
    assert (await status(tsu))[2] == Status.NO_PSI
    await level(0, 0b0100)
    await tsu.write(IRQ_ENABLE, 0b0010)
    await put(tsu, tsu.load_words(some_psi(220), 2, "exp2", tag=4))
    await wait_for(tsu, 2)
    await level(1, 0b0111)
    await draws(tsu, 2, tag=4)
    await level(0, 0b0101)
    assert (await status(tsu))[2] == Status.OK
    await level(0, 0b0100)


@cocotb.test(timeout_time=3, timeout_unit="ms")
@cocotb.parametrize(paused=list(PAUSED))
async def reset_by_register(dut, paused):
    """CONTROL.reset in the middle of a command: FIFO, status, draw and counters are gone; ROUTE and IRQ_ENABLE stay."""
    tsu = await started(dut, paused=paused)
    await tsu.write(IRQ_ENABLE, 0b0010)
    psi = some_psi(230)
    for half in (1, 4, 9):
        await put(tsu, [0x0199])  # refused
        assert (await status(tsu))[2] == Status.BAD_OPCODE
        await put(tsu, seed_command(config(), 77))
        assert (await status(tsu))[2] == Status.OK
        words = tsu.load_words(psi, 500, "exp2", tag=8)
        await put(tsu, words)
        await wait_for(tsu, 2)
        for word in words[:half]:
            while await tsu.read(STATE) >> 16 == 0:
                pass
            await tsu.write(COMMAND_WORD, word)
        assert await tsu.read(0x20) == 1
        await tsu.write(CONTROL, 0)
        assert await tsu.read(STATE) & 6 == 6
        await tsu.write(CONTROL, 1)
        assert await tsu.read(STATE) == FIFO_WORDS << 16
        assert await tsu.read(0x20) == 0
        assert (await tsu.read(ROUTE), await tsu.read(IRQ_ENABLE), await tsu.read(IRQ_PENDING)) == (7, 2, 4)
        await put(tsu, draw_command(count=1, tag=3))
        assert await status(tsu) == (3, Opcode.DRAW, Status.NO_PSI, 0)
        await tsu.write(IRQ_PENDING, 8)
        await put(tsu, tsu.load_words(psi, 10, "exp2", tag=6))
        assert (await status(tsu))[:3] == (6, Opcode.LOAD, Status.OK)
        _SUPPORT.check(await draws(tsu, 10, tag=6), ReferenceTsu(config(), 0).rows(psi, 10, "exp2"), "seed 0 again")
        await tsu.write(CONTROL, 1)


@cocotb.test(timeout_time=3, timeout_unit="ms")
@cocotb.parametrize(paused=list(PAUSED))
async def every_mix_of_streams_and_registers(dut, paused):
    """All eight values of ROUTE one after the other: commands, statuses and draws on the side that was chosen."""
    tsu = await started(dut, paused=paused)
    psi, rng, reference = some_psi(240), random.Random(6), ReferenceTsu(config(), 0)
    total = draft_law(psi, config(), "exp2").total
    await put(tsu, tsu.load_words(psi, 0, "exp2", tag=1))
    assert await status(tsu) == (1, Opcode.LOAD, Status.OK, total)
    for route in [*range(8), *rng.sample(range(8), 8)]:
        await tsu.write(ROUTE, route)
        assert await tsu.read(ROUTE) == route
        tag, count = tsu.next_tag(), 3 + route
        words = draw_command(count=count, tag=tag)
        if route & 1:
            await put(tsu, words)
        else:
            tsu.put(words)
        found = await (status(tsu) if route & 2 else tsu.status())
        assert found == (tag, Opcode.DRAW, Status.OK, total), f"ROUTE {route}: {found}"
        if route & 4:
            rows = await draws(tsu, count, tag=tag)
            tsu.position = (tsu.position + count) % config().lanes
        else:
            rows = await tsu.take(count, tag=tag)
        _SUPPORT.check(rows, reference.rows(psi, count, "exp2"), f"ROUTE {route}")
    assert tsu.statuses.empty() and tsu.draws.empty()


@cocotb.test(timeout_time=3, timeout_unit="ms")
@cocotb.parametrize(paused=list(PAUSED))
async def a_command_is_never_cut_by_a_change_of_route(dut, paused):
    """ROUTE changes while a command is half written: its rest still comes from where it began."""
    tsu = await started(dut, paused=paused)
    psi, reference = some_psi(250), ReferenceTsu(config(), 0)
    words = tsu.load_words(psi, 5, "exp2", tag=11)
    for number in range(4):
        for word in words[:-1]:
            while await tsu.read(STATE) >> 16 == 0:
                pass
            await tsu.write(COMMAND_WORD, word)
        await tsu.write(ROUTE, 6)  # the streams have the next command
        tsu.put(draw_command(count=4, tag=12))
        await tsu.cycles(20 * number)
        await tsu.write(COMMAND_LAST, words[-1])
        for tag, opcode, count in ((11, Opcode.LOAD, 5), (12, Opcode.DRAW, 4)):
            assert (await status(tsu))[:3] == (tag, opcode, Status.OK)
            _SUPPORT.check(await draws(tsu, count, tag=tag), reference.rows(psi, count, "exp2"), f"tag {tag}")
        await tsu.write(ROUTE, ALL_REGISTERS)
    assert struct.unpack("<I", (await tsu.lite.read(0x20, 4)).data) == (0,)
