# SPDX-License-Identifier: Apache-2.0
"""The bench of all classes of psi with everything left out but K = 1."""

import random
from pathlib import Path

import cocotb

from sim.bench_file import load_module

_WHOLE = load_module(Path(__file__).parents[3] / "benches" / "bench_tsu_classes.py")
_WHOLE.CONFIGS["crippled"] = _WHOLE.CONFIGS["exp2"].with_fields(level_stages=1)
TOPLEVELS = {"crippled": lambda: _WHOLE.TsuCore(config=_WHOLE.CONFIGS["crippled"])}


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def one_id_only(dut):
    bench, rng = await _WHOLE.started(dut), random.Random(1)
    for vocab, share in ((1, 0.0), (9, 0.0), (9, 0.004), (9, 0.3), (9, 0.8)):
        psi = _WHOLE.psi_of(rng, [0], vocab, nats=0.02, span=0, share=share)
        await bench.check(psi, 40, "exp2", f"V = {vocab}, tail {share}")
