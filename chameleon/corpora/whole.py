"""All documents of a corpus, each read once."""

from collections.abc import Iterator, Sequence
from typing import cast

import numpy as np
import numpy.typing as npt

from chameleon.corpora.corpus import Domain
from chameleon.corpora.spool import Units, UnitsText
from chameleon.text import Content, TokenUnit

# A document: text, or the tokens of one where the source holds those of the tokenizer that is wanted.
Document = Content | npt.NDArray[np.int32]


def all_documents(domains: Sequence[Domain]) -> Iterator[tuple[int, Document]]:
    """Each document of some domains, with the index of its domain.

    Units that domains share are read once for all of them, so that their documents come mixed; nothing
    is kept on disk.

    Raises:
        InputError: The text cannot be read.
    """
    shared: dict[Units, dict[str, int]] = {}
    for index, domain in enumerate(domains):
        text = domain.text
        if isinstance(text, UnitsText):
            shared.setdefault(text.units, {})[text.name] = index
    for units, indices in shared.items():
        texts = (domain.text for domain in domains)
        numbers = {
            int(number)
            for text in texts
            if isinstance(text, UnitsText) and text.units is units
            for number in text.numbers
        }
        for number in sorted(numbers):
            for name, document in units.stream(number):
                if name in indices:
                    yield indices[name], document
    for index, domain in enumerate(domains):
        text = domain.text
        if isinstance(text, UnitsText):
            continue
        for each in range(len(text.unit_keys)):
            unit = text.unit(each)
            documents: Iterator[Document] = (
                unit.beginning() if text.tokenizer_digest is None else cast(TokenUnit, unit).token_documents()
            )
            yield from ((index, document) for document in documents)
