"""Embeds a corpus in rounds of windows, in this process or by the workers of an engine."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache, partial
from pathlib import Path
from typing import Any

from chameleon.common.command_line import Notify
from chameleon.common.errors import InputError
from chameleon.common.files import absolute_path, absolute_paths, check_writable, digest_of_json
from chameleon.common.libraries import loading_libraries, versions
from chameleon.embeddings.keys import POOLING, ProxyIdentity, keys_of
from chameleon.embeddings.open_corpus import OpenCorpus, open_run_corpus
from chameleon.embeddings.options import EmbeddingOptions, checkpoint_of
from chameleon.embeddings.pieces import Pieces, StoredDomains, are_many
from chameleon.embeddings.store import EmbeddedCorpus, EmbeddingRecord, write_record
from chameleon.embeddings.workers.connect import serial_scheduler, worker_scheduler
from chameleon.embeddings.workers.driver import Driver
from chameleon.embeddings.workers.local import embed_shard
from chameleon.embeddings.workers.scheduler import PieceScheduler
from chameleon.proxy.checkpoints import DEFAULT_CHECKPOINT, find_checkpoint
from chameleon.text.corpora import Corpus
from chameleon.text.windows import UNIT_STEP

# Domains with too few windows that are named one by one.
_NAMED = 10


def embed_corpus(
    options: EmbeddingOptions,
    first: int,
    more: Callable[[EmbeddedCorpus], Mapping[str, int]],
    notify: Notify,
    is_recorded: bool = True,
    driver: Driver | None = None,
) -> EmbeddedCorpus:
    """Embed the windows of a corpus that are not stored in the embeddings directory.

    Args:
        options: The options of the run.
        first: Windows of each domain in the first round.
        more: Gives for the embeddings so far the windows of each domain in the next round; none to stop.
        notify: Receives messages for the user.
        is_recorded: Whether a record is written by which the embeddings are found without the corpus.
        driver: Workers that were started before, if any were.

    Raises:
        InputError: Corpus or checkpoint cannot be opened or used, or the embeddings cannot be written.
    """
    notices: list[str] = []

    def notify_and_record(text: str) -> None:
        notices.append(text)
        notify(text)

    directory = options.embeddings_dir
    check_writable(directory / "domain.safetensors")
    pieces = Pieces(directory)
    with _open_scheduler(options, pieces, notify_and_record, driver) as (opened, identity, scheduler):
        keys = scheduler.keys
        wanted: Mapping[str, int] = dict.fromkeys(keys, first)
        record = _describe(opened, identity, keys, wanted, notices)
        if is_recorded and not (directory / record.name).exists():
            write_record(directory, record)  # by which embeddings are found after an interrupt
        while wanted:
            scheduler.fill(wanted)
            windows = {name: min(wanted[name], _windows_of(pieces, name, key)) for name, key in keys.items()}
            _warn_of_few(opened, windows, notify_and_record)
            record = _describe(opened, identity, keys, windows, notices)
            if is_recorded:
                write_record(directory, record)
            domains = StoredDomains(pieces, keys, windows)
            embedded = EmbeddedCorpus(record, domains if are_many(len(keys)) else dict(domains))
            wanted = more(embedded)
        left_out = keys_of(opened.removed, identity, opened.recipe).items()
        removed = {name: stored for name, key in left_out if (stored := pieces.stored(key)) is not None}
        return replace(embedded, removed=removed)


def embed_run_shard(options: EmbeddingOptions, notify: Notify) -> int:
    """Embed one of `num_shards` parts of the windows into pieces that a later run joins.

    Args:
        options: The options of the run, with num_shards, shard_index and num_samples.
        notify: Receives messages for the user.

    Returns:
        Windows that were embedded.

    Raises:
        InputError: See `embed_corpus`.
    """
    assert options.num_samples is not None
    assert options.num_shards is not None
    assert options.shard_index is not None
    check_writable(options.embeddings_dir / "domain.safetensors")
    if checkpoint_of(options) is None:
        raise InputError(
            f"--num_shards needs a proxy: name one by --checkpoint_path, or put one in {DEFAULT_CHECKPOINT}"
        )
    from chameleon.embeddings.load_proxy import load_run_proxy

    with load_run_proxy(options, notify) as loaded:
        return embed_shard(loaded, options.num_samples, options.num_shards, options.shard_index, notify)


@contextmanager
def _open_scheduler(
    options: EmbeddingOptions, pieces: Pieces, notify: Notify, driver: Driver | None
) -> Iterator[tuple[OpenCorpus, ProxyIdentity, PieceScheduler]]:
    """Open the corpus, and connect it to what embeds it: a process that drives workers loads no proxy."""
    checkpoint = checkpoint_of(options)
    is_serial = options.engine == "serial"
    if not is_serial and checkpoint is not None:
        path = find_checkpoint(checkpoint)  # fail before reading the corpus
        digest = partial(_tokenizer_digest, path, options.trust_remote_code)
        with (
            open_run_corpus(options, checkpoint, digest, notify) as opened,
            worker_scheduler(opened, path, pieces, notify, driver) as (identity, scheduler),
        ):
            yield opened, identity, scheduler
        return
    with loading_libraries():
        import torch

        from chameleon.embeddings.load_proxy import load_run_proxy

    # A stand-in for workers is trained here on the CPU, since they leave no memory on a GPU to others.
    runs_on = None if is_serial else (torch.device("cpu"), torch.float32)
    with load_run_proxy(options, notify, runs_on) as loaded:
        opened = loaded.opened
        connected = (
            serial_scheduler(loaded, pieces, notify)
            if is_serial
            else worker_scheduler(opened, loaded.path, pieces, notify)
        )
        with connected as (identity, scheduler):
            yield opened, identity, scheduler


@cache
def _tokenizer_digest(checkpoint: Path, trust_remote_code: bool) -> str:
    from chameleon.proxy.tokenizer import load_tokenizer

    return load_tokenizer(checkpoint, trust_remote_code).digest


def _windows_of(pieces: Pieces, domain: str, key: str) -> int:
    """Windows of a domain that are stored, at least one."""
    extent = pieces.extent(key)
    if extent is None or extent.windows == 0:
        raise InputError(f"domain {domain}: no text in it; remove what is empty, or add text")
    return extent.windows


def _warn_of_few(opened: OpenCorpus, windows: Mapping[str, int], notify: Notify) -> None:
    """Warn of domains that have fewer windows than --num_samples."""
    wanted, length = opened.options.num_samples, opened.recipe.sample_length
    few = [] if wanted is None else [name for name, number in windows.items() if number < wanted]
    for name in few if len(few) <= _NAMED else ():
        notify(f"{name} has only {windows[name]} windows of {length} tokens: all are used")
    if len(few) > _NAMED:
        notify(
            f"{len(few):,} domains have fewer than {wanted} windows of {length} tokens, the smallest "
            f"{min(windows[name] for name in few)}: all are used ({', '.join(few[:_NAMED])}, ...)"
        )


def _describe(
    opened: OpenCorpus,
    identity: ProxyIdentity,
    keys: Mapping[str, str],
    windows: Mapping[str, int],
    notices: list[str],
) -> EmbeddingRecord:
    options, domains = opened.options, opened.corpus.domains
    added = absolute_paths(options.add_domains)
    return EmbeddingRecord(
        dataset=absolute_path(opened.dataset),
        settings={
            "dataset": absolute_path(opened.dataset),
            "checkpoint_path": absolute_path(opened.checkpoint),
            "seed": opened.recipe.seed,
            "sample_length": opened.recipe.sample_length,
            "dtype": identity.dtype,
            "block": identity.block,
            **{name: value for name, value in options.text_settings().items() if value is not None},
            **({} if added is None else {"add_domains": added}),
        },
        num_samples=options.num_samples,
        windows=dict(windows),
        files=dict(keys),
        facts={domain.name: domain.facts for domain in domains if domain.facts},
        sources={
            domain.name: [(unit * UNIT_STEP + at, file) for unit, at, file in domain.files]
            for domain in domains
            if domain.files
        },
        provenance=_provenance(opened.corpus, identity),
        notices=tuple(notices),
        written=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def _provenance(corpus: Corpus, identity: ProxyIdentity) -> dict[str, Any]:
    return {
        "dataset": {
            "name": corpus.name,
            **corpus.provenance,
            "fingerprint": digest_of_json([domain.text.fingerprint for domain in corpus.domains]),
        },
        "proxy": {
            "digest": identity.digest,
            "tokenizer_digest": identity.tokenizer_digest,
            "block": identity.block,
            "num_blocks": identity.num_blocks,
            "width": identity.width,
            "pooling": POOLING,
        },
        "device": identity.device,
        "versions": versions(identity.libraries),
    }
