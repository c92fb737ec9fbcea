"""Each fault of the user's: one clear line, exit code 2, nothing lost."""

import json
import os
import shutil
from pathlib import Path

import pytest
from conftest import Command, documents, opened, refused, write_jsonl

from chameleon.common.errors import InputError

GOOD = json.dumps({"text": "good text"})


def corpus_with(directory: Path, content: bytes) -> Path:
    """A directory of two domains, one of them with this content in its file."""
    write_jsonl(directory / "fine.jsonl", ["something", "else"])
    (directory / "odd.jsonl").write_bytes(content)
    return directory


LINES: list[tuple[bytes, str]] = [
    (b'{"text": "cut off', "odd.jsonl, line 2: malformed JSON: Unterminated string"),
    (b"[" * 100_000, "odd.jsonl, line 2: malformed JSON: nested too deeply"),
    (b'["a list"]', 'odd.jsonl, line 2: expected an object with a field "text", got list'),
    (b"null", 'odd.jsonl, line 2: expected an object with a field "text", got NoneType'),
    (b'{"content": "x", "id": 1}', 'line 2: expected a field "text", found the fields content, id'),
    (b'{"text": null}', 'line 2: expected a string in the field "text", got null'),
    (b'{"text": "caf\xe9"}', "line 2: not UTF-8: byte 0xe9 in column 14"),
    (b'{"text": "\\ud800"}', 'line 2: the field "text" holds half of a surrogate pair'),
]


@pytest.mark.parametrize(("line", "expected"), LINES, ids=[expected[-20:] for _, expected in LINES])
def test_a_bad_line_is_named(line: bytes, expected: str, tmp_path: Path) -> None:
    corpus_with(tmp_path, GOOD.encode() + b"\n" + line + b"\n" + GOOD.encode())
    with pytest.raises(InputError) as caught:
        opened(tmp_path)
    assert expected in str(caught.value)
    assert "--skip_bad_lines" in str(caught.value)


def test_bad_lines_are_left_out_and_counted_when_asked(tmp_path: Path) -> None:
    lines = [GOOD.encode(), *(line for line, _ in LINES), GOOD.encode()]
    corpus = opened(corpus_with(tmp_path, b"\n".join(lines)), skip_bad_lines=True)
    odd = corpus.domains[1]
    assert documents(odd.text) == [b"good text"] * 2
    assert corpus.provenance["skipped_lines"] == {"odd": len(LINES)}
    assert corpus.notices[0].startswith(f"odd: {len(LINES)} bad lines left out, the first is {tmp_path}")


def test_a_file_that_changes_while_it_is_read_is_noticed(tmp_path: Path) -> None:
    corpus = opened(corpus_with(tmp_path, GOOD.encode()))
    (tmp_path / "odd.jsonl").write_bytes(b"x" * len(GOOD))
    with pytest.raises(InputError, match="changed while it was read"):
        documents(corpus.domains[1].text)


@pytest.mark.parametrize("change", ["emptied", "cut", "removed"])
def test_a_file_that_loses_text_while_it_is_read_is_noticed(change: str, tmp_path: Path) -> None:
    write_jsonl(tmp_path / "fine.jsonl", ["something"])
    write_jsonl(tmp_path / "odd.jsonl", [f"text {i}" for i in range(50)])
    odd = opened(tmp_path).domains[1]
    path = tmp_path / "odd.jsonl"
    if change == "removed":
        path.unlink()
    else:
        path.write_bytes(
            b"".join(path.read_bytes().splitlines(keepends=True)[: 20 if change == "cut" else 0])
        )
    with pytest.raises(InputError, match=r"changed while it was read.*; run again"):
        documents(odd.text)


