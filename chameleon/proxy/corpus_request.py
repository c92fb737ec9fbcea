"""From a command's options to the corpus that they ask for."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from chameleon.proxy.checkpoints import find_checkpoint
from chameleon.text.corpora import CorpusRequest, SourceTokenizer
from chameleon.text.options import READING, ReadingOptions


def reading_of(options: ReadingOptions) -> dict[str, Any]:
    """How the corpus is read, so far as the user said it."""
    return {name: getattr(options, name) for name in READING if getattr(options, name) is not None}


def corpus_request(
    options: ReadingOptions, dataset: str, tokenizer_digest: str | Callable[[], str] | None, scratch: Path
) -> CorpusRequest:
    """What to ask `open_corpus` for.

    Args:
        options: What the user asked for.
        dataset: The corpus's name.
        tokenizer_digest: Of the tokenizer that its text is wanted in, if that is known, or what finds it out.
        scratch: Directory for text while it is in use.
    """

    def load(name: str) -> SourceTokenizer:
        from chameleon.proxy.tokenizer import load_tokenizer

        found = load_tokenizer(find_checkpoint(name, weights=False), options.trust_remote_code)
        return SourceTokenizer(name, found.digest, found.vocabulary, found.end_of_text, found.decode)

    return CorpusRequest(
        dataset,
        **reading_of(options),
        domains=options.domains,
        added=getattr(options, "add_domains", None) or {},
        download=options.download,
        skip_bad_lines=options.skip_bad_lines,
        scratch=scratch,
        proxy_tokenizer_digest=tokenizer_digest,
        load_tokenizer=load,
    )
