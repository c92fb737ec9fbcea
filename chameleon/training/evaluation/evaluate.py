"""Evaluates checkpoints side by side on the held-out documents of a corpus."""

import math
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from chameleon.common.command_line import Notify
from chameleon.common.errors import InputError
from chameleon.common.files import absolute_path, check_writable
from chameleon.common.libraries import quiet_hub
from chameleon.proxy.checkpoints import find_checkpoint
from chameleon.proxy.corpus_request import corpus_request
from chameleon.proxy.devices import choose_device, choose_dtype, is_out_of_memory
from chameleon.proxy.tokenizer import ProxyTokenizer, load_tokenizer
from chameleon.text.corpora import open_corpus
from chameleon.text.options import DEFAULT_SAMPLE_LENGTH
from chameleon.training.evaluation.losses import DocumentLosses, document_losses, first_documents
from chameleon.training.evaluation.options import EvaluationOptions
from chameleon.training.evaluation.report import EvaluatedModel, Evaluation
from chameleon.training.models import ModelSource, build_model, check_length, context_length
from chameleon.training.options import DEFAULT_HELDOUT_SHARE
from chameleon.training.packed_domain import HeldOutDocuments
from chameleon.training.packing import pack
from chameleon.training.run_directory import read_record

# Tokens of a batch: logits take 4 bytes for each token and entry of the vocabulary.
_BATCH_TOKENS = {"cpu": 1 << 10, "cuda": 1 << 14, "mps": 1 << 12}


def evaluate(options: EvaluationOptions, notify: Notify = lambda text: None) -> Evaluation:
    """Losses of checkpoints on the held-out documents of a corpus.

    Raises:
        InputError: A checkpoint or the corpus is missing or unusable, or nothing is held out.
    """
    notes: list[str] = []

    def note_once(text: str) -> None:
        if text not in notes:
            notes.append(text)
            notify(text)

    check_writable(options.packed_dir / "domain.bin")
    device = choose_device(options.device)
    dtype = choose_dtype(options.dtype, device)
    paths = [find_checkpoint(name) for name in options.checkpoints]
    sources = [ModelSource(*each) for each in zip(options.checkpoints, paths, strict=True)]
    contexts = {source.name: context_length(source, options.trust_remote_code) for source in sources}
    bounds = [context for context in contexts.values() if context is not None]
    length = options.sample_length or min([DEFAULT_SAMPLE_LENGTH, *bounds])
    check_length(length, contexts)
    share = _heldout_share(options, paths, note_once)
    tokenizers = [load_tokenizer(path, options.trust_remote_code) for path in paths]
    heldout: dict[str, dict[str, HeldOutDocuments]] = {}
    for tokenizer in tokenizers:
        if tokenizer.digest not in heldout:
            heldout[tokenizer.digest] = _heldout_documents(options, tokenizer, share, note_once)
    if len(heldout) > 1:
        note_once("the checkpoints have different tokenizers: compare bits per byte, not losses per token")
    evaluated = []
    for source, tokenizer in zip(sources, tokenizers, strict=True):
        model: Any = build_model(
            source, tokenizer.vocabulary, tokenizer.end_of_text, length, 0, options.trust_remote_code
        )
        losses = _losses(model.to(device), source.name, heldout[tokenizer.digest], length, dtype, options)
        evaluated.append(EvaluatedModel(source.name, tokenizer.digest, losses))
        del model
    settings = {
        "dataset": options.dataset,
        "heldout_share": share,
        "sample_length": length,
        "max_tokens": options.max_tokens,
        "dtype": str(dtype).removeprefix("torch."),
        "device": device.type,
    }
    return Evaluation(tuple(evaluated), settings, tuple(notes))


def _heldout_share(options: EvaluationOptions, paths: Sequence[Path], notify: Notify) -> float:
    """The share that all checkpoints were trained without, unless the user gave one."""
    recorded, same_corpus = {}, {}
    for name, path in zip(options.checkpoints, paths, strict=True):
        record = read_record(path) or read_record(path.parent) or {}
        settings = record.get("settings")
        known = settings if isinstance(settings, dict) else {}
        if "heldout_share" in record:
            recorded[name] = float(record["heldout_share"])
        if known.get("dataset") == absolute_path(options.dataset) and known.get("split") == options.split:
            same_corpus[name] = recorded.get(name, 0.0)
        elif options.heldout_share is None:
            notify(
                f"{name} has no record of training on {options.dataset}: it may have seen the held-out "
                "documents"
            )
    if options.heldout_share is None:
        # A smaller share is part of a larger one, so the smallest holds for all checkpoints.
        return min(recorded.values(), default=DEFAULT_HELDOUT_SHARE)
    for name, share in same_corpus.items():
        if options.heldout_share > share:
            raise InputError(
                f"{name} was trained with {share:g} of the documents held out, so it has seen some of "
                f"{options.heldout_share:g}; use --heldout_share {share:g} or less"
            )
    return options.heldout_share


def _heldout_documents(
    options: EvaluationOptions, tokenizer: ProxyTokenizer, share: float, notify: Notify
) -> dict[str, HeldOutDocuments]:
    """Held-out documents of each domain, in the tokens of a checkpoint."""
    request = corpus_request(options, options.dataset, tokenizer.digest, options.packed_dir)
    request = replace(request, least_domains=1)
    with quiet_hub(), closing(open_corpus(request)) as corpus:
        for notice in corpus.notices:
            notify(notice)
        packed = pack(corpus.domains, tokenizer, options.packed_dir, share, for_training=False)
    heldout = {}
    for domain in packed:
        documents = first_documents(domain.heldout(), options.max_tokens)
        if len(documents.tokens) < 2:
            notify(f"nothing of {domain.name} is held out: it has too few documents, or the share is 0")
            continue
        if len(documents.ends) == 1:
            notify(f"one document of {domain.name} is held out: its loss has no standard error")
        heldout[domain.name] = documents
    if not heldout:
        raise InputError(f"nothing of {options.dataset} is held out; set --heldout_share, such as 0.1")
    return heldout


def _losses(
    model: Any,  # noqa: ANN401
    name: str,
    heldout: Mapping[str, HeldOutDocuments],
    length: int,
    dtype: torch.dtype,
    options: EvaluationOptions,
) -> dict[str, DocumentLosses]:
    """Losses of a model on the documents of each domain."""
    model.eval()
    batch_size = options.batch_size or max(1, _BATCH_TOKENS.get(model.device.type, 1 << 12) // length)
    bar = tqdm(heldout.items(), desc=f"evaluating {name}", unit="domain", delay=1, disable=None)
    losses = {}
    for domain, documents in bar:
        try:
            losses[domain] = document_losses(model, documents, length, batch_size, dtype)
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            raise InputError(
                f"not enough memory on {model.device} for {batch_size} rows of {length} tokens of {name}; "
                "lower --batch_size or --sample_length"
            ) from None
        if not math.isfinite(losses[domain].loss):
            raise InputError(
                f"the loss of {name} on {domain} is not finite; try --dtype float32, or check the checkpoint"
            )
    return losses
