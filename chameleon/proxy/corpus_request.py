"""Builds the request for a corpus from a command's options."""

from collections.abc import Callable
from pathlib import Path

from chameleon.proxy.checkpoints import find_checkpoint
from chameleon.text.corpora import CorpusRequest, SourceTokenizer
from chameleon.text.options import ReadingOptions


def corpus_request(
    options: ReadingOptions, dataset: str, tokenizer_digest: str | Callable[[], str] | None, scratch: Path
) -> CorpusRequest:
    """The request for `open_corpus`.

    Args:
        options: The options of the command.
        dataset: Name of the corpus.
        tokenizer_digest: Digest of the proxy's tokenizer, or a function that computes it; None where it
            is not known.
        scratch: Directory for text while it is in use.
    """

    def load(name: str) -> SourceTokenizer:
        from chameleon.proxy.tokenizer import load_tokenizer

        loaded = load_tokenizer(find_checkpoint(name, weights=False), options.trust_remote_code)
        return SourceTokenizer(name, loaded.digest, loaded.vocabulary, loaded.end_of_text, loaded.decode)

    return CorpusRequest(
        dataset,
        added=getattr(options, "add_domains", None) or {},
        scratch=scratch,
        proxy_tokenizer_digest=tokenizer_digest,
        load_tokenizer=load,
        **{name: value for name, value in options.reading().items() if value is not None},
    )
