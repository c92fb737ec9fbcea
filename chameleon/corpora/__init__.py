"""Where text comes from: a corpus is a few named domains, each a line of documents to read from.

One file a kind of source; `corpus.py` holds what they have in common.
"""

from chameleon.corpora.corpus import Corpus, Domain
from chameleon.corpora.sources import BUILTIN, open_corpus

__all__ = ["BUILTIN", "Corpus", "Domain", "open_corpus"]
