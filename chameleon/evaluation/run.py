"""Checkpoints side by side on the held-out documents of a corpus."""

import math
import platform
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
import transformers
from tqdm import tqdm

import chameleon
from chameleon.checkpoints import find_checkpoint
from chameleon.corpora import open_corpus
from chameleon.devices import choose_device, choose_dtype, is_out_of_memory
from chameleon.errors import InputError
from chameleon.evaluation.losses import (
    DocumentLosses,
    document_losses,
    first_documents,
    perplexity,
    ratio_error,
)
from chameleon.evaluation.options import EvaluationOptions
from chameleon.files import check_writable, place_of
from chameleon.options import DEFAULT_SAMPLE_LENGTH
from chameleon.proxy_tokenizer import ProxyTokenizer, load_tokenizer
from chameleon.quiet import quiet_hub
from chameleon.reading import corpus_request
from chameleon.training.models import ModelSource, build_model, context_length
from chameleon.training.options import DEFAULT_HELDOUT_SHARE
from chameleon.training.packed import HeldOut
from chameleon.training.packing import pack
from chameleon.training.record import read_record

Notify = Callable[[str], None]
FORMAT = "chameleon-evaluation/1"
# Tokens of a batch that suit the device: logits take 4 bytes for each token and entry of the vocabulary.
_BATCH_TOKENS = {"cpu": 1 << 10, "cuda": 1 << 14, "mps": 1 << 12}


@dataclass(frozen=True)
class Evaluated:
    """One checkpoint's losses.

    Attributes:
        name: As the user named it.
        tokenizer_digest: Of its tokenizer: losses of checkpoints that share it are of the same tokens.
        domains: Losses on the documents of each domain that has any.
    """

    name: str
    tokenizer_digest: str
    domains: Mapping[str, DocumentLosses]

    @property
    def mean_loss(self) -> tuple[float, float | None]:
        """Mean over domains, and its standard error; exp of it is the geometric mean perplexity."""
        errors = [each.standard_error for each in self.domains.values()]
        return self._mean([each.loss for each in self.domains.values()], errors)

    @property
    def mean_perplexity(self) -> tuple[float, float | None]:
        """Arithmetic mean over domains, and its standard error."""
        perplexities = [perplexity(each.loss) for each in self.domains.values()]
        errors = [
            None if each.standard_error is None else perplexity(each.loss) * each.standard_error
            for each in self.domains.values()
        ]
        return self._mean(perplexities, errors)

    @staticmethod
    def _mean(values: list[float], errors: list[float | None]) -> tuple[float, float | None]:
        squares = [error**2 for error in errors if error is not None]
        known = len(squares) == len(errors)
        return sum(values) / len(values), math.sqrt(sum(squares)) / len(values) if known else None

    def difference(self, other: "Evaluated", domain: str) -> tuple[float, float | None] | None:
        """Loss less that of another on the same tokens, and its standard error; None where tokens differ."""
        if self.tokenizer_digest != other.tokenizer_digest:
            return None
        mine, theirs = self.domains[domain], other.domains[domain]
        total = int(mine.tokens.sum())
        difference = mine.loss - theirs.loss
        return difference, ratio_error(mine.losses - theirs.losses - difference * mine.tokens, total)


@dataclass(frozen=True)
class Evaluation:
    """Checkpoints side by side.

    Attributes:
        checkpoints: They, in the order in which they were named.
        settings: What they were evaluated with.
        notices: What the user must hear.
    """

    checkpoints: tuple[Evaluated, ...]
    settings: Mapping[str, Any]
    notices: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """JSON types only."""
        first = self.checkpoints[0]
        return {
            "format": FORMAT,
            "checkpoints": [_facts(each, first) for each in self.checkpoints],
            "settings": dict(self.settings),
            "notices": list(self.notices),
            "versions": {
                "chameleon": chameleon.__version__,
                "torch": torch.__version__,
                "transformers": transformers.__version__,
                "python": platform.python_version(),
            },
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
        }


def _facts(evaluated: Evaluated, first: Evaluated) -> dict[str, Any]:
    domains = {}
    for name, losses in evaluated.domains.items():
        error = losses.standard_error
        domains[name] = {
            "loss": losses.loss,
            "loss_standard_error": error,
            "perplexity": _finite(perplexity(losses.loss)),
            "perplexity_standard_error": None if error is None else _finite(perplexity(losses.loss) * error),
            "bits_per_byte": losses.bits_per_byte,
            "tokens": int(losses.tokens.sum()),
            "documents": len(losses.tokens),
        }
        difference = None if evaluated is first else evaluated.difference(first, name)
        if difference is not None:
            domains[name]["loss_against_first"], domains[name]["loss_against_first_standard_error"] = (
                difference
            )
    (loss, loss_error), (average, average_error) = evaluated.mean_loss, evaluated.mean_perplexity
    return {
        "name": evaluated.name,
        "tokenizer_digest": evaluated.tokenizer_digest,
        "domains": domains,
        "mean_loss": loss,
        "mean_loss_standard_error": loss_error,
        "average_perplexity": _finite(average),
        "average_perplexity_standard_error": None if average_error is None else _finite(average_error),
        "geometric_mean_perplexity": _finite(perplexity(loss)),
    }


def _finite(value: float) -> float | None:
    """JSON has no infinity."""
    return value if math.isfinite(value) else None


