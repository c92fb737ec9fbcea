"""Embeddings that are already on disk: which of them are taken, and what is refused."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from chameleon.common.errors import InputError
from chameleon.embeddings.from_disk import stored_embeddings
from chameleon.embeddings.store import (
    DomainEmbeddings,
    EmbeddingRecord,
    file_name,
    write_embeddings,
    write_record,
)

NOTHING_ASKED: Mapping[str, Any] = dict.fromkeys(
    ("dataset", "checkpoint_path", "sample_length", "seed", "dtype")
)
SETTINGS = {
    "dataset": "texts",
    "checkpoint_path": "proxy",
    "sample_length": 32,
    "seed": 0,
    "dtype": "float32",
}


def windows(n: int, available: int, size: float = 1.0) -> DomainEmbeddings:
    """n windows of width 3, row j all j times `size`."""
    rows = np.repeat(np.arange(n, dtype=np.float32)[:, None] * size, 3, axis=1)
    return DomainEmbeddings(rows, np.arange(n), np.arange(n), np.full(n, 32), available)


def store(
    directory: Path, written: str = "2025-01-01", size: float = 1.0, text: str = "x", **settings: object
) -> EmbeddingRecord:
    """A run of two domains, a with 6 of 9 windows and b with all its 4, of which 5 were asked for."""
    used = SETTINGS | settings
    files = {name: file_name(name, {"text": text, **used}) for name in "ab"}
    write_embeddings(directory / files["a"], "a", used, windows(6, 9, size))
    write_embeddings(directory / files["b"], "b", used, windows(4, 4, size))
    record = EmbeddingRecord("texts", used, 5, dict.fromkeys(files, 5), files, {}, {}, ("a notice",), written)
    write_record(directory, record)
    return record


@pytest.mark.parametrize(("asked", "lengths"), [(None, (5, 4)), (2, (2, 2)), (4, (4, 4)), (6, (6, 4))])
def test_as_many_windows_as_are_asked_for_or_as_the_last_run_used(
    tmp_path: Path, asked: int | None, lengths: tuple[int, int]
) -> None:
    record = store(tmp_path)
    embedded = stored_embeddings(tmp_path, NOTHING_ASKED, asked)
    assert embedded.record == record
    assert tuple(map(len, embedded.domains.values())) == lengths
    for stored in embedded.domains.values():
        np.testing.assert_array_equal(stored.embeddings[:, 0], np.arange(len(stored)))
        assert len(stored.positions) == len(stored.documents) == len(stored.tokens) == len(stored)


def test_windows_that_are_not_there_yet_are_told(tmp_path: Path) -> None:
    store(tmp_path)
    with pytest.raises(InputError, match=r"domain a has embeddings of 6 windows .* --num_samples is 7"):
        stored_embeddings(tmp_path, NOTHING_ASKED, 7)


def test_settings_asked_for_must_be_those_stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store(tmp_path)
    stored_embeddings(tmp_path, SETTINGS)
    for name, value in {"dataset": "other", "sample_length": 33, "seed": 1, "dtype": "bfloat16"}.items():
        with pytest.raises(InputError, match=f"--{name} {value} contradicts .* made with {name} "):
            stored_embeddings(tmp_path, {**NOTHING_ASKED, name: value})
    monkeypatch.chdir(tmp_path)
    for spelling in ("./texts", str(tmp_path / "texts"), "texts/", f"../{tmp_path.name}/texts"):
        assert stored_embeddings(tmp_path, {**NOTHING_ASKED, "dataset": spelling}).domains


def test_runs_with_other_settings_are_told_apart_by_flags(tmp_path: Path) -> None:
    for seed in (0, 1):
        store(tmp_path, seed=seed, size=1.0 + seed)
    with pytest.raises(InputError, match=r"holds 2 sets .*: --seed \d; --seed \d; name one by these flags"):
        stored_embeddings(tmp_path, NOTHING_ASKED)
    for seed in (0, 1):
        embedded = stored_embeddings(tmp_path, {**NOTHING_ASKED, "seed": seed})
        assert embedded.domains["a"].embeddings[1, 0] == 1.0 + seed


@pytest.mark.parametrize("order", [(1, 2, 3), (3, 1, 2), (2, 3, 1)])
def test_of_the_states_of_a_corpus_that_changed_the_newest_is_used_and_told(
    tmp_path: Path, order: tuple[int, ...]
) -> None:
    for state in order:
        store(tmp_path, written=f"2025-01-0{state}", text=str(state), size=state)
    embedded = stored_embeddings(tmp_path, NOTHING_ASKED)
    assert embedded.domains["a"].embeddings[1, 0] == 3
    notice = f"using the embeddings of 2025-01-03; {tmp_path} holds earlier states of the corpus too"
    assert embedded.record.notices == ("a notice", notice)


def test_a_single_state_is_used_without_a_word(tmp_path: Path) -> None:
    store(tmp_path)
    assert stored_embeddings(tmp_path, NOTHING_ASKED).record.notices == ("a notice",)


def test_a_directory_that_is_missing_or_empty_is_told(tmp_path: Path) -> None:
    for directory in (tmp_path / "none", tmp_path):
        with pytest.raises(InputError, match=r"there are no embeddings.*run once without --skip_embedding"):
            stored_embeddings(directory, NOTHING_ASKED)


PUBLISHED = [[3.0, 0.0], [1.0, 0.0], [3.0, 0.0], [2.0, 0.0]]


def test_published_files_lose_exact_duplicates_and_keep_their_order(tmp_path: Path) -> None:
    for name in "ab":
        torch.save(torch.tensor(PUBLISHED, dtype=torch.float16), tmp_path / f"{name}_embeddings.pt")
    embedded = stored_embeddings(tmp_path, NOTHING_ASKED)
    assert list(embedded.domains) == ["a", "b"]
    assert embedded.domains["a"].embeddings.tolist() == [[3, 0], [1, 0], [2, 0]]
    assert embedded.domains["a"].embeddings.dtype == np.float32
    assert stored_embeddings(tmp_path, NOTHING_ASKED, 2).domains["b"].embeddings.tolist() == [[3, 0], [1, 0]]


def test_published_files_of_parameters_are_read_sparse_ones_refused_and_few_windows_told(
    tmp_path: Path,
) -> None:
    for name in "ab":
        torch.save(torch.nn.Parameter(torch.tensor(PUBLISHED)), tmp_path / f"{name}_embeddings.pt")
    embedded = stored_embeddings(tmp_path, NOTHING_ASKED, 4)
    assert embedded.domains["a"].embeddings.tolist() == [[3, 0], [1, 0], [2, 0]]
    assert embedded.record.notices[1:] == tuple(f"{name} has only 3 windows: all are used" for name in "ab")
    torch.save(torch.tensor(PUBLISHED).to_sparse(), tmp_path / "b_embeddings.pt")
    with pytest.raises(InputError, match=r"b_embeddings\.pt: expected an"):
        stored_embeddings(tmp_path, NOTHING_ASKED)


def test_published_files_and_others_in_one_directory_are_refused(tmp_path: Path) -> None:
    store(tmp_path)
    torch.save(torch.tensor(PUBLISHED), tmp_path / "a_embeddings.pt")
    with pytest.raises(InputError, match=r"this program and of the published code \(a_embeddings.pt\)"):
        stored_embeddings(tmp_path, NOTHING_ASKED)


@pytest.mark.parametrize("name", NOTHING_ASKED)
def test_flags_that_published_files_cannot_confirm_are_refused(tmp_path: Path, name: str) -> None:
    torch.save(torch.tensor(PUBLISHED), tmp_path / "a_embeddings.pt")
    with pytest.raises(InputError, match=f"--{name} 7 cannot be compared with .*a_embeddings.pt"):
        stored_embeddings(tmp_path, {**NOTHING_ASKED, name: 7})


class Harmful:
    """Makes a directory when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("shape", [(), (3,), (0, 3), (3, 0), (2, 2, 2)])
