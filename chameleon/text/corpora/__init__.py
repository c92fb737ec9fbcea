"""Where text comes from: `open_corpus` makes a corpus, a few named domains with a text each, of any source.

`sources.py` decides which kind of source a name stands for; `formats.py` has the table of file formats, where
a new one is added.
"""

from chameleon.text.corpora.corpus import Corpus, CorpusRequest, Domain
from chameleon.text.corpora.sources import open_corpus
from chameleon.text.corpora.token_arrays import SourceTokenizer
from chameleon.text.options import BUILTIN

__all__ = ["BUILTIN", "Corpus", "CorpusRequest", "Domain", "SourceTokenizer", "open_corpus"]
