"""Atomic writes, checks before writing, and digests."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chameleon.common.errors import InputError
from chameleon.common.files import check_writable, digest_of_files, digest_of_json, write_atomically

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)
seeded = settings(derandomize=True, deadline=None, max_examples=30)


@pytest.fixture(params=[0o022, 0o077, 0o002])
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    mask: int = request.param
    before = os.umask(mask)
    yield mask
    os.umask(before)


@pytest.mark.parametrize("content", [b"", b"text\n", bytes(range(256)) * 5000])
def test_content_is_written_unchanged_and_nothing_else(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "odd näme .txt"
    write_atomically(path, content)
    assert path.read_bytes() == content
    write_atomically(path, b"other")
    assert path.read_bytes() == b"other"
    assert list(tmp_path.iterdir()) == [path]


def test_missing_directories_are_created(tmp_path: Path) -> None:
    write_atomically(tmp_path / "a" / "b" / "c", b"x")
    assert (tmp_path / "a" / "b" / "c").read_bytes() == b"x"


def test_permissions_follow_the_umask(tmp_path: Path, umask: int) -> None:
    write_atomically(tmp_path / "file", b"x")
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o666 & ~umask
    before = os.umask(umask)
    assert before == umask


def test_the_old_file_is_intact_until_the_new_one_is_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    seen: list[list[bytes]] = []
    monkeypatch.setattr(
        os, "fsync", lambda _: seen.append([p.read_bytes() for p in sorted(tmp_path.iterdir())])
    )
    write_atomically(path, b"new")
    assert seen == [[b"new", b"old"]]  # the temporary name begins with a dot
    assert path.read_bytes() == b"new"


@pytest.mark.parametrize("existing", [True, False])
@pytest.mark.parametrize("step", ["fsync", "chmod", "replace"])
def test_a_write_that_fails_half_way_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, existing: bool
) -> None:
    path = tmp_path / "file"
    if existing:
        path.write_bytes(b"old")

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os if step == "fsync" else Path, step, fail)
    with pytest.raises(InputError, match=r"cannot write .*file: No space left on device"):
        write_atomically(path, b"new")
    assert [p.read_bytes() for p in tmp_path.iterdir()] == [b"old"] * existing


def test_an_interrupt_half_way_propagates_and_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")

    def interrupt(_: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_atomically(path, b"new")
    assert [p.read_bytes() for p in tmp_path.iterdir()] == [b"old"]


def test_a_file_or_directory_in_the_way_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"kept")
    with pytest.raises(InputError, match=r"cannot write .*file/inner: File exists"):
        write_atomically(tmp_path / "file" / "inner", b"x")
    with pytest.raises(InputError, match=r"cannot write .*file/deep/inner: Not a directory"):
        write_atomically(tmp_path / "file" / "deep" / "inner", b"x")
    (tmp_path / "directory").mkdir()
    with pytest.raises(InputError, match=r"cannot write .*directory: Is a directory"):
        write_atomically(tmp_path / "directory", b"x")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["directory", "file"]
    assert (tmp_path / "file").read_bytes() == b"kept"


def test_check_writable_accepts_writable_paths_and_creates_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_bytes(b"kept")
    monkeypatch.chdir(tmp_path)
    for path in (Path("plain"), Path("new/deep/plain"), tmp_path / "file", tmp_path / "new" / "plain"):
        check_writable(path)
    assert [p.name for p in tmp_path.iterdir()] == ["file"]
    assert (tmp_path / "file").read_bytes() == b"kept"


def test_check_writable_reports_what_is_in_the_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=f"cannot write {tmp_path}: it is a directory; name a file"):
        check_writable(tmp_path)
    for inner in (Path("inner"), Path("deep/er/inner")):
        with pytest.raises(InputError, match=r"cannot write .*inner: .*/file is not a directory"):
            check_writable(tmp_path / "file" / inner)
    asked: list[Path] = []
    monkeypatch.setattr(os, "access", lambda path, _: asked.append(path))  # root may write everywhere
    with pytest.raises(InputError, match=f"cannot write .*: no permission to write in {tmp_path};"):
        check_writable(tmp_path / "new" / "deep" / "file")
    assert asked == [tmp_path]


@pytest.mark.parametrize("name", ["a" * 255, "é" * 127])
def test_the_longest_names_are_written(tmp_path: Path, name: str) -> None:
    check_writable(tmp_path / name)
    write_atomically(tmp_path / name, b"x")
    assert (tmp_path / name).read_bytes() == b"x"


@pytest.mark.parametrize("name", ["a" * 256, "é" * 128, "new/" + "a" * 256, "a" * 300 + "/file"])
def test_names_too_long_for_a_file_are_refused_before_and_while_writing(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match=r"cannot write .*: a name in it is over 255 bytes; shorten it"):
        check_writable(tmp_path / name)
    with pytest.raises(InputError, match=r"cannot write .*: File name too long"):
        write_atomically(tmp_path / name, b"x")


def test_a_symbolic_link_is_followed_and_stays_one(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    real, link, dangling = tmp_path / "elsewhere" / "real", tmp_path / "link", tmp_path / "dangling"
    real.write_bytes(b"old")
    link.symlink_to(real)
    dangling.symlink_to(tmp_path / "new" / "file")
    for path in (link, dangling):
        check_writable(path)
        write_atomically(path, b"new")
        assert path.is_symlink()
        assert path.read_bytes() == b"new"
    assert [path.name for path in real.parent.iterdir()] == ["real"]
    (tmp_path / "to directory").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(InputError, match="it is a directory"):
        check_writable(tmp_path / "to directory")


def test_links_in_a_circle_are_reported(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    with pytest.raises(InputError, match=r"cannot write .*a/file: "):
        check_writable(tmp_path / "a" / "file")
    with pytest.raises(InputError, match=r"cannot write .*a/file: "):
        write_atomically(tmp_path / "a" / "file", b"x")


def test_devices_and_pipes_are_written_directly(tmp_path: Path) -> None:
    check_writable(Path(os.devnull))
    write_atomically(Path(os.devnull), b"x")
    assert Path(os.devnull).is_char_device()
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        check_writable(pipe)
        write_atomically(pipe, b"through")
        assert os.read(reader, 100) == b"through"
    finally:
        os.close(reader)
    assert pipe.is_fifo()


def test_digest_of_files_depends_on_content_names_and_order_but_not_on_the_directory(tmp_path: Path) -> None:
    def files(place: str, **content: str) -> list[Path]:
        (tmp_path / place).mkdir()
        for name, text in content.items():
            (tmp_path / place / name).write_text(text)
        return [tmp_path / place / name for name in content]

    first = files("1", a="x", b="y")
    others = [first[::-1], first[:1], files("2", a="x", c="y"), files("3", a="x", b="z"),
              files("4", a="y", b="x"), files("5", a="xb", b="y"), files("6", ab="xy"), []]  # fmt: skip
    digests = [digest_of_files(paths) for paths in (first, *others)]
    assert len(set(digests)) == len(digests)
    assert digest_of_files(files("7", a="x", b="y")) == digests[0]
    assert len(digests[0]) == 64


@seeded
@given(st.dictionaries(st.text(), json_values, min_size=2, max_size=6), st.randoms(use_true_random=False))
def test_digest_of_json_does_not_depend_on_the_order_of_keys(value: dict[str, Any], rng: Any) -> None:  # noqa: ANN401
    keys = list(value)
    rng.shuffle(keys)
    assert digest_of_json({"outer": value}) == digest_of_json({"outer": {key: value[key] for key in keys}})
    assert digest_of_json(value) != digest_of_json({key: value[key] for key in keys[1:]})


@pytest.mark.parametrize(
    ("one", "other"),
    [({"a": 1}, {"a": "1"}), ({"a": 1}, {"a": True}), ({"a": None}, {}), ([1, 2], [2, 1]),
     ({"a": 1}, {"b": 1}), ([1, 23], [12, 3]),
     ("é", "e\u0301"), ([[1], 2], [1, [2]]), ({"a": {"b": 1}}, {"b": {"a": 1}})],
)  # fmt: skip
def test_digest_of_json_differs_between_values(one: Any, other: Any) -> None:  # noqa: ANN401
    assert digest_of_json(one) != digest_of_json(other)
