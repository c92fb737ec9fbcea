"""Pieces of domains in files: how they are joined, and what is refused."""

from pathlib import Path

import numpy as np
import pytest
from engine_helpers import make_piece, require_same

from chameleon.common.errors import InputError
from chameleon.embeddings.pieces import CannotWriteError, Pieces, write_pieces
from chameleon.embeddings.store import read_embeddings, write_embeddings


def test_pieces_are_joined_as_far_as_they_go(tmp_path: Path) -> None:
    write_pieces(tmp_path, [make_piece("a", 0, 16, 16), make_piece("b", 0, 3, 5)])
    write_pieces(tmp_path, [make_piece("a", 32, 16, 48)])
    pieces = Pieces(tmp_path)
    stored = pieces.stored("a")
    assert stored is not None
    assert (len(stored), stored.next_visit, stored.available) == (16, 16, 90)
    assert pieces.extent("a") == (16, 16, 90)
    write_pieces(tmp_path, [make_piece("a", 16, 15, 32), make_piece("a", 48, 0, 100)])
    pieces.look()
    stored = pieces.stored("a")
    assert stored is not None
    # Its end is reached: so many windows it has.
    assert (len(stored), stored.next_visit, stored.available) == (47, 100, 47)
    assert stored.positions.tolist() == [*range(31), *range(32, 48)]
    assert stored.examples == ("text",)
    assert pieces.extent("a") == (47, 100, 47)
    assert pieces.extent("none") is None
    assert pieces.has("a", 0, 16, 32)
    assert pieces.has("a", 16, 20, 30)
    assert not pieces.has("a", 17, 20, 30)  # not joined from there on
    assert not pieces.has("a", 0, 16, 33)
    # Joined into a file of their own, so far as the domain is asked for.
    pieces.fold({"a": ("d", {})})
    assert len(read_embeddings(tmp_path / "a")) == 47
    assert len(list(tmp_path.glob("*.pieces.safetensors"))) == 1  # the one that holds b too
    pieces.fold({"a": ("d", {}), "b": ("d", {})})
    assert not list(tmp_path.glob("*.pieces.safetensors"))
    require_same(read_embeddings(tmp_path / "a"), stored)


def test_pieces_in_memory_are_joined_to_the_file_of_their_domain_alone(tmp_path: Path) -> None:
    pieces = Pieces(tmp_path)
    pieces.hold([make_piece("a", 0, 16, 16), make_piece("a", 16, 16, 32), make_piece("a", 48, 16, 64)])
    assert pieces.extent("a") == (32, 32, 90)
    pieces.fold({"a": ("d", {})})
    pieces.hold([make_piece("a", 32, 0, 48)])  # visits to places without text
    pieces.fold({"a": ("d", {})})
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert (len(read_embeddings(tmp_path / "a")), pieces.extent("a")) == (48, (48, 64, 90))
    assert not pieces.has("a", 0, 0, 16)  # it does not stay in memory
    pieces.hold([make_piece("a", 64, 0, 100)])
    pieces.fold({"a": ("d", {})})
    assert Pieces(tmp_path).extent("a") == (48, 100, 48)


def test_more_windows_that_another_run_wrote_meanwhile_stay(tmp_path: Path) -> None:
    pieces = Pieces(tmp_path)
    pieces.hold([make_piece("a", 0, 16, 16)])
    more = make_piece("a", 0, 20, 20).stored
    write_embeddings(tmp_path / "a", "d", {}, more)
    pieces.fold({"a": ("d", {})})
    np.testing.assert_array_equal(read_embeddings(tmp_path / "a").embeddings, more.embeddings)


def test_damaged_pieces_are_refused(tmp_path: Path) -> None:
    path = write_pieces(tmp_path, [make_piece("a", 0, 16, 16)])
    path.write_bytes(path.read_bytes()[:-7])
    with pytest.raises(InputError, match=r"is truncated or damaged .*; delete it"):
        Pieces(tmp_path)


def test_a_directory_that_cannot_be_written_to_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(CannotWriteError, match="cannot write"):
        write_pieces(tmp_path / "file", [make_piece("a", 0, 1, 1)])
