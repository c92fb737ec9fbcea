"""Which files a text fills, one after the other."""

from collections.abc import Iterable, Iterator

from chameleon.corpora.indexed import IndexedText
from chameleon.corpora.lines import LineBlocks, SoughtText
from chameleon.corpora.spool import UnitsText
from chameleon.corpora.storage import File
from chameleon.corpora.tokens import TokenText
from chameleon.text import Text


def files_of(text: Text) -> tuple[tuple[int, int, str], ...]:
    """See `chameleon.corpora.corpus.Domain.files`; none where all is of one file or files mean nothing."""
    begins: list[tuple[int, int, File]] = []
    for unit, position, file in _parts(text):
        if not begins or begins[-1][2] != file:
            begins.append((unit, position, file))
    names = {file.name for _, _, file in begins}
    if len(names) < 2:
        return ()
    folders = [name.split("/")[:-1] for name in names]
    shared = 0
    while all(len(folder) > shared and folder[shared] == folders[0][shared] for folder in folders):
        shared += 1
    return tuple((unit, at, "/".join(file.name.split("/")[shared:])) for unit, at, file in begins)


def _parts(text: Text) -> Iterator[tuple[int, int, File]]:
    """Parts of a text, each of one file, in order."""
    if isinstance(text, SoughtText):
        yield from _within(text.begins.tolist(), text.files)
    elif isinstance(text, TokenText):
        yield from _within(text.begins.tolist(), (array.file for array in text.arrays))
    elif isinstance(text, IndexedText) and isinstance(text.blocks, LineBlocks):
        yield from _within(text.starts.tolist(), (file for file, _, _ in text.blocks.blocks))
    elif isinstance(text, UnitsText) and text.units.files:
        yield from ((unit, 0, text.units.files[number]) for unit, number in enumerate(text.numbers.tolist()))


def _within(begins: Iterable[int], files: Iterable[File]) -> Iterator[tuple[int, int, File]]:
    return ((0, begin, file) for begin, file in zip(begins, files, strict=False))
