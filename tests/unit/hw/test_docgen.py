# SPDX-License-Identifier: Apache-2.0
from pathlib import Path

import pytest
from typer.testing import CliRunner

from hw.docgen import main, renderers, rewrite, stale_documents
from hw.spec import commands, markdown, psi_layout
from hw.spec.config import PRESETS
from hw.spec.errors import SpecError
from hw.testplan import PLAN_FILE, PlanRow, missing_tests, read_plan

ROOT = Path(__file__).parents[3]

TEXT = "before\n<!-- generated:noise -->\nold\n<!-- /generated -->\nafter\n"


def test_checkout_is_up_to_date() -> None:
    assert [str(path.relative_to(ROOT)) for path in stale_documents(ROOT)] == []


def test_every_table_is_shown_somewhere() -> None:
    text = "".join(path.read_text() for path in (ROOT / "docs").rglob("*.md"))
    assert [name for name in renderers(ROOT) if f"<!-- generated:{name} -->" not in text] == []


def test_rewrite_replaces_only_what_stands_between_markers() -> None:
    new = rewrite(TEXT, {"noise": lambda: "fresh\n"})
    assert new == "before\n<!-- generated:noise -->\n\nfresh\n\n<!-- /generated -->\nafter\n"
    assert rewrite(new, {"noise": lambda: "fresh\n"}) == new


def test_rewrite_fills_empty_and_neighbouring_parts() -> None:
    text = "<!-- generated:a -->\n<!-- /generated -->\n<!-- generated:b -->\n<!-- /generated -->"
    new = rewrite(text, {"a": lambda: "A\n", "b": lambda: "B\n"})
    assert (
        new.split() == "<!-- generated:a --> A <!-- /generated --> <!-- generated:b --> B <!-- /generated -->".split()
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("<!-- generated:nothing -->\n<!-- /generated -->\n", "generated = 'nothing' is not legal"),
        ("<!-- generated:noise -->\n", "a marker that is closed"),
        ("<!-- generated:noise -->\n<!-- generated:noise -->\n<!-- /generated -->\n", "a marker that is closed"),
    ],
)
def test_rewrite_refuses_bad_markers(text: str, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        rewrite(text, {"noise": lambda: "fresh\n"})


def checkout(tmp_path: Path) -> Path:
    (tmp_path / "docs").mkdir()
    (tmp_path / "README.md").write_text(TEXT)
    return tmp_path


def run_main(*arguments: str) -> tuple[int, str]:
    import typer

    app = typer.Typer()
    app.command()(main)
    result = CliRunner().invoke(app, arguments)
    return result.exit_code, result.output


def test_check_fails_on_a_stale_document_and_writes_nothing(tmp_path: Path) -> None:
    root = checkout(tmp_path)
    assert run_main("--check", "--root", str(root)) == (1, "stale: README.md (run `make docs`)\n")
    assert (root / "README.md").read_text() == TEXT


def test_run_makes_the_check_pass(tmp_path: Path) -> None:
    root = checkout(tmp_path)
    assert run_main("--root", str(root)) == (0, "wrote README.md\n")
    assert "| `xoshiro128pp` | 128 |" in (root / "README.md").read_text()
    assert run_main("--check", "--root", str(root)) == (0, "")


def test_command_line_refuses_a_folder_that_is_no_checkout(tmp_path: Path) -> None:
    status, output = run_main("--root", str(tmp_path / "none"))
    assert status == 2
    assert "expected a checkout" in output


def rows_of(text: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in text.splitlines() if line[:1] == "|"]


def test_presets_table_shows_the_widths_of_the_contract() -> None:
    rows = {row[0]: row[1:] for row in rows_of(markdown.presets_table())}
    names = [name.strip("`") for name in rows["field"]]
    assert names == list(PRESETS)
    sim = names.index("sim")
    # docs/DESIGN_TSD.md section 3: B = W + headroom, U = B + G; with W = 48, headroom 8, G = 8.
    assert (rows["total_bits (derived)"][sim], rows["uniform_bits (derived)"][sim]) == ("56", "64")
    assert all(len(identity) == 16 for identity in rows["SPEC_ID"])


def test_command_rows_place_fields_where_put_field_writes_them() -> None:
    for row in rows_of(markdown.commands_table()):
        name = row[2].strip("`") if len(row) == 4 else ""
        if name in commands.LOAD_FIELDS:
            words = [0] * commands.LOAD_HEADER_WORDS
            field = commands.LOAD_FIELDS[name]
            commands.put_field(words, commands.LOAD_FIELDS, name, (1 << field.width) - 1)
            first = int(row[0].split("-")[0])
            high, _, low = row[1].partition(":")
            ones = sum(word << (32 * i) for i, word in enumerate(words))
            assert ones == ((1 << (int(high) + 1)) - (1 << int(low or high))) << (32 * first)


def test_status_table_has_every_status_once() -> None:
    codes = [row[0] for row in rows_of(markdown.status_table())[2:]]
    assert codes == [str(status.value) for status in commands.Status]


def test_psi_table_covers_the_header_without_gaps() -> None:
    rows = [row for row in rows_of(markdown.psi_table()) if len(row) == 6 and row[0].isdigit()]
    end = 0
    for row in rows:
        assert int(row[0]) == end
        end += int(row[1])
    assert end == psi_layout.PSI_HEADER_BYTES


def test_table_escapes_bars() -> None:
    assert markdown.table(["a"], [["x|y"]]) == "| a |\n| --- |\n| x\\|y |\n"


def plan(tmp_path: Path, body: str) -> Path:
    path = tmp_path / PLAN_FILE
    path.parent.mkdir(parents=True)
    path.write_text(body)
    return tmp_path


ROW = '[[row]]\nid = "{id}"\nrequirement = "r"\nstage = "{stage}"\ntests = [{tests}]\n'


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ('[[row]]\nid = "A"\n', "the fields id, requirement, stage, tests"),
        (ROW.format(id="A", stage="none", tests='"t::f"'), "stage of A = 'none'"),
        (ROW.format(id="A", stage="unit", tests=""), "at least one test"),
        (2 * ROW.format(id="A", stage="unit", tests='"t::f"'), "an id that occurs once"),
    ],
)
def test_read_plan_refuses_bad_rows(tmp_path: Path, body: str, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        read_plan(plan(tmp_path, body))


def test_missing_tests_finds_functions_and_files_that_do_not_exist(tmp_path: Path) -> None:
    (tmp_path / "test_a.py").write_text("def test_here():\n    pass\n\nasync def bench_here():\n    pass\n")
    names = ("test_a.py::test_here", "test_a.py::bench_here", "test_a.py::test_gone", "test_b.py::test_here")
    assert missing_tests([PlanRow("A", "r", "unit", names)], tmp_path) == list(names[2:])