def test_links_are_followed_hidden_things_left_out_and_every_text_file_is_read(tmp_path: Path) -> None:
    corpus, elsewhere = tmp_path / "corpus", tmp_path / "elsewhere"
    write_jsonl(elsewhere / "more.jsonl", ["linked"])
    write_jsonl(corpus / "a" / "own.jsonl", ["own"])
    write_jsonl(corpus / "a" / ".ipynb_checkpoints" / "own-checkpoint.jsonl", ["hidden"])
    (corpus / "a" / "more").symlink_to(elsewhere)
    (corpus / "a" / "up").symlink_to(corpus / "a")
    (corpus / "b.jsonl").symlink_to(elsewhere / "more.jsonl")
    for name in ("_c.jsonl", "LICENSES.jsonl", "README_corpus.jsonl", "c.md/x.jsonl", "a-b.jsonl"):
        write_jsonl(corpus / name, [name])
    for name in ("README.md", "LICENSE", "_SUCCESS", ".hidden.jsonl", "a/README"):
        (corpus / name).write_text("no data")
    domains = {d.name: [each.decode() for each in documents(d.text)] for d in opened(corpus).domains}
    assert domains == {
        "LICENSES": ["LICENSES.jsonl"], "README_corpus": ["README_corpus.jsonl"], "_c": ["_c.jsonl"],
        "a": ["linked", "own"], "a-b": ["a-b.jsonl"], "b": ["linked"], "c.md": ["c.md/x.jsonl"],
    }  # fmt: skip
    assert list(domains) == sorted(domains)


@pytest.mark.parametrize("kind", ["link to nothing", "pipe"])
@pytest.mark.parametrize("place", ["b.jsonl", "a/b.jsonl"])
def test_what_is_no_file_in_a_corpus_is_told(place: str, kind: str, tmp_path: Path) -> None:
    write_jsonl(tmp_path / "a" / "x.jsonl", ["text"])
    if kind == "pipe":
        os.mkfifo(tmp_path / place)
    else:
        (tmp_path / place).symlink_to("nowhere")
    with pytest.raises(InputError, match=f"found {place}"):
        opened(tmp_path)


def test_names_that_are_not_utf8_are_told(command: Command, tmp_path: Path) -> None:
    corpus = tmp_path / "corpus"
    write_jsonl(corpus / "a.jsonl", ["text"])
    write_jsonl(Path(os.fsdecode(os.fsencode(corpus / "odd") + b"\xff.jsonl")), ["text"])
    refused(command("--dataset", corpus), r"corpus: the file name b'odd\\xff' is not UTF-8; rename it")
    name = os.fsdecode(b"d\xff")
    refused(command("--dataset", name), "the dataset's name .* is not UTF-8")
    refused(command("--dataset", corpus, "--checkpoint_path", name), "the checkpoint's name .* is not UTF-8")


def test_directories_that_are_no_corpus(tmp_path: Path) -> None:
    cases = {
        "empty": ([], "is empty; expected one file"),
        "one": (["a.jsonl"], "weights need at least 2 domains, but .* holds only a"),
        "foreign": (["a.jsonl", "b.csv"], "expected one file.* found b.csv"),
        "twice": (["a.jsonl", "a/x.jsonl"], "holds both a/ and a.jsonl: rename"),
        "hollow": (["a.jsonl", "b/.hidden"], "b holds no text files"),
    }
    for name, (files, expected) in cases.items():
        (tmp_path / name).mkdir()
        for file in files:
            write_jsonl(tmp_path / name / file, ["text"])
        with pytest.raises(InputError, match=expected):
            opened(tmp_path / name)


def test_a_domain_without_text_is_named(tmp_path: Path) -> None:
    corpus_with(tmp_path, b'{"text": ""}\n{"text": "  "}\n\n')
    with pytest.raises(InputError, match="no text in domain odd"):
        opened(tmp_path)


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (["--num_samples", "0"], "--num_samples: expected a whole number of at least 1, got '0'"),
        (["--num_samples", "many"], "--num_samples: expected a whole number of at least 1, got 'many'"),
        (["--sample_length", "-5"], "--sample_length: expected"),
        (["--embedding_batch_size", "0"], "--embedding_batch_size: expected"),
        (["--lambda_reg", "0"], "--lambda_reg: expected a number above 0, got '0'"),
        (["--lambda_reg", "nan"], "--lambda_reg: expected"),
        (["--pt_temperature", "-1"], "--pt_temperature: expected"),
        (["--ft_temperature", "inf"], "--ft_temperature: expected"),
        (["--rbf_sigma", "0"], "--rbf_sigma: expected"),
        (["--dataset", ""], "--dataset: expected a name, got an empty one"),
        (["--checkpoint_path", ""], "--checkpoint_path: expected a name, got an empty one"),
        (["--embeddings_dir", ""], "--embeddings_dir: expected a name"),
        (["--output", ""], "--output: expected a name"),
        (["--dataset", "~nobody-here/x y"], "there is no directory ~nobody-here/x y"),
        (["--dataset", "x" * 5000 + "/"], "there is no directory xxx"),
        (["--checkpoint_path", "~nobody-here/x y"], "there is no checkpoint ~nobody-here"),
        (["--checkpoint_path", "/" + "x" * 5000], "there is no checkpoint /xxx"),
        (["--embeddings_dir", "x" * 5000], "a name in it is over 255 bytes"),
        (["--embeddings_dir", "x" * 5000, "--skip_embedding_generation"], "no directory xxx"),
        (["--device", "meta"], "--device meta cannot be used here"),
        (["--device", "hpu"], "--device hpu cannot be used here"),
        (["--seed", "-1"], "--seed: expected a whole number, not negative"),
        (["--mode", "train"], "--mode: invalid choice: 'train'"),
        (["--moed", "pretrain"], "unrecognized arguments: --moed pretrain"),
        (["--dataset", "./nowhere"], "there is no directory ./nowhere"),
        (["--checkpoint_path", "./nowhere", "--dataset", "builtin"], "there is no checkpoint ./nowhere"),
        (["--device", "abacus"], "--device abacus cannot be used here"),
        (["--output", "."], "cannot write .: it is a directory"),
        (["--skip_embedding_generation"], "there are no embeddings"),
    ],
)
def test_a_flag_that_cannot_be(command: Command, flags: list[str], expected: str) -> None:
    refused(command(*flags), expected)


