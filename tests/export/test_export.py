"""Weights as trainers' files and back, with names of all kinds; what cannot be written is refused by name."""

import csv
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import yaml
from conftest import ROOT
from hypothesis import given, settings
from hypothesis import strategies as st

from chameleon.common.errors import InputError
from chameleon.export import check
from chameleon.export.command import main as export_main
from chameleon.export.draws import draw, shares_in_file
from chameleon.export.formats import FORMATS, Draws
from chameleon.export.mixture import LaterStage, TrainerSource, read_sources
from chameleon.export.trainers.json_csv import DOGE_ORDER
from chameleon.export.write import export
from chameleon.training.schedule import MixtureDomains, read_schedule
from chameleon.weights.domain_weights import DomainWeights

ODD = (
    "a b",
    "it's",
    'say "hi"',
    "größe/漢字",
    "#x: y",
    "- z",
    "$HOME `ls`",
    "true",
    "1e5",
    "{q}",
    "back\\slash",
    "~",
)
PLAIN = ("web", "books_2", "code.v1")
HEAD = "domain,share_of_tokens\n"


def weights_of(names: tuple[str, ...], seed: int = 0, zero: bool = False) -> DomainWeights:
    shares = np.random.default_rng(seed).dirichlet(np.ones(len(names)))
    if zero:
        shares[0] = 0
        shares /= shares.sum()
    return DomainWeights(names, shares, "test", settings={"budget": 1e9})


def sources_of_names(names: tuple[str, ...], seed: int = 1) -> dict[str, TrainerSource]:
    lengths = np.random.default_rng(seed).uniform(50, 5000, len(names))
    return {name: TrainerSource((name,), (), float(n)) for name, n in zip(names, lengths, strict=True)}


def read_back(
    text: str, format_name: str, weights: DomainWeights, sources: dict[str, TrainerSource]
) -> np.ndarray:
    """The shares of tokens that a file means."""
    row = FORMATS[format_name]
    read = shares_in_file(row.read(text).numbers, row, weights.names, weights.weights, sources)
    assert read.problems == ()
    return read.shares


@pytest.mark.parametrize("format_name", FORMATS)
@pytest.mark.parametrize("k", [2, 7, 1000])
def test_what_is_written_is_read_back(format_name: str, k: int) -> None:
    names = tuple(f"domain_{i}" for i in range(k))
    weights, sources = weights_of(names, k), sources_of_names(names)
    text = export(weights, format_name, sources)
    np.testing.assert_allclose(read_back(text, format_name, weights, sources), weights.weights, atol=1e-9)
    assert FORMATS[format_name].read(text).problems == ()


NAMES = st.lists(
    st.one_of(st.sampled_from([*ODD, *PLAIN]), st.text(min_size=1, max_size=8)),
    min_size=2,
    max_size=6,
    unique=True,
).filter(lambda names: all(is_encodable(name) for name in names))


def is_encodable(name: str) -> bool:
    return name.encode(errors="replace").decode() == name


@pytest.mark.parametrize("format_name", FORMATS)
@given(names=NAMES, seed=st.integers(0, 99))
@settings(max_examples=150, deadline=None)
def test_odd_names_come_back_or_are_refused_by_name(format_name: str, names: list[str], seed: int) -> None:
    weights, sources = weights_of(tuple(names), seed), sources_of_names(tuple(names))
    try:
        text = export(weights, format_name, sources)
    except InputError as error:
        shown = str(error)
        assert any(repr(name) in shown or name in shown or repr(f"train_{name}") in shown for name in names)
        return
    text = text.encode().decode()
    np.testing.assert_allclose(read_back(text, format_name, weights, sources), weights.weights, atol=1e-9)


@pytest.mark.parametrize("name", ODD)
def test_names_that_a_format_can_hold_are_not_refused(name: str) -> None:
    names = (name, "other")
    for format_name in ("mosaicml", "huggingface", "huggingface-json", "litdata", "olmo-core", "levanter",
                        "nanotron", "torchtitan", "doremi", "csv", "megatron-splits"):  # fmt: skip
        export(weights_of(names), format_name, sources_of_names(names))


def test_a_shell_passes_on_what_megatron_is_to_read() -> None:
    names = ("a b", "it's", 'say "hi"', "größe/漢字", "$HOME `ls`", "#x", "back\\slash", "*")
    weights = weights_of(names)
    text = export(weights, "megatron", sources_of_names(names))
    line = text.splitlines()[-1]
    program = "import json,sys;print(json.dumps(sys.argv[1:]))"
    run = subprocess.run(
        ["bash", "-c", f"{sys.executable} -c '{program}' {line}"], capture_output=True, text=True, check=True
    )
    flag, *words = json.loads(run.stdout)
    assert flag == "--data-path"
    assert words[1::2] == list(names)
    np.testing.assert_allclose([float(each) for each in words[::2]], weights.weights, atol=1e-9)


@pytest.mark.parametrize("format_name", FORMATS)
def test_domains_of_no_weight_are_left_out_where_they_would_break(format_name: str) -> None:
    names = ("empty", *PLAIN)
    weights = weights_of(names, zero=True)
    text = export(weights, format_name, sources_of_names(names))
    assert ("empty" in text) == FORMATS[format_name].keeps_zeros
    found = FORMATS[format_name].read(text).numbers
    assert all(number > 0 for key, number in found.items() if "empty" not in key)


