"""Where text comes from: a corpus is a few named domains, each with a text to take windows from.

One file a kind of source. `request.py` is what is asked for, `corpus.py` what is given; `storage.py`
reads files wherever they are, `formats.py` makes texts of them.
"""

from chameleon.text.corpora.corpus import Corpus, CorpusRequest, Domain
from chameleon.text.corpora.sources import open_corpus
from chameleon.text.corpora.token_arrays import SourceTokenizer
from chameleon.text.options import BUILTIN

__all__ = ["BUILTIN", "Corpus", "CorpusRequest", "Domain", "SourceTokenizer", "open_corpus"]
