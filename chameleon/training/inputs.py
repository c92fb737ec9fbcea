"""What a training stands on: its model, its tokenizer, and the packed domains of its corpus."""

from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock
from transformers import PreTrainedTokenizerFast

from chameleon.common.command_line import Notify
from chameleon.common.errors import InputError
from chameleon.common.files import check_writable, digest_of_json
from chameleon.common.libraries import quiet_hub
from chameleon.proxy.checkpoints import find_checkpoint
from chameleon.proxy.corpus_request import corpus_request
from chameleon.proxy.tokenizer import ProxyTokenizer, load_tokenizer
from chameleon.text.corpora import Corpus, open_corpus
from chameleon.training.models import ModelSource, check_length, check_vocabulary, context_length, find_model
from chameleon.training.options import DEFAULT_VOCAB_SIZE, TrainingOptions
from chameleon.training.packed_domain import PackedDomain
from chameleon.training.packing import pack
from chameleon.training.schedule import schedule_of
from chameleon.training.tokenizer import train_tokenizer

_TOKENIZER_BYTES = 1 << 22


@dataclass(frozen=True)
class TrainingInputs:
    """What a training stands on.

    Attributes:
        source: The model.
        tokenizer_path: Where its tokenizer is.
        tokenizer: It.
        packed: (k,) the domains.
    """

    source: ModelSource
    tokenizer_path: Path
    tokenizer: ProxyTokenizer
    packed: list[PackedDomain]


def prepare(options: TrainingOptions, notify: Notify) -> TrainingInputs:
    """Find model and tokenizer, and pack the corpus so far as it is not packed.

    Args:
        options: What is asked for.
        notify: Told, in a sentence each, what the user should know.

    Raises:
        InputError: Something asked for cannot be had or used, or a disk is full.
    """
    check_writable(options.packed_dir / "domain.bin")
    source = find_model(options.model)
    check_length(options.sample_length, {source.name: context_length(source, options.trust_remote_code)})
    named = _tokenizer_path(options, source)
    tokenizer = None if named is None else load_tokenizer(named, options.trust_remote_code)
    digest = None if tokenizer is None else tokenizer.digest
    request = corpus_request(options, options.dataset, digest, options.packed_dir)
    with quiet_hub(), closing(open_corpus(request)) as corpus:
        for notice in corpus.notices:
            notify(notice)
        schedule_of(options, {domain.name: 1 for domain in corpus.domains})  # told before the text is packed
        if named is None or tokenizer is None:
            named = _trained_tokenizer(options, corpus)
            tokenizer = load_tokenizer(named)
        check_vocabulary(source, tokenizer.vocabulary, options.trust_remote_code)
        packed = pack(corpus.domains, tokenizer, options.packed_dir, options.heldout_share)
    return TrainingInputs(source, named, tokenizer, packed)


def _tokenizer_path(options: TrainingOptions, source: ModelSource) -> Path | None:
    """Where the tokenizer is; None where it is to be learnt from the corpus."""
    if options.tokenizer is not None:
        return find_checkpoint(options.tokenizer, weights=False)
    return source.checkpoint


def _trained_tokenizer(options: TrainingOptions, corpus: Corpus) -> Path:
    """A tokenizer learnt from the corpus, or the one that was learnt before."""
    vocabulary = options.vocab_size or DEFAULT_VOCAB_SIZE
    texts = [domain.text for domain in corpus.domains]
    identity = digest_of_json(
        {"texts": [text.fingerprint for text in texts], "vocabulary": vocabulary, "bytes": _TOKENIZER_BYTES}
    )
    path = options.packed_dir / f"tokenizer-{identity[:16]}"
    try:
        options.packed_dir.mkdir(parents=True, exist_ok=True)
        with FileLock(options.packed_dir / ".tokenizer.lock"):
            if not (path / "tokenizer.json").exists():
                _save(train_tokenizer(texts, vocabulary, _TOKENIZER_BYTES), path)
    except OSError as error:
        raise InputError(f"cannot write a tokenizer in {options.packed_dir}: {error.strerror}") from None
    return path


def _save(tokenizer: PreTrainedTokenizerFast, path: Path) -> None:
    """Write a tokenizer, whole or not at all."""
    unfinished = path.with_name(f".{path.name}.unfinished")
    try:
        tokenizer.save_pretrained(unfinished)
    except OSError:
        raise
    except Exception as error:  # the library has none of its own for a full disk
        raise InputError(f"cannot write a tokenizer in {path.parent}: {error}") from None
    unfinished.replace(path)