def test_rows_are_converted_and_refused_where_their_length_is_not_known() -> None:
    names = ("short", "long")
    weights = DomainWeights(names, np.array([0.5, 0.5]), "test", settings={"budget": 1e6})
    sources = {"short": TrainerSource(("s",), (), 100.0), "long": TrainerSource(("l",), (), 300.0)}
    content = json.loads(export(weights, "huggingface-json", sources))
    assert content["probabilities"] == pytest.approx({"short": 0.75, "long": 0.25})
    # Half a million tokens of each in rows of 100 and 300.
    content = yaml.safe_load(export(weights, "mosaicml", sources))
    assert content["dataset"]["epoch_size"] == round(5e5 / 100 + 5e5 / 300)
    for format_name, row in FORMATS.items():
        unknown = {**sources, "long": TrainerSource(("l",))}
        if row.counts == "rows":
            with pytest.raises(InputError, match="how many tokens a row of long has is not known"):
                export(weights, format_name, unknown)
        else:
            export(weights, format_name, unknown)
    with pytest.raises(InputError, match="epoch_size"):
        export(replace(weights, settings={}), "mosaicml", sources)


def test_a_domain_in_several_files_divides_its_weight_by_their_tokens() -> None:
    weights = DomainWeights(("a", "b"), np.array([0.6, 0.4]), "test")
    sources = {"a": TrainerSource(("a0", "a1"), (100.0, 200.0)), "b": TrainerSource(("b0",))}
    words = export(weights, "megatron-file", sources).split()
    assert dict(zip(words[1::2], map(float, words[::2]), strict=True)) == pytest.approx(
        {"a0": 0.2, "a1": 0.4, "b0": 0.4}
    )
    np.testing.assert_allclose(read_back(" ".join(words), "megatron-file", weights, sources), [0.6, 0.4])
    assert yaml.safe_load(export(weights, "olmo-core", sources))["sources"][0]["paths"] == ["a0", "a1"]
    with pytest.raises(InputError, match="one path a domain, got a0, a1"):
        export(
            weights, "litdata", {name: replace(each, tokens_per_row=1.0) for name, each in sources.items()}
        )


@pytest.mark.parametrize("format_name", [name for name, row in FORMATS.items() if row.takes_stages])
def test_two_stages_in_one(format_name: str) -> None:
    weights, later = weights_of(PLAIN, 1), weights_of(PLAIN, 2)
    text = export(weights, format_name, sources_of_names(PLAIN), later=[LaterStage(5000, later)])
    found = FORMATS[format_name].read(text)
    np.testing.assert_allclose(list(found.numbers.values()), weights.weights, atol=1e-9)
    ((step, numbers),) = found.stages
    assert step == 5000
    np.testing.assert_allclose([numbers[name] for name in PLAIN], later.weights, atol=1e-9)


def test_regmix_takes_names_with_and_without_its_prefix() -> None:
    weights = weights_of(PLAIN)
    sources = {
        "web": TrainerSource(("train_web",)),
        "books_2": TrainerSource(("b",)),
        "code.v1": TrainerSource(("train_c",)),
    }
    text = export(weights, "regmix", sources)
    assert list(yaml.safe_load(text)["train"]) == ["train_web", "train_b", "train_c"]
    np.testing.assert_allclose(read_back(text, "regmix", weights, sources), weights.weights, atol=1e-9)


def test_more_datasets_than_megatron_can_number_are_refused() -> None:
    names = tuple(map(str, range((1 << 15) - 1)))
    with pytest.raises(InputError, match="up to 32,766; here are 32,767"):
        export(weights_of(names), "megatron-file", {name: TrainerSource((name,)) for name in names})


def test_training_takes_a_schedule_that_is_exported(there: DomainWeights) -> None:
    later = weights_of(PLAIN, 2)
    later.write("later.json")
    flags = ["--format", "chameleon", "--then", "later.json", "--at", "700", "--output", "s.json"]
    assert export_main(["w.json", *flags]) == 0
    domains = MixtureDomains(PLAIN[::-1], np.array([5, 6, 7]), "corpus", {})
    first, second = read_schedule("s.json", domains)
    assert (first.step, second.step, second.over) == (0, 700, 0)
    np.testing.assert_allclose(first.weights, [there.by_name()[name] for name in PLAIN[::-1]], atol=1e-9)
    np.testing.assert_allclose(second.weights, [later.by_name()[name] for name in PLAIN[::-1]], atol=1e-9)


def test_doge_gets_its_own_order_and_a_place_for_the_mixture() -> None:
    names = ("wikipedia", "c4", "cc", "book", "arxiv", "stackexchange", "github")
    weights = weights_of(names)
    content = json.loads(export(weights, "doge", sources_of_names(names)))
    assert content["train_domains"] == ",".join(DOGE_ORDER)
    numbers = [float(each) for each in content["train_dw"].split(",")]
    assert numbers == pytest.approx([*(weights.by_name()[name] for name in DOGE_ORDER[:-1]), 0.0])
    swapped = ["arxiv", "book", "cc", "c4", "github", "stackexchange", "wikipedia"]
    text = json.dumps({"train_domains": ",".join(swapped), "train_dw": ",".join(map(str, numbers[:-1]))})
    assert "numbers reach other domains" in FORMATS["doge"].read(text).problems[0]


