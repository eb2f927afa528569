# SPDX-License-Identifier: Apache-2.0
"""The bench of the candidate filter with most of it left out: five tail tokens, and no candidate in the tail."""

from pathlib import Path

import cocotb

from sim.bench_file import load_module

_WHOLE = load_module(Path(__file__).parents[3] / "benches" / "bench_candidate_filter.py")
TOPLEVELS = {"crippled": _WHOLE.TOPLEVELS["small-1"]}
_WHOLE.CONFIGS["crippled"] = _WHOLE.CONFIGS["small-1"]


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def heads_of_one_psi(dut):
    await _WHOLE.started(dut)
    psi = _WHOLE.Psi(head=30, tail=20, n=5)
    await _WHOLE.check(dut, psi, [(u, 63) for u in range(psi.c * psi.head)])