def test_published_files_of_another_shape_are_refused(tmp_path: Path, shape: tuple[int, ...]) -> None:
    torch.save(torch.zeros(shape), tmp_path / "a_embeddings.pt")
    with pytest.raises(InputError, match=r"a_embeddings.pt: expected an \(n, d\) tensor .* got \("):
        stored_embeddings(tmp_path, NOTHING_ASKED)


def test_published_files_that_hold_something_else_are_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "a_embeddings.pt"
    torch.save({"x": torch.zeros(2, 2)}, path)
    with pytest.raises(InputError, match=r"expected an .* tensor of embeddings, got dict"):
        stored_embeddings(tmp_path, NOTHING_ASKED)
    torch.save(Harmful(tmp_path / "harm"), path)
    with pytest.raises(InputError, match="holds no plain tensor or is damaged"):
        stored_embeddings(tmp_path, NOTHING_ASKED)
    assert not (tmp_path / "harm").exists()
    for content in (b"", b"text", path.read_bytes()[:-40]):
        path.write_bytes(content)
        with pytest.raises(InputError, match="holds no plain tensor or is damaged"):
            stored_embeddings(tmp_path, NOTHING_ASKED)


def test_a_run_whose_file_is_gone_names_the_domain(tmp_path: Path) -> None:
    record = store(tmp_path)
    (tmp_path / record.files["b"]).unlink()
    with pytest.raises(InputError, match="the embeddings of domain b are missing"):
        stored_embeddings(tmp_path, NOTHING_ASKED)