def test_outputs_that_cannot_be_written_are_told_before_the_work(command: Command, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    refused(
        command("--output", "file/weights.json"), "cannot write file/weights.json: .*file is not a directory"
    )
    refused(command("--embeddings_dir", "file"), "cannot write file/")
    assert (tmp_path / "file").read_text() == "in the way"


def test_checkpoints_that_are_none(command: Command, corpus_directory: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "weightless").mkdir()
    (tmp_path / "weightless" / "config.json").write_text("{}")
    common = ["--dataset", corpus_directory, "--checkpoint_path"]
    refused(command(*common, "empty"), "empty is not a checkpoint: it holds no config.json")
    refused(command(*common, "weightless"), "weightless is not a checkpoint: it holds no weights")


def test_windows_longer_than_the_context(command: Command, corpus_directory: Path, checkpoint: Path) -> None:
    run = command("--dataset", corpus_directory, "--checkpoint_path", checkpoint)
    refused(run, "a window of 512 tokens is over the context of 64 tokens .* use --sample_length 64")


@pytest.mark.parametrize("how", ["truncated", "foreign", "not finite"])
def test_damaged_embeddings(how: str, command: Command, stored_run: Path, tmp_path: Path) -> None:
    import numpy as np
    from safetensors.numpy import load, save

    shutil.copytree(stored_run / "embeddings", tmp_path / "embeddings")
    path = next((tmp_path / "embeddings").glob("law-*.safetensors"))
    content = path.read_bytes()
    if how == "truncated":
        path.write_bytes(content[:-100])
        expected = f"{path.name} is truncated or damaged .* delete it"
    elif how == "foreign":
        path.write_bytes(save({"embeddings": np.zeros((12, 16), np.float32)}))
        expected = f"{path.name} is not a file of embeddings of this program"
    else:
        header = 8 + int.from_bytes(content[:8], "little")
        begin = content.index(b'"embeddings"')
        offset = int(content[content.index(b'"data_offsets":[', begin) + 16 :].split(b",", 1)[0])
        at = header + offset + 5 * 16 * 4
        path.write_bytes(content[:at] + np.float32(np.nan).tobytes() + content[at + 4 :])
        assert not np.isfinite(load(path.read_bytes())["embeddings"][5]).all()
        expected = "domain law: the embedding of window 5 is not finite"
    refused(command("--skip_embedding_generation"), expected)


def test_a_file_of_embeddings_that_is_missing_or_a_record_that_is_damaged(
    command: Command, stored_run: Path, tmp_path: Path
) -> None:
    shutil.copytree(stored_run / "embeddings", tmp_path / "embeddings")
    next((tmp_path / "embeddings").glob("law-*.safetensors")).unlink()
    refused(command("--skip_embedding_generation"), "the embeddings of domain law are missing")
    next((tmp_path / "embeddings").glob("*.run.json")).write_text("{")
    refused(command("--skip_embedding_generation"), "run.json is damaged or not of this program")
