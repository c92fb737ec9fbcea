"""From windows to files: what is computed when, and what is left after a fault."""

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
import pytest
import torch
from conftest import opened
from engine_helpers import options_for

from chameleon.common.errors import InputError
from chameleon.embeddings.keys import keys_of
from chameleon.embeddings.load_proxy import LoadedProxy, identity_of
from chameleon.embeddings.open_corpus import OpenCorpus
from chameleon.embeddings.pieces import Pieces
from chameleon.embeddings.store import DomainEmbeddings, read_embeddings
from chameleon.embeddings.workers.connect import serial_scheduler
from chameleon.embeddings.workers.scheduler import PieceScheduler
from chameleon.proxy.model import Proxy, load_proxy
from chameleon.proxy.tokenizer import ProxyTokenizer, load_tokenizer
from chameleon.text.corpora import Domain
from chameleon.text.grid import Grid, WindowRecipe, lay_grid
from chameleon.text.windows import PendingWindows, pending_windows

WINDOWS = WindowRecipe(seed=0, sample_length=32)
CUT = "chameleon.embeddings.workers.worker.pending_windows"


@pytest.fixture(scope="module")
def tokenizer(checkpoint: Path) -> ProxyTokenizer:
    return load_tokenizer(checkpoint)


@pytest.fixture(scope="module")
def proxy(checkpoint: Path) -> Proxy:
    return load_proxy(checkpoint, torch.device("cpu"), torch.float32)


class Setting:
    """A corpus, a proxy whose forward passes are counted, and a directory."""

    def __init__(
        self, path: Path, checkpoint: Path, tokenizer: ProxyTokenizer, proxy: Proxy, directory: Path
    ) -> None:
        self.path, self.checkpoint, self.corpus = path, checkpoint, opened(path)
        self.tokenizer, self.proxy, self.directory = tokenizer, proxy, directory
        self.embedded_windows = 0
        self.fail_at: int | None = None
        self.failure: BaseException = KeyboardInterrupt()
        self.notes: list[str] = []

    @contextmanager
    def scheduler(self, batch_size: int = 4) -> Iterator[tuple[Pieces, PieceScheduler]]:
        """The directory, and what fills it by this process."""
        options = options_for(self.path, self.checkpoint, self.directory, embedding_batch_size=batch_size)
        corpus = OpenCorpus(options, str(self.path), "tiny", self.corpus, self.corpus, (), WINDOWS)
        loaded = LoadedProxy(corpus, self.checkpoint, self.tokenizer, self.proxy)
        pieces = Pieces(self.directory)
        with serial_scheduler(loaded, pieces, self.notes.append) as (_, scheduler):
            yield pieces, scheduler

    def run(self, n: int, batch_size: int = 4) -> dict[str, DomainEmbeddings]:
        """Embed n windows of each domain; all that is stored then."""
        with self.scheduler(batch_size) as (pieces, scheduler):
            scheduler.fill(dict.fromkeys(scheduler.keys, n))
            stored = {name: pieces.stored(key) for name, key in scheduler.keys.items()}
        return {name: each for name, each in stored.items() if each is not None}


