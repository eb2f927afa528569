# SPDX-License-Identifier: Apache-2.0
"""Functional coverage inside the simulator: drivers of benches call `observe`, idle unless `TSD_COVERAGE` is set."""

import atexit
import json
import os
from pathlib import Path
from typing import Any

import cocotb
from cocotb.triggers import RisingEdge

from hw.spec.config import TsuConfig

from .groups import Functional
from .sampler import Handshake, TsuSampler

ENV_OUT = "TSD_COVERAGE"
"""Environment variable that names the file for the counts; where it is not set, nothing is measured."""

IDLE = Handshake(False, False)


class _Recorder:
    """The counts of this process, written when it ends."""

    functional: Functional | None = None

    @classmethod
    def get(cls) -> Functional | None:
        """Where to count, or None."""
        path = os.environ.get(ENV_OUT)
        if path and cls.functional is None:
            cls.functional = functional = Functional()
            atexit.register(lambda: Path(path).write_text(json.dumps(functional.counts) + "\n", encoding="utf-8"))
        return cls.functional


def hit(group: str, *values: str) -> None:
    """Count one bin of `groups.GROUPS`, for what is seen only inside a bench. Raises SpecError on another bin."""
    functional = _Recorder.get()
    if functional is not None:
        functional.hit(group, *values)


def observe(dut: Any, config: TsuConfig) -> None:
    """Follow `i_command`, `o_status` and, where there is one, `o_draw` of a TSU for the rest of the test.

    A TSU with contexts is not followed: the groups know neither its opcodes nor its beats.
    """
    functional = _Recorder.get()
    if functional is not None and not config.contexts:
        cocotb.start_soon(_follow(dut, TsuSampler(config, functional)))


async def _follow(dut: Any, sampler: TsuSampler) -> None:
    names = [name for name in ("i_command", "o_status", "o_draw") if hasattr(dut, f"{name}__valid")]
    ports = {name: tuple(getattr(dut, f"{name}__{part}") for part in ("valid", "ready", "payload")) for name in names}
    clock = RisingEdge(dut.clk)
    while True:
        await clock
        seen = {}
        for name, (valid, ready, payload) in ports.items():
            offered, wanted = valid.value == 1, ready.value == 1
            seen[name] = Handshake(offered, wanted, int(payload.value) if offered else 0)
        sampler.cycle(
            reset=dut.rst.value == 1,
            command=seen["i_command"],
            status=seen["o_status"],
            draw=seen.get("o_draw", IDLE),
        )
