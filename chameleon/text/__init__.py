"""The text of a corpus and windows of it: `corpora.open_corpus` opens one, `grid` explains sampling."""