@pytest.fixture
def setting(
    corpus_directory: Path,
    checkpoint: Path,
    tokenizer: ProxyTokenizer,
    proxy: Proxy,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Setting:
    setting = Setting(corpus_directory, checkpoint, tokenizer, proxy, tmp_path)
    real = Proxy.embed

    def counted(self: Proxy, tokens: np.ndarray, lengths: np.ndarray) -> torch.Tensor:
        if setting.fail_at is not None and setting.embedded_windows + len(tokens) > setting.fail_at:
            raise setting.failure
        setting.embedded_windows += len(tokens)
        return real(self, tokens, lengths)

    monkeypatch.setattr(Proxy, "embed", counted)
    return setting


def test_more_windows_cost_the_difference_and_equal_those_embedded_at_once(
    setting: Setting, tmp_path: Path
) -> None:
    setting.run(6)
    assert setting.embedded_windows == 3 * 6
    grown = setting.run(20)
    assert setting.embedded_windows == 3 * 20
    setting.directory = tmp_path / "at once"
    at_once = setting.run(20)
    for name, stored in at_once.items():
        np.testing.assert_allclose(grown[name].embeddings, stored.embeddings, rtol=1e-5, atol=1e-6)
        np.testing.assert_array_equal(grown[name].positions, stored.positions)
    fewer = setting.run(5)
    assert setting.embedded_windows == 3 * 40
    np.testing.assert_array_equal(fewer["law"].embeddings, at_once["law"].embeddings)  # all that is there


def test_the_batch_size_does_not_change_embeddings(setting: Setting, tmp_path: Path) -> None:
    one = setting.run(11, batch_size=1)
    setting.directory = tmp_path / "other"
    other = setting.run(11, batch_size=7)
    for name in one:
        np.testing.assert_allclose(one[name].embeddings, other[name].embeddings, rtol=1e-5, atol=1e-6)


def test_all_that_may_change_embeddings_names_their_file_and_nothing_else(
    setting: Setting, tokenizer: ProxyTokenizer, proxy: Proxy
) -> None:
    domain = setting.corpus.domains[0]

    def file(
        domain: Domain = domain,
        tokenizer: ProxyTokenizer = tokenizer,
        proxy: Proxy = proxy,
        windows: WindowRecipe = WINDOWS,
    ) -> str:
        return keys_of([domain], identity_of(tokenizer, proxy), windows)[domain.name]

    changed = [
        file(domain=dataclasses.replace(domain, text=setting.corpus.domains[1].text)),
        file(domain=dataclasses.replace(domain, version="other")),
        file(domain=dataclasses.replace(domain, name="other")),
        file(tokenizer=dataclasses.replace(tokenizer, digest="other")),
        file(proxy=dataclasses.replace(proxy, digest="other")),
        file(proxy=dataclasses.replace(proxy, block=7)),
        file(proxy=dataclasses.replace(proxy, dtype=torch.bfloat16)),
        file(windows=dataclasses.replace(WINDOWS, seed=1)),
        file(windows=dataclasses.replace(WINDOWS, sample_length=31)),
    ]
    assert len({file(), *changed}) == 1 + len(changed)
    assert file() == file(proxy=dataclasses.replace(proxy, device=torch.device("meta")))


def test_an_interrupt_keeps_what_was_embedded_and_the_next_run_goes_on(setting: Setting) -> None:
    setting.fail_at = 185
    with pytest.raises(KeyboardInterrupt):
        setting.run(100)
    files = [read_embeddings(path) for path in sorted(setting.directory.glob("*.safetensors"))]
    stored = sum(map(len, files))
    assert stored == 164  # a domain, and of another a chunk of 16 batches; of the next the batches are lost
    setting.fail_at, before = None, setting.embedded_windows
    setting.run(100)
    assert setting.embedded_windows - before == 300 - stored


def test_windows_of_the_next_domain_are_cut_while_one_is_embedded(
    setting: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut: dict[Any, Event] = {domain.text: Event() for domain in setting.corpus.domains}
    counted = Proxy.embed
    cut_meanwhile = []

    def cutting(grid: Grid, *arguments: Any) -> Iterator[PendingWindows]:  # noqa: ANN401
        for draft in pending_windows(grid, *arguments):
            cut[grid.text].set()
            yield draft

    def waiting(self: Proxy, tokens: np.ndarray, lengths: np.ndarray) -> torch.Tensor:
        cut_meanwhile.append([event.wait(600) for event in list(cut.values())[:2]])
        return counted(self, tokens, lengths)

    monkeypatch.setattr(CUT, cutting)
    monkeypatch.setattr(Proxy, "embed", waiting)
    setting.run(4)
    assert cut_meanwhile == [[True, True]] * 3


def test_a_fault_while_windows_are_cut_comes_as_it_is_and_keeps_what_was_embedded(
    setting: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    law = next(domain.text for domain in setting.corpus.domains if domain.name == "law")

    def cutting(grid: Grid, *arguments: Any) -> Iterator[PendingWindows]:  # noqa: ANN401
        if grid.text is law:
            raise InputError("the text changed while it was read")
        return pending_windows(grid, *arguments)

    monkeypatch.setattr(CUT, cutting)
    with pytest.raises(InputError, match="domain law: the text changed while it was read"):
        setting.run(20)
    lengths = [len(read_embeddings(path)) for path in setting.directory.glob("*.safetensors")]
    assert lengths == [20, 20]


def test_a_run_does_not_replace_more_windows_of_another_by_fewer(
    setting: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted = Proxy.embed

    def interrupted_by_another_run(self: Proxy, tokens: np.ndarray, lengths: np.ndarray) -> torch.Tensor:
        monkeypatch.setattr(Proxy, "embed", counted)
        assert {len(stored) for stored in setting.run(20).values()} == {20}
        return counted(self, tokens, lengths)

    monkeypatch.setattr(Proxy, "embed", interrupted_by_another_run)
    setting.run(6)
    assert setting.embedded_windows == 3 * (20 + 6)
    assert [len(read_embeddings(path)) for path in setting.directory.glob("*.safetensors")] == [20] * 3


def test_out_of_memory_halves_the_batch_and_goes_on(
    setting: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted = Proxy.embed

    def small(self: Proxy, tokens: np.ndarray, lengths: np.ndarray) -> torch.Tensor:
        if len(tokens) > 3:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return counted(self, tokens, lengths)

    monkeypatch.setattr(Proxy, "embed", small)
    embedded = setting.run(10, batch_size=8)
    assert {name: len(stored) for name, stored in embedded.items()} == {"code": 10, "cooking": 10, "law": 10}
    assert setting.notes == [
        "out of memory: continuing with batches of 4 windows",
        "out of memory: continuing with batches of 2 windows",
    ]


def test_memory_for_no_window_at_all_is_an_error(setting: Setting) -> None:
    setting.fail_at, setting.failure = 0, RuntimeError("DefaultCPUAllocator: can't allocate memory")
    with pytest.raises(InputError, match="not enough memory on cpu for one window of 32 tokens"):
        setting.run(4)


def test_other_faults_of_the_device_are_raised_as_they_are(setting: Setting) -> None:
    setting.fail_at, setting.failure = 0, RuntimeError("device-side assert")
    with pytest.raises(RuntimeError, match="device-side assert"):
        setting.run(4)


def test_an_embedding_that_is_not_finite_is_named(setting: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    counted = Proxy.embed

    def broken(self: Proxy, tokens: np.ndarray, lengths: np.ndarray) -> torch.Tensor:
        rows = counted(self, tokens, lengths).clone()
        if setting.embedded_windows > 12:
            rows[1, 3] = torch.nan
        return rows

    monkeypatch.setattr(Proxy, "embed", broken)
    with pytest.raises(
        InputError, match="domain cooking: the embedding of window 1 is not finite in float32"
    ):
        setting.run(12)


def test_a_window_that_is_not_finite_has_its_own_number_also_when_others_are_stored(
    setting: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    setting.run(5)
    broken = torch.full((1, setting.proxy.width), torch.inf)
    monkeypatch.setattr(Proxy, "embed", lambda self, tokens, lengths: broken.expand(len(tokens), -1))
    with pytest.raises(InputError, match="domain code: the embedding of window 5 is not finite"):
        setting.run(40, batch_size=1)


def test_a_tokenizer_of_another_model_is_an_error(setting: Setting) -> None:
    setting.proxy = dataclasses.replace(setting.proxy, vocabulary=20)
    with pytest.raises(InputError, match=r"tokenizer gives token \d+, but the proxy's vocabulary has 20"):
        setting.run(4)
    assert setting.embedded_windows == 0


def test_a_domain_with_fewer_windows_gives_all_it_has(setting: Setting) -> None:
    available = {
        domain.name: lay_grid(domain.text, setting.tokenizer, WINDOWS).num_windows
        for domain in setting.corpus.domains
    }
    embedded = setting.run(10**9, batch_size=64)
    assert {name: len(stored) for name, stored in embedded.items()} == available
    assert {name: stored.available for name, stored in embedded.items()} == available