def test_what_each_trainer_needs_stands_in_its_file() -> None:
    weights, sources = weights_of(PLAIN), sources_of_names(PLAIN)
    texts = {name: export(weights, name, sources) for name in FORMATS}
    splits = json.loads(texts["megatron-splits"])
    assert splits.keys() == {"train", "valid", "test"}
    assert splits["valid"] is None
    assert json.loads(texts["nemo"]).keys() == {"train", "validation", "test"}
    assert "iterate_over_all=False," in texts["litdata"]
    assert sum(
        each["target_ratio"] for each in yaml.safe_load(texts["olmo-core"])["sources"]
    ) == pytest.approx(1)
    assert yaml.safe_load(texts["llamafactory"])["mix_strategy"] == "interleave_over"
    assert yaml.safe_load(texts["regmix"])["valid"] == {f"valid_{name}": 1.0 for name in PLAIN}
    doremi = json.loads(texts["doremi"])
    assert list(doremi["train_domain_weights"]) == sorted(PLAIN)
    assert doremi["eval_domain_weights"] == doremi["train_domain_weights"]
    held = {name: replace(each, further={"valid": f"v_{name}"}) for name, each in sources.items()}
    assert json.loads(export(weights, "megatron-splits", held))["valid"][1::2] == [
        f"v_{name}" for name in PLAIN
    ]
    seen = replace(weights, domains={name: {"epochs": 2.5} for name in PLAIN})
    assert yaml.safe_load(export(seen, "olmo-core", sources))["sources"][0]["max_repetition_ratio"] == 2.53
    for name, row in FORMATS.items():
        assert ("# chameleon" in texts[name]) == row.has_comments or name == "huggingface-json"


# Draws


@pytest.mark.parametrize("how", get_args(Draws))
def test_draws_come_near_the_weights(how: Draws) -> None:
    numbers = np.array([1.0, 3.0, 6.0, 0.0])
    counts = draw(numbers, 20_000, how)
    assert counts.sum() == 20_000
    assert counts[3] == 0
    bound = {"quota": 1, "even": 1, "random": 400, "blocks": 30}[how]
    assert np.abs(counts - numbers * 2000).max() <= bound


def test_even_draws_are_those_of_megatron() -> None:
    """By hand: always the one that is furthest behind its share so far."""
    assert draw(np.array([0.5, 0.25, 0.25]), 4, "even").tolist() == [2, 1, 1]
    assert draw(np.array([0.9, 0.1]), 2, "even").tolist() == [1, 1]
    assert draw(np.array([0.9, 0.1]), 5, "even").tolist() == [4, 1]


# The commands


def write(path: str, content: object) -> str:
    Path(path).write_text(content if isinstance(content, str) else json.dumps(content))
    return path


@pytest.fixture
def there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DomainWeights:
    """A weights file w.json in an empty directory."""
    monkeypatch.chdir(tmp_path)
    counts = {"web": 6e9, "books_2": 1e9, "code.v1": 3e9}
    weights = DomainWeights(
        PLAIN,
        np.array([0.2, 0.5, 0.3]),
        "chameleon",
        mode="pretrain",
        domains={name: {"corpus_tokens": count} for name, count in counts.items()},
        provenance={"dataset": {"name": "corpus"}, "proxy": {"tokenizer_digest": "abc"}},
    )
    weights.write("w.json")
    return weights


def test_export_and_check_as_a_user_runs_them(there: DomainWeights) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "chameleon", *arguments]
        return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)

    exported = run("export", "w.json", "--format", "megatron", "--budget", "10B", "--max_epochs", "4")
    assert exported.returncode == 0, exported.stderr
    assert "--data-path 0.24 web 0.4 books_2 0.36 code.v1" in exported.stdout
    rows = {line.split()[0]: line.split()[1:] for line in exported.stderr.splitlines() if line}
    assert rows["books_2"] == ["0.5000", "0.4000", "4B", "1B", "4.00", "1B"]
    Path("m.args").write_text(exported.stdout)
    limits = ("--budget", "10B", "--max_epochs", "4")
    checked = run("check", "w.json", "--format", "megatron", "--file", "m.args", *limits)
    assert checked.returncode == 0, checked.stdout
    assert "problems   none" in checked.stdout
    # Without the caps it is not what was asked for.
    checked = run("check", "w.json", "--format", "megatron", "--file", "m.args", "--budget", "10B")
    assert checked.returncode == 1
    assert "books_2: 0.4 of tokens, asked for 0.5" in checked.stdout


