"""Where the text of a document stands in its line."""

import json
from pathlib import Path
from typing import Any

import pytest
from conftest import documents, opened
from text_files import put

from chameleon.text.corpora.json_lines import locate, offset_in_text

AWKWARD: list[dict[str, Any]] = [
    {"text": 'quote " back \\ slash / newline \n tab \t'},
    {"id": 1, "text": "é 漢字 \U0001f600 ☃", "meta": {"text": "not this"}},
    {"text": ""},
    {"text": "  \n"},
    {"a": [1, {"text": "nor this"}], "text": "x", "z": "\\"},
    {"text": "a\u0000b\u001f"},
]


@pytest.mark.parametrize("ascii_only", [True, False])
@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_each_byte_of_text_stands_for_one_position_of_a_file(
    ascii_only: bool, ending: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chameleon.text.corpora.formats.WHOLE_BYTES", 0)
    monkeypatch.setattr("chameleon.text.corpora.seekable._READ_BYTES", 16)
    content = ("\ufeff" if not ascii_only else "") + "".join(
        json.dumps(row, ensure_ascii=ascii_only) + ending for row in [*AWKWARD, *AWKWARD]
    )
    put(tmp_path / "corpus" / "a" / "1.jsonl", content.encode() + b"\n \n")
    put(tmp_path / "corpus" / "a" / "2.jsonl", b'{"text": "last, without an end", "x": 1}')
    put(tmp_path / "corpus" / "b.jsonl", b'{"text": "other"}\n')
    text = opened(tmp_path / "corpus").domains[0].text
    texts = [row["text"].encode() for row in AWKWARD if row["text"].strip()]
    texts = [*texts, *texts, b"last, without an end"]
    assert documents(text) == texts
    unit = text.unit(0)
    found: dict[int, list[int]] = {}
    for position in range(unit.length):
        passage = unit.passage(position)
        if passage is not None:
            following = [content[0 : len(content)] for content in passage.documents]
            assert following == texts[-len(following) :]
            found.setdefault(passage.document, []).append(passage.offset)
            assert 0 < unit.text_share(position) <= 1
    expected = [list(range(len(text) + 1)) for text in texts]
    expected[-1].pop()  # no line's end stands for its joint
    assert [sorted(offsets) for _, offsets in sorted(found.items())] == expected
    share = sum(unit.text_share(position) for position in range(unit.length))
    assert share == pytest.approx(sum(map(len, expected)) + 1)


def test_the_place_of_a_document_in_its_line() -> None:
    line = b'  {"x": {"text": 5}, "text" : "a\\u00e9\\ud83d\\ude00b", "text2": "c"}\n'
    literal = locate(line)
    assert literal.text == "aé😀b".encode()
    assert line[literal.begin : literal.end] == b"a\\u00e9\\ud83d\\ude00b"
    offsets = [offset_in_text(line[literal.begin : literal.end], at) for at in range(20)]
    assert offsets == [0, 1, 2, None, None, None, None, 3, 4, 5, 6, *[None] * 8, 7]
    nested = b'{"d": {"e": {"text": "deep"}}, "d.e": 1}'
    inner = locate(nested, "d.e.text")
    assert nested[inner.begin : inner.end] == b"deep"
