"""Only the parts of files that are needed are read."""

import json
import random
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import documents, opened
from sampling import cut

from chameleon.text.corpora import Corpus
from chameleon.text.corpora.spool import UnitsText
from chameleon.text.corpora.storage import File


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """The stretches of files that are read, as they are."""
    found: list[tuple[int, int]] = []
    real = File._read

    def noted(self: File, begin: int, end: int) -> bytes:
        found.append((begin, end))
        return real(self, begin, end)

    monkeypatch.setattr(File, "_read", noted)
    return found


def mixed(root: Path, rows: int = 8000, group: int = 20) -> Corpus:
    """A parquet corpus of one common domain, a rarer one and one in a row of a hundred, many row groups."""
    rng = random.Random(0)
    labels = rng.choices(["common", "rarer", "rare"], [0.8, 0.19, 0.01], k=rows)
    texts = ["".join(rng.choices("abcdefgh ", k=400)) for _ in labels]
    root.mkdir()
    pq.write_table(pa.table({"text": texts, "label": labels}), root / "train-0.parquet", row_group_size=group)
    return opened(root, domain_column="label", scratch=root.parent)


def test_of_mixed_files_only_the_row_groups_with_windows_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chameleon.text.corpora.spool.WHOLE_BYTES", 1000)  # a corpus that is not small
    corpus = mixed(tmp_path / "c")
    texts = {domain.name: domain.text for domain in corpus.domains}
    read = []
    for name in ("common", "rarer", "rare"):
        text = texts[name]
        assert isinstance(text, UnitsText)
        cut(text, 0, 256)
        read.append(sum(read.done() and not read.exception() for read in text.units._reads.values()))
    # Of 400 row groups 32 may be read, and a few ahead; domains that share them read them once.
    assert read[0] < 40
    assert read[1] < 50
    assert read[2] < 100
    corpus.close()


def test_labels_are_read_without_text(tmp_path: Path, reads: list[tuple[int, int]]) -> None:
    from chameleon.text.corpora.parquet import parquet_texts
    from chameleon.text.corpora.spool import Spool

    mixed(tmp_path / "c").close()
    path = tmp_path / "c" / "train-0.parquet"
    file = File(str(path), path.stat().st_size, "", str(path), filesystem=Local())
    reads.clear()
    texts, units = parquet_texts([file], "x", "text", "label", {}, (), Spool(tmp_path))
    assert sorted(texts) == ["common", "rare", "rarer"]
    # Two reads for what the file says of itself, and one of a few bytes a row group.
    assert len(reads) <= 2 + 400
    assert max(end - begin for begin, end in reads[2:]) < 200
    reads.clear()
    texts["common"].unit(0)
    assert len(reads) <= 2
    assert sum(end - begin for begin, end in reads) < 0.01 * file.size
    units.close()


class Local:
    """A filesystem that stands for a remote one."""

    async_impl = True

    def cat_file(self, path: str, start: int, end: int) -> bytes:
        return Path(path).read_bytes()[start:end]


def test_large_files_are_sought_in_and_not_read(tmp_path: Path, reads: list[tuple[int, int]]) -> None:
    line = json.dumps({"text": "word " * 200, "meta": {"source": "x" * 50}}) + "\n"
    for name in ("a", "b"):
        (tmp_path / "c").mkdir(exist_ok=True)
        (tmp_path / "c" / f"{name}.jsonl").write_text(line * 40_000)
    corpus = opened(tmp_path / "c")
    windows = cut(corpus.domains[0].text, 0, 16)
    assert len(windows.tokens) >= 16
    assert sum(end - begin for begin, end in reads) < 0.5 * len(line) * 40_000


def test_a_large_row_group_is_read_in_pieces(
    tmp_path: Path, reads: list[tuple[int, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    from chameleon.text.corpora.parquet import parquet_texts
    from chameleon.text.corpora.spool import Spool

    texts = ["".join(random.Random(i).choices("abcdefgh ", k=5000)) for i in range(1200)]
    path = tmp_path / "d.parquet"
    pq.write_table(
        pa.table({"text": texts}), path, use_dictionary=False, data_page_size=100_000, write_batch_size=20
    )
    found = []
    for limit in (1 << 40, 1000):
        monkeypatch.setattr("chameleon.text.corpora.parquet._IN_ONE_REQUEST", limit)
        file = File(str(path), path.stat().st_size, str(limit), str(path), filesystem=Local())
        by_name, units = parquet_texts([file], "x", "text", None, {}, (), Spool(tmp_path))
        reads.clear()
        assert documents(by_name[""]) == [text.encode() for text in texts]
        found.append(max(end - begin for begin, end in reads))
        units.close()
    assert found[0] > 0.9 * path.stat().st_size
    assert found[1] < 1.5 * (1 << 20)


def test_labels_known_from_statistics_are_counted_right(tmp_path: Path) -> None:
    (tmp_path / "c").mkdir()
    table = pa.table({"text": ["x"] * 30 + [" "] * 3, "label": ["a"] * 10 + ["b"] * 23})
    pq.write_table(table, tmp_path / "c" / "0.parquet", row_group_size=10)
    corpus = opened(tmp_path / "c", domain_column="label", scratch=tmp_path)
    assert {domain.name: domain.text.count for domain in corpus.domains} == {"a": 10, "b": 23}
    # Rows of white space are no documents.
    assert [len(documents(domain.text)) for domain in corpus.domains] == [10, 20]
    corpus.close()


def test_small_sources_and_few_units_are_read_all_over() -> None:
    from chameleon.text.corpora.spool import unit_budget

    assert unit_budget(100, 1 << 20, 0.01, 24) >= 100  # small as a whole
    assert unit_budget(20, 1 << 40, 0.01, 24) >= 20  # all of it is read anyway
    assert unit_budget(200, 1 << 40, 0.01, 24) == 24
    assert unit_budget(6000, 1 << 40, 0.01, 24) == 60
    assert unit_budget(10**6, 1 << 50, 0.01, 24) == 10_000
