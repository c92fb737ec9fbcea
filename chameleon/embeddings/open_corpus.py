"""Opens the corpus that a run asks for, without loading the proxy."""

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace

from chameleon.common.command_line import Notify
from chameleon.common.errors import InputError
from chameleon.common.libraries import quiet_hub
from chameleon.embeddings.options import EmbeddingOptions, dataset_of
from chameleon.embeddings.store import require_removable
from chameleon.proxy.corpus_request import corpus_request
from chameleon.text.corpora import Corpus, Domain, open_corpus
from chameleon.text.grid import WindowRecipe
from chameleon.text.options import DEFAULT_SAMPLE_LENGTH, DEFAULT_SEED

# Tokens of a window for a model that sets no bound itself.
_LONGEST_WINDOW = 1 << 20


@dataclass(frozen=True, eq=False)
class OpenCorpus:
    """An open corpus.

    Attributes:
        options: The options of the run.
        dataset: Name of the corpus.
        checkpoint: Name of the proxy.
        whole: The corpus with all its domains.
        corpus: The corpus with the domains in use.
        removed: The domains that are not in use.
        recipe: Which windows are cut.
    """

    options: EmbeddingOptions
    dataset: str
    checkpoint: str
    whole: Corpus
    corpus: Corpus
    removed: tuple[Domain, ...]
    recipe: WindowRecipe


@contextmanager
def open_run_corpus(
    options: EmbeddingOptions,
    checkpoint: str,
    tokenizer_digest: str | Callable[[], str] | None,
    notify: Notify,
) -> Iterator[OpenCorpus]:
    """Open the corpus of a run.

    Args:
        options: The options of the run.
        checkpoint: Name of the proxy.
        tokenizer_digest: Digest of the proxy's tokenizer, or a function that computes it: arrays of its
            tokens are used as they are, others decoded. None where it is not known yet.
        notify: Receives messages for the user.

    Raises:
        InputError: The corpus cannot be opened or used.
    """
    dataset = dataset_of(options)
    request = corpus_request(options, dataset, tokenizer_digest, options.embeddings_dir)
    with quiet_hub(), closing(open_corpus(request)) as corpus:
        for notice in corpus.notices:
            notify(notice)
        require_removable([domain.name for domain in corpus.domains], options.remove_domains)
        gone = set(options.remove_domains)
        removed = tuple(domain for domain in corpus.domains if domain.name in gone)
        rest = tuple(domain for domain in corpus.domains if domain.name not in gone)
        in_use = replace(corpus, domains=rest) if removed else corpus
        yield OpenCorpus(options, dataset, checkpoint, corpus, in_use, removed, _window_recipe(options))


def _window_recipe(options: EmbeddingOptions) -> WindowRecipe:
    windows = WindowRecipe(
        seed=DEFAULT_SEED if options.seed is None else options.seed,
        sample_length=DEFAULT_SAMPLE_LENGTH if options.sample_length is None else options.sample_length,
    )
    if windows.sample_length > _LONGEST_WINDOW:
        raise InputError(f"expected --sample_length up to {_LONGEST_WINDOW}, got {windows.sample_length}")
    return windows
