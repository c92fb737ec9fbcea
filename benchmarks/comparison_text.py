"""A corpus for the comparison: documents for training and validation, and others for the test."""

import hashlib
import json
from pathlib import Path

from benchmarks.machine import texts_of

# Of a domain with fewer documents than this, parts of so many characters stand for documents.
_FEW_DOCUMENTS, _PART = 50, 2000
_TEST_PERCENT = 15

# Characters of a long document that are tested: many documents say more than a few long ones.
_TESTED = 4000


def split_corpus(dataset: str, directory: Path) -> None:
    """Write main/ and test/ with a file for each domain; a document is for the test by a hash of its text.

    Of a long test document a part counts, at a place that the hash names. A corpus that was split before is
    left as it is.

    Args:
        dataset: Corpus to split.
        directory: Where the two go.
    """
    if (directory / "test").is_dir():
        return
    unfinished = directory / "unfinished"
    for part in ("main", "test"):
        (unfinished / part).mkdir(parents=True, exist_ok=True)
    for name, documents in texts_of(dataset).items():
        lines: dict[str, list[str]] = {"main": [], "test": []}
        is_cut = len(documents) < _FEW_DOCUMENTS
        for document in _cut(documents) if is_cut else documents:
            digest = hashlib.sha256(f"test{document}".encode()).hexdigest()
            part = "test" if int(digest[:8], 16) % 100 < _TEST_PERCENT else "main"
            begin = int(digest[8:16], 16) % max(len(document) - _TESTED, 1)
            text = document if is_cut or part == "main" else document[begin : begin + _TESTED]
            lines[part].append(json.dumps({"text": text}) + "\n")
        for part, of_part in lines.items():
            (unfinished / part / f"{name}.jsonl").write_text("".join(of_part))
    for part in ("main", "test"):
        (unfinished / part).rename(directory / part)
    unfinished.rmdir()


def _cut(documents: list[str]) -> list[str]:
    return [text[begin : begin + _PART] for text in documents for begin in range(0, len(text), _PART)]
