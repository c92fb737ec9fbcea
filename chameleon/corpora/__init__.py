"""Where text comes from: a corpus is a few named domains, each with a text to take windows from.

One file a kind of source. `request.py` is what is asked for, `corpus.py` what is given; `storage.py`
reads files wherever they are, `formats.py` makes texts of them.
"""

from chameleon.corpora.corpus import Corpus, Domain
from chameleon.corpora.request import Request
from chameleon.corpora.sources import open_corpus
from chameleon.corpora.tokens import SourceTokenizer
from chameleon.options import BUILTIN

__all__ = ["BUILTIN", "Corpus", "Domain", "Request", "SourceTokenizer", "open_corpus"]
