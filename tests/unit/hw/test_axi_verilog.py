# SPDX-License-Identifier: Apache-2.0
"""`python -m hw.axi`: the ports of the module it writes, and one line for every error."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from hw.axi.__main__ import main
from hw.axi.axi_stream import axi_stream_layout
from hw.spec.config import TsuConfig
from hw.spec.digest import spec_id
from hw.spec.errors import SpecError

ROOT = Path(__file__).parents[3]
TINY = ("--preset", "tiny", "--set", "lanes=2")

# Names and widths of the AMBA AXI4-Lite and AXI4-Stream specifications, for 32-bit registers and two lanes.
PORTS = {
    ("input", "aclk"): 1,
    ("input", "aresetn"): 1,
    ("output", "irq"): 1,
    **{("input", f"s_axil_a{channel}addr"): 32 for channel in "rw"},
    **{("input", f"s_axil_a{channel}prot"): 3 for channel in "rw"},
    **{("input", f"s_axil_{name}"): 1 for name in ("awvalid", "wvalid", "bready", "arvalid", "rready")},
    **{("output", f"s_axil_{name}"): 1 for name in ("awready", "wready", "bvalid", "arready", "rvalid")},
    ("input", "s_axil_wdata"): 32,
    ("input", "s_axil_wstrb"): 4,
    ("output", "s_axil_bresp"): 2,
    ("output", "s_axil_rdata"): 32,
    ("output", "s_axil_rresp"): 2,
    ("input", "s_axis_command_tdata"): 32,
    ("input", "s_axis_command_tlast"): 1,
    ("input", "s_axis_command_tvalid"): 1,
    ("output", "s_axis_command_tready"): 1,
    ("output", "m_axis_status_tdata"): 128,
    ("output", "m_axis_status_tkeep"): 16,
    ("output", "m_axis_status_tlast"): 1,
    ("output", "m_axis_status_tvalid"): 1,
    ("input", "m_axis_status_tready"): 1,
    ("output", "m_axis_draw_tdata"): 256,
    ("output", "m_axis_draw_tkeep"): 32,
    ("output", "m_axis_draw_tlast"): 1,
    ("output", "m_axis_draw_tuser"): 16,
    ("output", "m_axis_draw_tvalid"): 1,
    ("input", "m_axis_draw_tready"): 1,
}


def run(*arguments: str) -> tuple[int, str]:
    app = typer.Typer()
    app.command()(main)
    result = CliRunner().invoke(app, arguments)
    return result.exit_code, result.output


@pytest.fixture(scope="module")
def verilog(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What the command writes."""
    path = tmp_path_factory.mktemp("axi") / "tsu.v"
    status, output = run(*TINY, "--out", str(path))
    assert status == 0, output
    config = TsuConfig(k_max=4, vocab_max=16, weight_bits=5, headroom_bits=1, guard_bits=2, tail_noise_bits=5, lanes=2)
    assert output == f"wrote {path}: 2 lanes, SPEC_ID {spec_id(config):016x}\n"
    assert [entry.name for entry in path.parent.iterdir()] == ["tsu.v"]
    return path.read_text()


def test_ports_are_those_of_the_axi_specifications(verilog: str) -> None:
    body = re.search(r"^module tsu_axi\(.*?^endmodule", verilog, re.MULTILINE | re.DOTALL)
    assert body is not None
    found = {
        (direction, name): int(high or 0) + 1
        for direction, high, name in re.findall(r"^  (input|output) (?:\[(\d+):0\] )?(\w+);", body[0], re.MULTILINE)
    }
    assert found == PORTS


def test_clock_lists_its_buses(verilog: str) -> None:
    attribute = "ASSOCIATED_BUSIF s_axil:s_axis_command:m_axis_status:m_axis_draw, ASSOCIATED_RESET aresetn"
    assert f'(* X_INTERFACE_PARAMETER = "{attribute}" *)\n  input aclk;' in verilog
    assert '(* X_INTERFACE_PARAMETER = "POLARITY ACTIVE_LOW" *)\n  input aresetn;' in verilog


def test_verilog_names_no_source_file(verilog: str) -> None:
    assert str(ROOT) not in verilog
    assert ".py" not in verilog


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--preset", "none"), "error: preset = 'none' is not legal: expected one of sim, "),
        (("--set", "lanes=3"), "error: lanes = 3 is not legal: expected a power of two in [1, 64]"),
        (("--set", "width=3"), "error: set = 'width=3' is not legal: expected FIELD=VALUE with a field of k_max, "),
        (("--out", "{tmp}/none/tsu.v"), "is not legal: expected a file in a folder that exists"),
        (("--out", "{tmp}"), "is not legal: expected a file in a folder that exists"),
    ],
)
def test_bad_argument_is_one_line_and_status_2(arguments: tuple[str, ...], message: str, tmp_path: Path) -> None:
    out = () if "--out" in arguments else ("--out", str(tmp_path / "tsu.v"))
    status, output = run(*(argument.format(tmp=tmp_path) for argument in arguments), *out)
    assert status == 2
    assert message in output
    assert output.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_help_shows_an_example() -> None:
    command = [sys.executable, "-m", "hw.axi", "--help"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert "python -m hw.axi --out tsu.v" in done.stdout


@pytest.mark.parametrize(("byte_count", "user_bits"), [(0, 0), (1025, 0), (2, 17), (2, -1)])
def test_stream_refuses_widths(byte_count: int, user_bits: int) -> None:
    with pytest.raises(SpecError, match="is not legal"):
        axi_stream_layout(byte_count=byte_count, user_bits=user_bits)
