"""The corpus that a run asks for, opened, and which windows are cut from it; the proxy is not loaded."""

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace

from chameleon.common.command_line import Notify
from chameleon.common.errors import InputError
from chameleon.common.libraries import quiet_hub
from chameleon.embeddings.options import EmbeddingOptions, dataset_of, require_removable
from chameleon.proxy.corpus_request import corpus_request
from chameleon.text.corpora import Corpus, Domain, open_corpus
from chameleon.text.grid import WindowRecipe
from chameleon.text.options import DEFAULT_SAMPLE_LENGTH, DEFAULT_SEED

# Of a model that sets no bound itself.
_LONGEST_WINDOW = 1 << 20


@dataclass(frozen=True, eq=False)
class OpenCorpus:
    """An open corpus.

    Attributes:
        options: What was asked for.
        dataset: Name of the corpus.
        checkpoint: Name of the proxy.
        whole: All of the corpus.
        corpus: It with the domains in use.
        removed: Domains that are not in use.
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
    """A corpus while it is in use.

    Args:
        options: What is asked for.
        checkpoint: Name of the proxy.
        tokenizer_digest: Of the proxy's tokenizer, by which arrays of its tokens are told from others, or
            what finds it out; None where it is not known yet.
        notify: Told in words what the user should know.

    Raises:
        InputError: The corpus cannot be had or used.
    """
    dataset = dataset_of(options)
    request = corpus_request(options, dataset, tokenizer_digest, options.embeddings_dir)
    with quiet_hub(), closing(open_corpus(request)) as corpus:
        for notice in corpus.notices:
            notify(notice)
        require_removable([domain.name for domain in corpus.domains], options.remove_domains)
        removed = tuple(domain for domain in corpus.domains if domain.name in options.remove_domains)
        kept = tuple(domain for domain in corpus.domains if domain.name not in options.remove_domains)
        in_use = replace(corpus, domains=kept) if removed else corpus
        recipe = _window_recipe(options)
        yield OpenCorpus(options, dataset, checkpoint, corpus, in_use, removed, recipe)


def _window_recipe(options: EmbeddingOptions) -> WindowRecipe:
    windows = WindowRecipe(
        seed=DEFAULT_SEED if options.seed is None else options.seed,
        sample_length=DEFAULT_SAMPLE_LENGTH if options.sample_length is None else options.sample_length,
    )
    if windows.sample_length > _LONGEST_WINDOW:
        raise InputError(f"expected a --sample_length up to {_LONGEST_WINDOW}, got {windows.sample_length}")
    return windows