def evaluate(options: EvaluationOptions, notify: Notify = lambda text: None) -> Evaluation:
    """Losses of checkpoints on the held-out documents of a corpus.

    Args:
        options: What is asked for.
        notify: Told, in a sentence each, what the user should know.

    Raises:
        InputError: A checkpoint or the corpus cannot be had or used, or nothing is held out.
    """
    told: list[str] = []

    def tell(text: str) -> None:
        if text not in told:
            told.append(text)
            notify(text)

    check_writable(options.packed_dir / "domain.bin")
    device = choose_device(options.device)
    dtype = choose_dtype(options.dtype, device)
    paths = [find_checkpoint(name) for name in options.checkpoints]
    length = _length(options, paths)
    share = _heldout_share(options, paths, tell)
    tokenizers = [load_tokenizer(path, options.trust_remote_code) for path in paths]
    heldout: dict[str, dict[str, HeldOut]] = {}
    for path, tokenizer in zip(paths, tokenizers, strict=True):
        if tokenizer.digest not in heldout:
            heldout[tokenizer.digest] = _heldout(options, path, tokenizer, share, tell)
    if len(heldout) > 1:
        tell("the checkpoints have different tokenizers: compare bits per byte, not losses a token")
    found = []
    for name, path, tokenizer in zip(options.checkpoints, paths, tokenizers, strict=True):
        source = ModelSource(name, checkpoint=path)
        model = build_model(
            source, tokenizer.vocabulary, tokenizer.end_of_text, length, 0, options.trust_remote_code
        )
        documents = heldout[tokenizer.digest]
        batch_size = options.batch_size or max(1, _BATCH_TOKENS.get(device.type, 1 << 12) // length)
        ready: Any = model.eval  # not annotated in the library
        ready().to(device)
        bar = tqdm(documents.items(), desc=f"evaluating {path.name}", unit="domain", delay=1, disable=None)
        try:
            losses = {each: document_losses(model, kept, length, batch_size, dtype) for each, kept in bar}
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            raise InputError(
                f"not enough memory on {device} for {batch_size} rows of {length} tokens of {name}; give a "
                "smaller --batch_size or --sample_length"
            ) from None
        _require_finite(name, losses)
        found.append(Evaluated(name, tokenizer.digest, losses))
        del model
    settings = {
        "dataset": options.dataset,
        "heldout_share": share,
        "sample_length": length,
        "max_tokens": options.max_tokens,
        "dtype": str(dtype).removeprefix("torch."),
        "device": device.type,
    }
    return Evaluation(tuple(found), settings, tuple(told))


def _length(options: EvaluationOptions, paths: list[Path]) -> int:
    contexts = {}
    for name, path in zip(options.checkpoints, paths, strict=True):
        context = context_length(ModelSource(name, checkpoint=path), options.trust_remote_code)
        if context is not None:
            contexts[name] = context
    least = min(contexts, key=lambda name: contexts[name], default=None)
    if options.sample_length is None:
        return DEFAULT_SAMPLE_LENGTH if least is None else min(DEFAULT_SAMPLE_LENGTH, contexts[least])
    if least is not None and options.sample_length > contexts[least]:
        raise InputError(
            f"rows of {options.sample_length} tokens are over the context of {contexts[least]} tokens of "
            f"{least}; give --sample_length {contexts[least]} or less"
        )
    if options.sample_length < 2:
        raise InputError("a row of one token predicts nothing; give a --sample_length of at least 2")
    return options.sample_length


def _heldout_share(options: EvaluationOptions, paths: list[Path], tell: Notify) -> float:
    """The share that all checkpoints were trained without, unless the user names one."""
    recorded, same = {}, {}
    for name, path in zip(options.checkpoints, paths, strict=True):
        record = read_record(path) or read_record(path.parent) or {}
        settings = record.get("settings")
        known = settings if isinstance(settings, dict) else {}
        if "heldout_share" in record:
            recorded[name] = float(record["heldout_share"])
        if known.get("dataset") == place_of(options.dataset) and known.get("split") == options.split:
            same[name] = recorded.get(name, 0.0)
        elif options.heldout_share is None:
            tell(
                f"{name} has no record of a training on {options.dataset}: it may have seen what is held out "
                "here"
            )
    if options.heldout_share is None:
        # A smaller share is part of a larger one, so the least is right for all.
        return min(recorded.values(), default=DEFAULT_HELDOUT_SHARE)
    for name, share in same.items():
        if options.heldout_share > share:
            raise InputError(
                f"{name} was trained with {share:g} of the documents held out, so of "
                f"{options.heldout_share:g} it has seen some; give --heldout_share {share:g} or less"
            )
    return options.heldout_share


def _heldout(
    options: EvaluationOptions, path: Path, tokenizer: ProxyTokenizer, share: float, tell: Notify
) -> dict[str, HeldOut]:
    """Held-out documents of each domain, in the tokens of a checkpoint."""
    request = corpus_request(options, options.dataset, tokenizer, options.packed_dir)
    if request.tokenizer is None:
        request = replace(request, tokenizer=str(path))
    with quiet_hub(), closing(open_corpus(request)) as corpus:
        for notice in corpus.notices:
            tell(notice)
        packed = pack(corpus.domains, tokenizer, options.packed_dir, share, for_training=False)
    found = {}
    for domain in packed:
        kept = first_documents(domain.heldout(), options.max_tokens)
        if len(kept.tokens) < 2:
            tell(f"nothing of {domain.name} is held out: it has too few documents, or the share is 0")
            continue
        if len(kept.ends) == 1:
            tell(f"of {domain.name} one document is held out: its loss has no standard error")
        found[domain.name] = kept
    if not found:
        raise InputError(f"nothing of {options.dataset} is held out; give --heldout_share, such as 0.1")
    return found


def _require_finite(name: str, losses: Mapping[str, DocumentLosses]) -> None:
    for domain, found in losses.items():
        if not math.isfinite(found.loss):
            raise InputError(
                f"the loss of {name} on {domain} is not finite; try --dtype float32, or check the checkpoint"
            )
