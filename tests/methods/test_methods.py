"""The command `methods`: all methods in one table, and what it refuses."""

import json
from pathlib import Path

import pytest
from conftest import WORDS
from method_runs import flags_for, make_corpus, read_weights

from chameleon.methods.command import main
from chameleon.methods.options import METHODS
from chameleon.methods.run import FUNCTIONS


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_corpus(tmp_path_factory.mktemp("methods"))


def test_each_method_has_flags_and_a_function() -> None:
    assert list(METHODS) == list(FUNCTIONS)


def test_all_methods_in_one_table(corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine.json").write_text(json.dumps({"weights": {"law": 0.2, "code": 0.3, "cooking": 0.5}}))
    flags = ["--num_runs", "6", "--num_simulated", "500", "--num_seeds", "1", "--regressor", "loglinear"]
    assert main(flags_for(corpus, tmp_path, "all", *flags, "--beside", str(tmp_path / "mine.json"))) == 0
    printed, notes = capsys.readouterr()
    heads = printed.splitlines()[0].split()
    assert heads == ["domain", "mine", "uniform", "natural", "temperature", "regmix", "doremi", "doge", "law"]
    # The law's first run is DoReMi's reference model, which is not trained again.
    assert "doremi/reference is used as the run on uniform weights" in notes
    assert "cost" in printed
    contents = {each.stem: read_weights(each) for each in (tmp_path / "r").glob("weights_*.json")}
    assert len(contents) == 7
    assert {frozenset(each["weights"]) for each in contents.values()} == {frozenset(WORDS)}
    # RegMix's runs take DoReMi's steps together: a reference's five and a proxy's five, over six runs.
    assert contents["weights_regmix"]["settings"]["max_steps"] == 10 // 6
    assert (tmp_path / "r" / "weights.png").exists()


@pytest.mark.parametrize(
    ("method", "flags", "expected"),
    [
        ("doge", ("--target_domains", "poetry"), "no domain poetry (--target_domains)"),
        ("doge", ("--out_of_domain",), "--out_of_domain needs targets to leave out"),
        (
            "doge",
            ("--out_of_domain", "--target_domains", "law,code,cooking"),
            "--out_of_domain leaves no domain to train on",
        ),
        ("doremi", ("--batch_size", "2"), "a step of 2 rows cannot hold one of each of 3 domains"),
        (
            "doremi",
            ("--gradient_accumulation_steps", "2"),
            "--gradient_accumulation_steps does not go with doremi and doge",
        ),
        (
            "all",
            ("--gradient_accumulation_steps", "2"),
            "--gradient_accumulation_steps does not go with doremi and doge",
        ),
        ("all", ("--target_domains", "poetry"), "no domain poetry (--target_domains)"),
        ("doremi", ("--reference_weights", "nowhere.json"), "cannot read the weights nowhere.json"),
        ("doremi", ("--picture", "x.txt"), "expected a picture's name to end in .png, .svg or .pdf"),
        ("natural", ("--token_counts", "nowhere.json"), "nowhere.json"),
    ],
)
def test_unusable_options_are_refused(
    method: str,
    flags: tuple[str, ...],
    expected: str,
    corpus: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(flags_for(corpus, tmp_path, method, *flags)) == 2
    errors = [line for line in capsys.readouterr().err.splitlines() if not line.startswith("note: ")]
    assert len(errors) == 1
    assert expected in errors[0]
    assert not (tmp_path / "w.json").exists()
