"""Fingerprints of files: of all of small ones, of a part and the modification time of large ones."""

import dataclasses
import os
import random
from pathlib import Path

import pytest
from conftest import opened, write_jsonl

from chameleon.text.corpora.storage import File, files_at, fingerprint


@pytest.fixture
def large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that is too large to be read whole."""
    monkeypatch.setattr("chameleon.text.corpora.storage.WHOLE_BYTES", 1000)
    path = tmp_path / "x.txt"
    path.write_bytes(random.Random(0).randbytes(2_000_000))
    return path


def test_small_files_differ_by_every_byte_and_not_by_their_time(tmp_path: Path) -> None:
    path = tmp_path / "x.txt"
    path.write_bytes(b"a" * 100_000)
    before = fingerprint(files_at(str(path)))
    os.utime(path, (1, 1))
    assert fingerprint(files_at(str(path))) == before
    path.write_bytes(b"a" * 50_000 + b"b" + b"a" * 49_999)
    assert fingerprint(files_at(str(path)))[0] != before[0]
    assert before[1] == ""


def test_large_files_differ_by_stretches_and_their_time(large: Path) -> None:
    content = large.read_bytes()
    before = fingerprint(files_at(str(large)))
    os.utime(large, (1, 1))
    touched = fingerprint(files_at(str(large)))
    assert touched[0] == before[0]  # the same on another machine
    assert touched[1] != before[1]
    for at in (0, len(content) - 1):
        large.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
        assert fingerprint(files_at(str(large)))[0] != before[0]
    large.write_bytes(content + b"x")
    assert fingerprint(files_at(str(large)))[0] != before[0]


def test_remote_files_differ_by_size_and_version() -> None:
    file = File("http://x/y", 5, "etag", "http://x/y", filesystem=object())
    prints = [
        fingerprint([each])[0]
        for each in (file, dataclasses.replace(file, size=6), dataclasses.replace(file, version="other"))
    ]
    assert len(set(prints)) == 3


def test_a_large_domain_that_changes_has_embeddings_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("storage", "formats"):
        monkeypatch.setattr(f"chameleon.text.corpora.{module}.WHOLE_BYTES", 0)
    for name in ("a", "b"):
        write_jsonl(tmp_path / f"{name}.jsonl", ["text"] * 100)
    before = opened(tmp_path).domains[0]
    os.utime(tmp_path / "a.jsonl", (1, 1))
    after = opened(tmp_path).domains[0]
    assert (after.text.fingerprint, after.version) != (before.text.fingerprint, before.version)
    assert after.text.fingerprint == before.text.fingerprint
