"""From a command's options to the corpus that they ask for."""

from collections.abc import Callable
from pathlib import Path

from chameleon.proxy.checkpoints import find_checkpoint
from chameleon.text.corpora import CorpusRequest, SourceTokenizer
from chameleon.text.options import ReadingOptions


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
        added=getattr(options, "add_domains", None) or {},
        scratch=scratch,
        proxy_tokenizer_digest=tokenizer_digest,
        load_tokenizer=load,
        **{name: value for name, value in options.reading().items() if value is not None},
    )
