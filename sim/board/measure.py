# SPDX-License-Identifier: Apache-2.0
"""Bytes and cycles of a psi and of draws over a link without faults."""

from collections.abc import Callable
from dataclasses import dataclass

from hw.spec.commands import (
    COMMAND_VERSION,
    COMMON_FIELDS,
    DRAW_COMMAND_WORDS,
    ENTRY_FIELDS,
    LOAD_FIELDS,
    LOAD_HEADER_WORDS,
    TABLE_COMMAND_WORDS,
    Opcode,
    Status,
    WeightMode,
    put_field,
)
from hw.spec.config import TsuConfig
from hw.spec.exp2 import log2_ratio_q
from hw.spec.frames import Frame, FrameType, unpack_draws, unpack_status

from .device import BoardDevice, BoardError, BoardOptions
from .host import LinkHost

PSI_SIZES = (1, 32, 64, 256)
"""K of the psi measured, as far as `k_max` allows."""

BATCHES = (1, 8, 64, 512)
"""Draws asked for at once."""


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What one command took, from its first start bit to the stop bit of the last frame that answers it.

    Parameters
    ----------
    what : str
        Row of the table.
    amount : int
        Draws that were delivered; 1 for a psi or a table.
    bytes_down, bytes_up : int
        Bytes to and from the board, acknowledgements and grants included.
    cycles : int
        Clock cycles.
    """

    what: str
    amount: int
    bytes_down: int
    bytes_up: int
    cycles: int


def _header(opcode: Opcode, words: int) -> list[int]:
    header = [0] * words
    put_field(header, COMMON_FIELDS, "opcode", opcode)
    put_field(header, COMMON_FIELDS, "version", COMMAND_VERSION)
    return header


def load_words(config: TsuConfig, k: int) -> list[int]:
    """LOAD of k tokens of equal weight, without tail and draws."""
    mode = WeightMode.TABLE if config.has_table else WeightMode.EXP2
    words = _header(Opcode.LOAD, LOAD_HEADER_WORDS + k)
    shift = max(0, (k + 1).bit_length() - 1 - config.headroom_bits)
    fields = {"vocab_size": k, "score_max_q": 0, "k": k, "mode": mode, "shift": shift}
    if mode is WeightMode.EXP2:
        fields["log2_ratio_q"] = log2_ratio_q(0.05, 1.0)
    for name, value in fields.items():
        put_field(words, LOAD_FIELDS, name, value)
    for index in range(k):
        entry = [0]
        put_field(entry, ENTRY_FIELDS, "id", index)
        words[LOAD_HEADER_WORDS + index] = entry[0]
    return words


def draw_words(count: int) -> list[int]:
    """DRAW of `count` tokens."""
    words = _header(Opcode.DRAW, DRAW_COMMAND_WORDS)
    put_field(words, COMMON_FIELDS, "count", count)
    return words


def table_words(config: TsuConfig) -> list[int]:
    """TABLE of equal weights."""
    words = _header(Opcode.TABLE, TABLE_COMMAND_WORDS)
    weight = 1 << (config.weight_bits - 1)
    words[1::2] = [weight & 0xFFFF_FFFF] * ((TABLE_COMMAND_WORDS - 1) // 2)
    words[2::2] = [weight >> 32] * ((TABLE_COMMAND_WORDS - 1) // 2)
    return words


def measure(options: BoardOptions) -> list[Cost]:
    """Costs of a table, of psi of every size, and of every batch, on one board.

    Raises
    ------
    ToolMissing, NativeBuildError, BoardError
        The board cannot be built, is silent, or refuses a command.
    """
    config = options.config
    with BoardDevice(options) as device:
        host = LinkHost(device, cycles_per_bit=-(-options.clk_hz // options.baud))
        host.open()
        costs: list[Cost] = []

        def run(what: str, amount: int, words: list[int], until: Callable[[Frame], bool] | None = None) -> None:
            start = device.cycles, host.bytes_down, host.bytes_up
            found = host.command(words, until=until)
            statuses = [unpack_status(frame) for frame in found if frame.type is FrameType.STATUS]
            if [status[2] for status in statuses] != [Status.OK]:
                raise BoardError(f"{what}: the simulated board answered {statuses}")
            costs.append(
                Cost(
                    what=what,
                    amount=amount,
                    bytes_down=host.bytes_down - start[1],
                    bytes_up=host.bytes_up - start[2],
                    cycles=device.cycles - start[0],
                )
            )

        if config.has_table:
            run("TABLE", 1, table_words(config))
        for k in PSI_SIZES:
            if k <= config.k_max:
                run(f"psi, K = {k}", 1, load_words(config, k))
        for count in BATCHES:
            run(
                f"{count} draw{'s' * (count > 1)}",
                count,
                draw_words(count),
                lambda found: found.type is FrameType.DRAWS and unpack_draws(found, config).last,
            )
        return costs
