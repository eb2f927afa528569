# SPDX-License-Identifier: Apache-2.0
from pathlib import Path

from hw.docgen import BEGIN, rewrite
from hw.link.docs import RENDERERS
from hw.spec.frames import FrameType, LinkError

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "link.md"


def test_page_is_current():
    text = PAGE.read_text(encoding="utf-8")
    assert {marker.group(1) for marker in BEGIN.finditer(text)} == set(RENDERERS)
    assert rewrite(text, RENDERERS) == text


def test_every_type_and_error_is_in_the_page():
    text = PAGE.read_text(encoding="utf-8")
    for member in (*FrameType, *LinkError):
        assert f"`{member.name}`" in text


def test_a_stale_table_is_noticed():
    text = PAGE.read_text(encoding="utf-8")
    assert rewrite(text.replace("`RESEND`", "`RESENT`"), RENDERERS) == text