@pytest.mark.parametrize(
    ("format_name", "content", "expected"),
    [
        ("csv", f"{HEAD}web,0.5\nbooks_2,0.2\ncode.v1,0.3\n", "stand at other domains: web, books_2"),
        ("csv", f"{HEAD}web,0.2\nbooks_2,0.5\n", "it lacks code.v1"),
        ("csv", f"{HEAD}web,0.2\nbooks_2,0.5\ncode.v1,0.2\nx,0.1\n", "it has x, which is no domain"),
        ("huggingface-json", {"probabilities": {"web": 0.2, "books_2": 0.5, "code.v1": 0.3}},
         "its numbers are shares of tokens, but the trainer counts rows"),
        ("huggingface-json", {"probabilities": {"web": 2, "books_2": 1, "code.v1": 1}},
         "its numbers sum to 4"),
        ("huggingface-json", {"probabilities": {"web": 0.4, "books_2": 0.1, "code.v1": 0.5}},
         "the run stops after"),
        ("litdata", "WEIGHTS = {'web': 2, 'books_2': 1, 'code.v1': 1}\n"
         "CombinedStreamingDataset([], weights=1)", "iterate_over_all is not False"),
        ("litdata", "CombinedStreamingDataset([web, books_2, law], weights=[2, 1, 1], "
         "iterate_over_all=False)", "it has law, which is no domain"),
        ("mosaicml", "streams: {web: {proportion: 1}, books_2: {proportion: 1}, code.v1: {proportion: 1}}",
         "epoch_size is not set"),
        ("olmo-core", "sources: [{source_name: web, target_ratio: 0.2, paths: [x]}, {source_name: books_2, "
         "target_ratio: 0.4, paths: [y]}, {source_name: code.v1, target_ratio: 0.3, paths: [z]}]",
         "target_ratio sums to 0.9"),
        ("olmo-core", "sources: [{source_name: web, target_ratio: 0.2, paths: [x]}, {source_name: books_2, "
         "target_ratio: 0.5, paths: [y]}, {source_name: code.v1, target_ratio: 0.3, paths: [z]}]",
         "books_2 would be seen 5.00 times, but the file allows 1: the trainer stops"),
        ("megatron", "--data-path 0.2 web 0.5 books_2 0.3 code.v1", "books_2 is seen 5.0 times; cap it"),
        ("nemo", ["0.2", "web", "0.5", "books_2", "0.3", "other"], "it has other, which is no source"),
        ("megatron", "--data-path 0.2 web 0.5 books_2 0 code.v1", "the weight of code.v1 is 0, which"),
        ("llamafactory", "dataset: web,books_2,code.v1\ninterleave_probs: 0.2,0.5,0.3",
         "mix_strategy is concat"),
        ("doremi", {"train_domain_weights": {"web": 2, "books_2": 5, "code.v1": 3}},
         "no eval_domain_weights"),
        ("huggingface-json", {"probabilities": {"web": 0.5, "books_2": 0.5, "code.v1": 0},
                              "stopping_strategy": "all_exhausted"},
         "so with all_exhausted the draws never end"),
        ("huggingface-json", {"probabilities": {"web": 0.5, "books_2": 0.5}, "stopping_strategy": "x"},
         "the strategy is 'x'; datasets knows first_exhausted"),
        ("huggingface-json", {"probabilities": {"web": 0.5, "books_2": 0.3, "code.v1": 0.1999995}},
         "its numbers sum to 0.9999995"),
        ("llamafactory", "dataset: [web, books_2, code.v1]\ninterleave_probs: [0.5, 0.5, 0]\n"
         "mix_strategy: interleave_over", "so with all_exhausted the draws never end"),
        ("megatron", "--data-path 0.1 web 0.25 books_2 0.15 code.v1 0.5 law", "books_2: 0.25 of tokens"),
        ("megatron-splits", {"train": ["0.2", "web"], "validation": None, "test": None},
         "it has no valid, and Megatron-LM wants all three"),
        ("levanter", "train_weights: {web: 0.2, books_2: 0.7997, code.v1: 0.0003}", "code.v1: never drawn"),
        ("levanter", "train_weights: [[0, {web: 1}], [50, {web: 1, law: 1}], [50, {web: 1}]]",
         "its stages begin at 0, 50, 50"),
        ("levanter", "train_weights: [[0, {web: 1}], [50, {web: 1, law: 1}]]", "from step 50 on: it has law"),
        ("olmo-core", "sources: [{source_name: web, target_ratio: 1, paths: x, max_repetition_ratio: 0.5, "
         "max_source_fraction: 2}]", "max_repetition_ratio of web is 0.5, which OLMo-core refuses"),
        ("olmo-core", "sources: [{source_name: web, target_ratio: 0.2, paths: [x], "
         "max_source_fraction: 0.1}, {source_name: books_2, target_ratio: 0.8, paths: [y], "
         "max_repetition_ratio: 9}]",
         "web would be seen 0.33 times, but the file allows 0.1"),
        ("mosaicml", "streams: {web: {proportion: 1, split: train}}", "web has neither local nor remote"),
    ],
)  # fmt: skip
def test_check_says_what_is_wrong_with_a_file(
    there: DomainWeights,
    format_name: str,
    content: object,
    expected: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    write("lengths.json", {"web": 500, "books_2": 5000, "code.v1": 1000})
    flags = ["--file", write("x", content), "--tokens_per_row", "lengths.json", "--budget", "10B"]
    assert check.main(["w.json", "--format", format_name, *flags]) == 1
    assert expected in capsys.readouterr().out


def test_problems_of_many_domains_are_counted(
    there: DomainWeights, capsys: pytest.CaptureFixture[str]
) -> None:
    names = tuple(f"d{i}" for i in range(500))
    shares = np.full(500, 1e-9)
    shares[0] += 1 - shares.sum()
    DomainWeights(names, shares, "test").write("many.json")
    flags = ["--format", "csv", "--tokens_per_row", "1000"]
    assert export_main(["many.json", "--format", "csv", "--output", "many.csv"]) == 0
    assert check.main(["many.json", *flags, "--file", "many.csv"]) == 0
    table = capsys.readouterr().out
    assert "unseen     d1, d2, d3 and 496 more in these draws; see --draws" in table
    # A run of 50,000 rows would truly see none of them.
    counts = dict.fromkeys(names, 1000000000.0)
    write("counts.json", counts)
    limits = ["--budget", "50M", "--token_counts", "counts.json"]
    assert check.main(["many.json", *flags, *limits, "--file", "many.csv"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert sum(line.startswith("problem  ") for line in lines) == 20
    assert lines[-1] == "problems   479 more like these"


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (["--format", "mds"], "there is no format mds; there are chameleon, megatron"),
        (["--format", "csv", "--sources", "none.json"], "cannot read none.json (--sources)"),
        (
            ["--format", "csv", "--sources", "two.json"],
            "two.json has no source for code.v1 (--sources); it has web",
        ),
        (["--format", "csv", "--sources", "shared.json"], "x is a source of web and of books_2"),
        (["--format", "csv", "--sources", "many.json"], "2 paths, and which part of the weight each takes"),
        (["--format", "csv", "--sources", "bad.json"], "bad.json (--sources) is not JSON"),
        (
            ["--format", "csv", "--sources", "odd.json"],
            "expected a path, a list of paths, or an object of paths",
        ),
        (
            ["--format", "litdata", "--tokens_per_row", "0"],
            "that of web is 0.0; expected a number from 0.001",
        ),
        (
            ["--format", "litdata", "--tokens_per_row", "two.json"],
            "--tokens_per_row has no number for code.v1",
        ),
        (
            ["--format", "csv", "--then", "w.json", "--at", "5"],
            "csv takes no schedule (--then); these do: chameleon",
        ),
        (["--format", "levanter", "--then", "w.json"], "--then and --at belong together"),
        (["--format", "levanter", "--then", "v.json", "--at", "5"], "both must be of the same domains"),
        (["--format", "csv", "--budget", "1B", "--token_counts", "two.json"], "--token_counts lacks code.v1"),
        (["--format", "csv", "--budget", "90B", "--max_epochs", "2"], "70B are missing"),
        (["--format", "csv", "--output", "there"], "cannot write there"),
        (["--format", "mosaicml", "--tokens_per_row", "9"], "give --budget"),
    ],
)
def test_what_cannot_be_exported_is_said_in_one_line(
    there: DomainWeights, flags: list[str], expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    write("two.json", {"web": "x", "books_2": "y"})
    write("shared.json", {"web": "x", "books_2": "x", "code.v1": "z"})
    write("many.json", {"web": ["x", "y"], "books_2": "a", "code.v1": "z"})
    write("odd.json", {"web": 3, "books_2": "a", "code.v1": "z"})
    write("bad.json", "{")
    Path("there").mkdir()
    write("v.json", {"weights": {"a": 0.5, "b": 0.5}})
    if "two.json" in flags and "--budget" in flags:
        write("two.json", {"web": 5, "books_2": 6})
    assert export_main(["w.json", *flags]) == 2
    written = capsys.readouterr()
    errors = [line for line in written.err.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert expected in errors[0]
    assert written.out == ""


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ({"weights": {"web": 0.5, "books_2": 0.6}}, "sum to 1.1"),
        ({"weights": {"web": 1.5, "books_2": -0.5}}, "that of books_2 is -0.5"),
        ('{"weights": {"web": 0.5, "web": 0.5}}', '"web" stands twice'),
        ({"weights": {"a": 0.5, "b": 0.5}, "domains": {"a": {"corpus_tokens": "x"}}}, "corpus_tokens is 'x'"),
        ({"weights": {"a": 0.5, "b": 0.5}, "domains": {"a": {"corpus_tokens": 0}}}, "corpus_tokens is 0;"),
        ({"weights": {"a": 0.5, "b": 0.5}, "unit": "documents"}, 'expected "unit" to be "share of tokens"'),
    ],
)
def test_a_weights_file_edited_by_hand_is_refused(
    there: DomainWeights,
    content: object,
    expected: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert export_main([write("hand.json", content), "--format", "csv", "--budget", "1B"]) == 2
    assert expected in capsys.readouterr().err


def test_counts_of_another_tokenizer_are_warned_of(
    there: DomainWeights, capsys: pytest.CaptureFixture[str]
) -> None:
    counts = {"web": 6e9, "books_2": 1e9, "code.v1": 3e9}
    for digest, warned in (("abc", False), ("other", True)):
        write("counts.json", {"tokenizer_digest": digest, "tokens": counts})
        flags = ["--format", "csv", "--budget", "1B", "--token_counts", "counts.json"]
        assert export_main(["w.json", *flags]) == 0
        assert ("of another tokenizer than the proxy's" in capsys.readouterr().err) == warned


def test_the_weights_file_is_not_written_over(
    there: DomainWeights, capsys: pytest.CaptureFixture[str]
) -> None:
    assert export_main(["w.json", "--format", "csv", "--output", "./w.json"]) == 2
    assert "w.json is read, and would be written over" in capsys.readouterr().err
    assert DomainWeights.read("w.json").by_name() == there.by_name()


@pytest.mark.parametrize(
    ("weights", "flags"),
    [
        ("a.weights.json", ["--output", "a"]),
        ("w.json", ["--then", "a.then.weights.json", "--at", "3", "--output", "a"]),
        ("w.json", ["--sources", "s.json", "--output", "s.json"]),
        ("w.json", ["--token_counts", "s.json", "--output", "link.json"]),
        ("w.json", ["--tokens_per_row", "s.json", "--output", "s.json"]),
        ("w.json", ["--output", "x" * 245]),
    ],
)
def test_nothing_that_is_read_is_written_over_and_no_half_is_written(
    there: DomainWeights, weights: str, flags: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("a.weights.json", "a.then.weights.json"):
        there.write(name)
    write(
        "s.json",
        {"web": 3, "books_2": 4, "code.v1": 5} if "--sources" not in flags else dict.fromkeys(PLAIN, "x"),
    )
    if "--sources" in flags:
        write("s.json", {name: f"{name}/x" for name in PLAIN})
    Path("link.json").symlink_to("s.json")
    before = {path: path.read_bytes() for path in Path().iterdir()}
    assert export_main([weights, "--format", "chameleon", *flags]) == 2
    assert {path: path.read_bytes() for path in Path().iterdir()} == before
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_limits_of_before_are_not_taken_for_those_of_now(
    there: DomainWeights, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ["--budget", "10B", "--max_epochs", "4"]
    assert export_main(["w.json", "--format", "csv", "--output", "cap", *flags]) == 0
    capped = DomainWeights.read("cap.weights.json")
    assert capped.domains["books_2"]["raw_weight"] == 0.5
    capsys.readouterr()
    assert export_main(["cap.weights.json", "--format", "olmo-core", "--min_weight", "0.3"]) == 0
    written = capsys.readouterr()
    assert "max_repetition_ratio" not in written.out
    assert "at hand" not in written.err
    rows = {line.split()[0]: line.split()[1:] for line in written.err.splitlines()}
    assert rows["books_2"][0] == "0.4000"  # what came in, not what was before that
    # What a floor takes is not missing; what is at hand does not hang on the weights.
    assert export_main(["w.json", "--format", "csv", "--budget", "2B", "--min_weight", "0.25"]) == 0
    rows = {line.split()[0]: line.split()[1:] for line in capsys.readouterr().err.splitlines()}
    assert rows["books_2"][2:] == ["937.5M", "1B", "0.94"]


def test_both_stages_say_what_limits_did(there: DomainWeights, capsys: pytest.CaptureFixture[str]) -> None:
    DomainWeights(PLAIN, np.array([0.1, 0.1, 0.8]), "test", domains=there.domains).write("later.json")
    flags = ["--then", "later.json", "--at", "70", "--budget", "10B", "--max_epochs", "2"]
    assert export_main(["w.json", "--format", "levanter", "--output", "l.yaml", *flags]) == 0
    told = capsys.readouterr().err
    first, _, second = told.partition("from step 70 on")
    assert "books_2  0.5000  0.2000" in first
    assert "code.v1  0.8000  0.6000" in second
    assert "from step 70 on; they were others for" in Path("l.yaml").read_text()
    assert check.main(["w.json", "--format", "levanter", "--file", "l.yaml", *flags]) == 0
    assert (
        check.main(["w.json", "--format", "levanter", "--file", "l.yaml", *flags[:3], "60", *flags[4:]]) == 1
    )
    assert "stages were asked for at step 60; the file has 70" in capsys.readouterr().out
    assert check.main(["w.json", "--format", "levanter", "--file", "l.yaml", *flags[:4]]) == 1
    assert "from step 70 on: code.v1: 0.6 of tokens, asked for 0.8" in capsys.readouterr().out


def test_half_of_the_tokens_elsewhere_are_counted(
    there: DomainWeights, capsys: pytest.CaptureFixture[str]
) -> None:
    write("m", "--data-path 0.1 web 0.25 books_2 0.15 code.v1 0.5 law")
    assert check.main(["w.json", "--format", "megatron", "--file", "m"]) == 1
    table = capsys.readouterr().out
    assert "(others)  0.0000  0.5000  0.5000" in table
    assert "0.5000 of the tokens are of another domain than asked" in table


@pytest.mark.parametrize(
    ("blend", "expected"),
    [
        ("0.1 w 0.1 l0 0.3 l1 0.5 c", "problems   none"),
        ("0.1 w 0.4 l1 0.5 c", "l0 has 0 of law, and of its tokens 0.25"),
        ("0.1 w 0.2 l0 0.2 l1 0.5 c", "l0 has 0.5 of law, and of its tokens 0.25"),
    ],
)
def test_each_path_of_a_domain_is_checked(
    blend: str,
    expected: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    DomainWeights(("web", "law", "code"), np.array([0.1, 0.4, 0.5]), "test").write("w.json")
    write("s.json", {"web": "w", "law": {"paths": ["l0", "l1"], "tokens": [1, 3]}, "code": "c"})
    write("x", blend)
    flags = ["--sources", "s.json", "--file", "x"]
    code = check.main(["w.json", "--format", "megatron-file", *flags])
    assert expected in capsys.readouterr().out
    assert code == int(expected != "problems   none")


AB = {"a": 0.3, "b": 0.7}


@pytest.mark.parametrize(
    ("format_name", "text"),
    [
        ("megatron", "torchrun x.py \\\n  --data-path 0.3 a \\\n  0.7 b \\\n  --seed 1\n"),
        ("megatron", "x --data-path=0.3 a 0.7 b -x 5"),
        ("megatron-splits", '{"train": "0.3 a 0.7 b", "valid": null, "test": ["c"]}'),
        ("nemo", '["0.3", "a", "0.7", "b"]'),
        (
            "mosaicml",
            "model: {x: 1}\ntrain_loader:\n  name: text\n  dataset:\n    epoch_size: 10\n    streams:\n"
            "      a: &d {local: x, proportion: 0.3}\n      b: {<<: *d, proportion: 0.7}\n"),
        ("huggingface", "x: dict = 1\nd = interleave_datasets([a, b], probabilities=[0.3, 0.7])"),
        (
            "huggingface",
            "P = [0.3, 0.7]\nL = [load_dataset('a'), load_dataset('b')]\ndatasets.interleave_datasets(L, "
            "probabilities=P)"),
        ("huggingface-json", '{"probabilities": [0.3, 0.7], "datasets": {"a": 1, "b": 2}}'),
        ("torchtitan", "WEIGHTS: dict[str, float] = {'a': 0.3, 'b': 0.7}"),
        ("llamafactory", "dataset: a, b\ninterleave_probs: [0.3, 0.7]\nmix_strategy: interleave_over"),
        ("nanotron", "data_stages: [{data: {dataset: {dataset_folder: {a: 0.3, b: 0.7}}}}]"),
        ("chameleon", '{"schedule": [{"step": 0, "weights": {"a": 0.3, "b": 0.7}}]}'),
    ],
)  # fmt: skip
def test_files_as_people_write_them_are_read(format_name: str, text: str) -> None:
    found = FORMATS[format_name].read(text)
    assert found.numbers == AB
    assert found.problems == ()


LONG = "9" * 400


@pytest.mark.parametrize(
    ("format_name", "text"),
    [
        ("csv", f"domain,share_of_tokens\na,{LONG}\n"),
        ("doremi", f'{{"train_domain_weights": {{"a": {LONG}}}}}'),
        ("torchtitan", f"WEIGHTS = {{'a': {LONG}}}"),
        ("torchtitan", "WEIGHTS = {[1]: 0.5}"),
        ("torchtitan", "WEIGHTS = {{}}"),
        ("levanter", f"train_weights: {{a: {LONG}}}"),
        ("levanter", "data: 2001-99-99"),
        ("levanter", "data: !!int foo"),
        ("levanter", "data: !!timestamp foo"),
        ("levanter", "data: !!map abc"),
        ("levanter", f"data: {'9' * 5000}"),
        ("levanter", "train_weights: [[true, {a: 1}]]"),
        ("levanter", "train_weights: [[-3, {a: 1}]]"),
        ("mosaicml", "streams: {a: {local: x, proportion: 1}}\nepoch_size: -5"),
        ("chameleon", '{"schedule": [{"step": true, "weights": {"a": 1}}]}'),
        ("megatron-splits", '{"train": ["1", "a"], "valid": 5, "test": null}'),
    ],
)
def test_what_no_trainer_takes_is_refused(format_name: str, text: str) -> None:
    with pytest.raises(InputError):
        FORMATS[format_name].read(text)


def test_huge_numbers_and_half_characters_are_one_line(
    there: DomainWeights, capsys: pytest.CaptureFixture[str]
) -> None:
    counts = ", ".join(f'"{name}": {LONG}' for name in PLAIN)
    write("long.json", f"{{{counts}}}")
    sources = ", ".join(f'"{name}": {{"tokens_per_row": {LONG}}}' for name in PLAIN)
    write("sources.json", f"{{{sources}}}")
    write("two.json", {name: {"paths": [f"{name}0", f"{name}1"], "tokens": [1e308, 1e308]} for name in PLAIN})
    write("half.json", '{"weights": {"a\\ud800": 0.5, "b": 0.5}}')
    write("lines.json", '{"weights": {"a\\nb": 0.5, "b": 0.5}}')
    write("twice.json", '{"web": "x", "web": "y"}')
    write("x.csv", "domain,share_of_tokens\nweb,1\n")
    for command in (
        ["w.json", "--format", "csv", "--budget", "1B", "--token_counts", "long.json"],
        ["w.json", "--format", "litdata", "--tokens_per_row", "long.json"],
        ["w.json", "--format", "litdata", "--sources", "sources.json"],
        ["w.json", "--format", "litdata", "--sources", "twice.json"],
        ["w.json", "--format", "litdata", "--tokens_per_row", "1e-310"],
        ["w.json", "--format", "megatron", "--sources", "two.json"],
        ["half.json", "--format", "csv"],
        ["half.json", "--format", "chameleon", "--output", "y"],
        ["lines.json", "--format", "litdata"],
        ["w.json", "--format", "x\ny"],
        ["no\nfile", "--format", "csv"],
    ):
        assert export_main(command) == 2
        written = capsys.readouterr()
        assert written.out == ""
        assert len(written.err.splitlines()) == 1, command
    assert check.main(["w.json", "--format", "csv", "--file", "x.csv", "--draws", "1" + "0" * 19]) == 2
    Path("loop").symlink_to("loop")
    assert export_main(["w.json", "--format", "csv", "--output", "loop"]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 2


def test_notes_come_only_with_a_result(there: DomainWeights, capsys: pytest.CaptureFixture[str]) -> None:
    write("s.json", {name: {"paths": [f"{name}0", f"{name}1"], "tokens": [1, 2]} for name in PLAIN})
    flags = ["--budget", "1B", "--tokens_per_row", "5", "--sources", "s.json"]
    assert export_main(["w.json", "--format", "litdata", *flags]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_sources_are_taken_as_they_are_meant(there: DomainWeights) -> None:
    def sources(**further: object) -> dict[str, TrainerSource]:
        content = {name: {"paths": f"{name}dir", "tokens_per_row": 8, **further} for name in PLAIN}
        return read_sources(PLAIN, Path(write("s.json", content)), None)

    weights = replace(there, settings={"budget": 1e6})
    streams = yaml.safe_load(export(weights, "mosaicml", sources(split="train")))["dataset"]["streams"]
    assert {name: (each["local"], each["split"]) for name, each in streams.items()} == {
        name: (f"{name}dir", "train") for name in PLAIN
    }
    assert (
        "local"
        not in yaml.safe_load(export(weights, "mosaicml", sources(remote="s3://x")))["dataset"]["streams"][
            "web"
        ]
    )
    held = json.loads(export(weights, "megatron-splits", sources(valid=["va", "vb"])))["valid"]
    assert held[1::2] == ["va", "vb"] * 3
    assert sum(map(float, held[::2])) == pytest.approx(1)
    wrongs: tuple[dict[str, object], ...] = (
        {"valid": 5},
        {"valid": [5]},
        {"split": 5},
        {"local": ["x"]},
        {"name": {}},
        {"remote": ""},
    )
    for wrong in wrongs:
        with pytest.raises(InputError, match=f"{next(iter(wrong))} is .*; expected a text"):
            sources(**wrong)


def test_a_share_that_levanter_never_draws_is_said(
    there: DomainWeights, capsys: pytest.CaptureFixture[str]
) -> None:
    DomainWeights(PLAIN, np.array([0.2, 0.7996, 0.0004]), "test").write("small.json")
    assert export_main(["small.json", "--format", "levanter"]) == 0
    assert "will never draw code.v1" in capsys.readouterr().err
    # By hand: of 2048 the floors are 409, 1637 and 0; the rest goes to the largest.
    assert draw(np.array([0.2, 0.7996, 0.0004]), 2048, "blocks").tolist() == [409, 1639, 0]


def test_names_that_torchtitan_cannot_tell_apart_are_refused() -> None:
    names = ("Law", "law")
    with pytest.raises(InputError, match="in which Law and law are the same"):
        export(weights_of(names), "torchtitan", sources_of_names(names))


def test_output_reaches_a_terminal_of_any_encoding(there: DomainWeights) -> None:
    write("u.json", {"weights": {"größe": 0.5, "漢字": 0.5}})
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "ascii"}
    for module, further in (("export", ["--format", "csv"]), ("compare", ["w.json"])):
        command = [sys.executable, "-m", "chameleon", module, "u.json", *further]
        run = subprocess.run(command, capture_output=True, env=environment, check=False)
        assert run.returncode == 0, run.stderr
    Path("x.csv").write_bytes(b"domain,share_of_tokens\n\xc3\xa4,1\n")
    command = [sys.executable, "-m", "chameleon", "check", "u.json", "--format", "csv", "--file", "x.csv"]
    run = subprocess.run(command, capture_output=True, env=environment, check=False)
    assert run.returncode == 2
    assert b"gives no weight to any of" in run.stderr


def test_a_format_without_comments_has_the_weights_beside_it(there: DomainWeights) -> None:
    assert export_main(["w.json", "--format", "csv", "--output", "x.csv"]) == 0
    assert DomainWeights.read("x.csv.weights.json").by_name() == there.by_name()
    with open("x.csv", newline="") as file:  # noqa: PTH123
        assert [row["domain"] for row in csv.DictReader(file)] == list(PLAIN)
    assert export_main(["w.json", "--format", "olmo-core", "--output", "x.yaml"]) == 0
    assert not Path("x.yaml.weights.json").exists()


@given(st.binary(max_size=200), st.sampled_from(list(FORMATS)))
@settings(max_examples=400, deadline=None)
def test_any_file_is_read_or_refused(content: bytes, format_name: str) -> None:
    text = content.decode(errors="replace")
    try:
        found = FORMATS[format_name].read(text)
    except InputError:
        return
    assert found.numbers
