"""The weights value, files written whole, and the random order."""

import json
import os
from pathlib import Path

import numpy as np
import pytest

from chameleon import DomainWeights, InputError
from chameleon.files import check_writable, digest_of_files, digest_of_json, write_atomically
from chameleon.permutation import permuted
from chameleon.store import DomainEmbeddings, file_name, read_embeddings, write_embeddings
from chameleon.table import render_table

ODD_NAMES = ("with space", "日本語", 'quo"te', "slash/../x", "a: b", "emoji 🦎", "")


def odd_weights() -> DomainWeights:
    shares = np.arange(1.0, 8) / 28
    facts = {name: {"score": 0.1 * i, "windows": 3} for i, name in enumerate(ODD_NAMES, 1)}
    return DomainWeights(
        ODD_NAMES,
        shares,
        "chameleon",
        "pretrain",
        domains=facts,
        diagnostics={"effective_dimension": 2.8},
        settings={
            "kernel": "linear", "lambda_reg": 10.0, "ridge": 70.0, "temperature_used": 5.0,
            "recipe": "released",
        },
        notices=("a notice",),
    )  # fmt: skip


def test_a_weights_file_reads_back_as_it_was_written(tmp_path: Path) -> None:
    weights = odd_weights()
    weights.write(tmp_path / "w.json")
    again = DomainWeights.read(tmp_path / "w.json")
    assert again.by_name() == weights.by_name()
    assert {**again.to_dict(), "date": 0} == {**weights.to_dict(), "date": 0}
    assert list(json.loads((tmp_path / "w.json").read_text())["weights"]) == list(ODD_NAMES)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ('{"weights": {"a": 0.5, "b": 0.4}}', "sum to 1"),
        ('{"weights": {"a": 1.5, "b": -0.5}}', "none negative"),
        ('{"weights": {"a": NaN, "b": 1}}', "sum to 1"),
        ('{"weights": [0.5, 0.5]}', 'expected an object "weights"'),
        ('{"weights": {"a": "1"}}', 'expected an object "weights"'),
        ("{}", 'expected an object "weights"'),
        ("[]", "is not a weights file"),
        ("{", "is not a weights file"),
    ],
)
def test_what_is_no_weights_file_is_refused(content: str, expected: str, tmp_path: Path) -> None:
    (tmp_path / "w.json").write_text(content)
    with pytest.raises(InputError, match=expected):
        DomainWeights.read(tmp_path / "w.json")
    with pytest.raises(InputError, match="cannot read the weights file"):
        DomainWeights.read(tmp_path / "none.json")


def test_names_must_differ_and_fit_the_weights() -> None:
    with pytest.raises(InputError, match="named once"):
        DomainWeights(("a", "a"), np.array([0.5, 0.5]), "m")
    with pytest.raises(InputError, match="shape"):
        DomainWeights(("a",), np.array([0.5, 0.5]), "m")


def test_the_table_has_a_line_for_each_domain_whatever_its_name() -> None:
    weights = odd_weights()
    for unicode in (True, False):
        lines = render_table(weights, "w.json", unicode=unicode).splitlines()
        rows = lines[3:10]
        assert [float(row.split()[-2]) for row in rows] == [
            round(w * 7, 2) for w in sorted(weights.weights)[::-1]
        ]
        assert "w.json" in lines[-1]
    assert render_table(weights, "x", unicode=False).replace("日本語", "").replace("🦎", "").isascii()
    hostile = DomainWeights(("a\nb\x1b[2J", "c"), np.array([0.5, 0.5]), "m", domains={
        "a\nb\x1b[2J": {"score": 0.5}, "c": {"score": 0.5}}, settings=weights.settings,
        diagnostics=weights.diagnostics)  # fmt: skip
    assert "\x1b" not in render_table(hostile, "x")
    assert len(render_table(hostile, "x").splitlines()) == 10


def test_a_write_that_fails_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    write_atomically(path, b"old")
    assert path.stat().st_mode & 0o777 == 0o666 & ~_umask()

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(InputError, match=r"cannot write .*file: No space left on device"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def _umask() -> int:
    umask = os.umask(0)
    os.umask(umask)
    return umask


def test_places_that_cannot_be_written_are_known_beforehand(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    check_writable(tmp_path / "new" / "deep" / "file")
    with pytest.raises(InputError, match="it is a directory"):
        check_writable(tmp_path)
    with pytest.raises(InputError, match="file is not a directory"):
        check_writable(tmp_path / "file" / "x")


def test_digests_tell_content_and_names_and_not_order_of_keys(tmp_path: Path) -> None:
    assert digest_of_json({"a": 1, "b": 2}) == digest_of_json({"b": 2, "a": 1}) != digest_of_json({"a": 1})
    (tmp_path / "a").write_text("x")
    (tmp_path / "b").write_text("x")
    assert digest_of_files([tmp_path / "a"]) != digest_of_files([tmp_path / "b"])


def test_stored_embeddings_read_back_and_odd_names_are_safe_and_distinct(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    stored = DomainEmbeddings(
        rng.normal(size=(5, 3)).astype(np.float32),
        np.arange(5),
        np.arange(5) // 2,
        np.full(5, 7),
        available=9,
    )
    names = [file_name(name, {"seed": 0}) for name in (*ODD_NAMES, "slash_.._x", "a_b")]
    assert len(set(names)) == len(names)
    assert file_name("a", {"seed": 0}) != file_name("a", {"seed": 1})
    for name in names:
        assert "/" not in name
        write_embeddings(tmp_path / name, "d", {"seed": 0}, stored)
        again = read_embeddings(tmp_path / name)
        np.testing.assert_array_equal(again.embeddings, stored.embeddings)
        np.testing.assert_array_equal(again.documents, stored.documents)
        assert again.available == 9


@pytest.mark.parametrize("size", [1, 2, 3, 15, 16, 17, 255, 256, 257, 1000])
def test_the_order_is_a_permutation_any_part_of_which_is_had_alone(size: int) -> None:
    whole = permuted(np.arange(size), size, key=5)
    assert sorted(whole.tolist()) == list(range(size))
    np.testing.assert_array_equal(permuted(np.arange(size // 3, size), size, key=5), whole[size // 3 :])
    assert size < 15 or whole.tolist() != permuted(np.arange(size), size, key=6).tolist()


def test_the_first_of_an_order_is_uniform_over_keys() -> None:
    keys = [int.from_bytes(bytes([k % 256, k // 256, 7, 9, 1]), "little") for k in range(4000)]
    firsts = np.array([permuted(np.arange(1), 20, key)[0] for key in keys])
    counts = np.bincount(firsts, minlength=20)
    assert ((counts - 200) ** 2 / 200).sum() < 43.8  # chi-square of 19 degrees, 1 in 1,000


def test_orders_of_very_many_things_stay_in_range() -> None:
    images = permuted(np.arange(10_000), 10**13, key=2**63 + 1)
    assert images.min() >= 0
    assert images.max() < 10**13
    assert len(set(images.tolist())) == 10_000
