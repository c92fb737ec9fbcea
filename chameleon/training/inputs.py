"""The inputs of a training run: its model, its tokenizer and its packed corpus."""

from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

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
from chameleon.training.schedule import schedule_for_run
from chameleon.training.tokenizer import train_tokenizer

# Text of each domain that a new tokenizer is trained on, in bytes.
_TOKENIZER_BYTES = 1 << 22


@dataclass(frozen=True)
class TrainingInputs:
    """The inputs of a training run: its model, its tokenizer, and the k packed domains of its corpus."""

    source: ModelSource
    tokenizer_path: Path
    tokenizer: ProxyTokenizer
    packed: list[PackedDomain]


def prepare_inputs(options: TrainingOptions, notify: Notify) -> TrainingInputs:
    """Find the model and tokenizer, and pack those domains of the corpus that are not packed yet.

    Raises:
        InputError: Something requested is missing or unusable, or a disk is full.
    """
    check_writable(options.packed_dir / "domain.bin")
    source = find_model(options.model)
    check_length(options.sample_length, {source.name: context_length(source, options.trust_remote_code)})
    path = source.checkpoint
    if options.tokenizer is not None:
        path = find_checkpoint(options.tokenizer, weights=False)
    tokenizer = None if path is None else load_tokenizer(path, options.trust_remote_code)
    digest = None if tokenizer is None else tokenizer.digest
    request = corpus_request(options, options.dataset, digest, options.packed_dir)
    with quiet_hub(), closing(open_corpus(request)) as corpus:
        for notice in corpus.notices:
            notify(notice)
        # Fail before the text is packed: token counts are not needed to check the weights.
        schedule_for_run(options, {domain.name: 1 for domain in corpus.domains})
        if path is None or tokenizer is None:
            path = _corpus_tokenizer(options, corpus)
            tokenizer = load_tokenizer(path)
        check_vocabulary(source, tokenizer.vocabulary, options.trust_remote_code)
        packed = pack(corpus.domains, tokenizer, options.packed_dir, options.heldout_share)
    return TrainingInputs(source, path, tokenizer, packed)


def _corpus_tokenizer(options: TrainingOptions, corpus: Corpus) -> Path:
    """Directory of a tokenizer trained on the corpus, now or by an earlier run."""
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
                tokenizer = train_tokenizer(texts, vocabulary, _TOKENIZER_BYTES)
                unfinished = path.with_name(f".{path.name}.unfinished")
                try:
                    tokenizer.save_pretrained(unfinished)
                except OSError:
                    raise
                except Exception as error:  # the library raises a plain Exception if the disk is full
                    raise InputError(f"cannot write a tokenizer in {path.parent}: {error}") from None
                unfinished.replace(path)
    except OSError as error:
        raise InputError(f"cannot write a tokenizer in {options.packed_dir}: {error.strerror}") from None
    return path
