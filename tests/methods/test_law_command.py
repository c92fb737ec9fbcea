"""The affinity law from the command line: runs, and weights from them."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import WORDS, make_texts, write_jsonl
from method_runs import flags_for, make_corpus, read_weights

from chameleon.methods import small_models
from chameleon.methods.command import main
from chameleon.methods.law import answer, method
from chameleon.methods.law import runs as law_runs
from chameleon.methods.law.fit import LawData, Posterior, fit_law
from chameleon.methods.law.verdict import OwnRun
from chameleon.methods.runs import read_runs

Command = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_corpus(tmp_path_factory.mktemp("methods"))


def law_flags(corpus: Path, output: Path, *flags: str) -> list[str]:
    """Arguments that train three small models."""
    return flags_for(corpus, output, "law", "--num_runs", "3", *flags)


@pytest.fixture(scope="module")
def trained(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three small models and one on the law's answer, and the weights from them."""
    output = tmp_path_factory.mktemp("trained")
    assert main(law_flags(corpus, output)) == 0
    return output


@pytest.fixture
def done(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The runs that are trained from here on."""
    runs: list[str] = []
    train_and_measure = small_models.train_and_measure

    def counted(model: small_models.SmallModel) -> dict[str, Any]:
        runs.append(model.options.output_dir.name)
        return train_and_measure(model)

    monkeypatch.setattr(small_models, "train_and_measure", counted)
    return runs


@pytest.fixture
def again(corpus: Path, trained: Path, tmp_path: Path, done: list[str]) -> Command:
    """Weights by other flags from the runs there are, which are not repeated."""

    def command(*flags: str) -> dict[str, Any]:
        output = tmp_path / "again.json"
        assert main([*law_flags(corpus, trained, "--no_own_run", *flags), "--output", str(output)]) == 0
        assert not done
        return read_weights(output)

    return command


def shares_of(content: dict[str, Any]) -> dict[str, float]:
    """The weights of the law, which are not the weights of the file where they are not certain."""
    facts = content["domains"]
    return {name: facts[name].get("law_weight", weight) for name, weight in content["weights"].items()}


def test_runs_are_trained_and_give_weights(trained: Path) -> None:
    content = read_weights(trained / "w.json")
    assert content["method"] == "law"
    facts, directory = content["diagnostics"], trained / "r" / "law"
    assert (trained / "w.png").read_bytes().startswith(b"\x89PNG")
    runs = read_runs(directory / "mixtures.csv", directory / "losses.csv")
    assert runs.ids[:2] == ("uniform", "pretrain")
    assert content["settings"]["runs"] == list(runs.ids[:3])
    assert runs.ids[3].startswith("answer-")
    assert len(runs) == facts["runs"] == 4
    for run, mixture, losses in zip(runs.ids, runs.mixtures, runs.losses, strict=True):
        assert list(directory.glob(f"{run}/*.safetensors"))  # for --target and for a proxy
        result = json.loads((directory / run / "result.json").read_text())
        np.testing.assert_allclose(list(result["mixture"].values()), mixture, atol=1e-6)
        np.testing.assert_allclose(list(result["losses"].values()), losses, rtol=1e-6)
    assert set(facts["slopes"]) == set(WORDS)
    assert facts["cost"]["tokens"] == 4 * 5 * 6 * 32
    is_certain = facts["gain"] > 2 * facts["gain_standard_error"] and facts["own_run"]["measured_gain"] > 0
    assert facts["verdict"].startswith("use these weights" if is_certain else "stay with uniform weights")
    if not is_certain:
        np.testing.assert_allclose(list(content["weights"].values()), 1 / 3)
    own, low_high = facts["own_run"], facts["own_run"]["interval"]
    measured = runs.losses[0].mean() - runs.losses[3].mean()
    assert own["measured_gain"] == pytest.approx(measured, abs=1e-6)
    assert own["within_interval"] == (low_high[0] <= measured <= low_high[1])


def test_losses_on_few_documents_are_named(trained: Path, again: Command) -> None:
    documents = json.loads((trained / "r" / "law" / "uniform" / "result.json").read_text())["documents"]
    few = [name for name, (losses, _) in documents.items() if len(losses) < 10]
    notices = [each for each in again()["notices"] if "few held-out documents" in each]
    assert len(notices) == bool(few)
    for name in few:
        assert f"{name} ({len(documents[name][0])})" in notices[0]


def test_the_fit_knows_the_documents_and_what_domains_share(
    again: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    shares = np.array([[1.0, 0.3, 0.2], [0.1, 1.0, 0.4], [0.0, 0.5, 1.0]])
    fitted: list[LawData] = []

    def fit(data: LawData) -> Posterior:
        fitted.append(data)
        return fit_law(data)

    monkeypatch.setattr(law_runs, "overlaps", lambda training, heldout, vocabulary: shares)
    monkeypatch.setattr(answer, "fit_law", fit)
    # The choice of runs depends on the shares, so that only the two that come first are certain to be there.
    again("--num_runs", "2")
    np.testing.assert_array_equal(fitted[0].affinities, shares)
    assert fitted[0].variances is not None
    assert (fitted[0].variances >= 1 + 10 / 8).all()  # a tenth of at most 60 documents


def test_a_second_call_repeats_no_run_and_gives_the_same_weights(
    corpus: Path, trained: Path, done: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    before = (trained / "w.json").read_text()
    assert main(law_flags(corpus, trained)) == 0
    assert not done
    after = json.loads((trained / "w.json").read_text())
    for key in ("weights", "domains"):
        assert after[key] == json.loads(before)[key]
    printed = capsys.readouterr().out
    for line in (
        "gain over uniform",
        "run on its answer",
        f"verdict              {after['diagnostics']['verdict']}",
    ):
        assert line in printed
    # A lost run is trained again, and another number of runs trains only what is new.
    (trained / "r" / "law" / "pretrain" / "result.json").unlink()
    assert main([*law_flags(corpus, trained), "--no_own_run", "--num_runs", "4"]) == 0
    assert done[0] == "pretrain"
    assert len(done) == 2


def test_importance_moves_the_weights(again: Command) -> None:
    contents = {name: again("--importance", f"{name}=1") for name in WORDS}
    assert contents["law"]["settings"]["importance"] == {"code": 0, "cooking": 0, "law": 1}
    equal, all_but = again(), again("--importance", "1,law=0")
    np.testing.assert_allclose(list(equal["settings"]["importance"].values()), 1 / 3)
    assert all_but["settings"]["importance"] == {"code": 0.5, "cooking": 0.5, "law": 0}
    for name, content in contents.items():
        if content["diagnostics"]["slopes"][name] > 0:
            # A loss on a domain alone, whose text says most of it, asks for that text.
            assert shares_of(content)[name] == max(shares_of(content).values())
            assert shares_of(content)[name] > shares_of(equal)[name]


def test_floors_caps_and_the_pull_to_natural_shares_hold(again: Command) -> None:
    for flags in ((), ("--importance", "law=1")):
        floor = again(*flags, "--min_weight", "0.2")
        assert min(shares_of(floor).values()) >= 0.2 - 1e-9
        assert floor["settings"]["min_weight"] == 0.2
        pulled = again(*flags, "--prior_strength", "0.9")
        assert pulled["settings"]["prior_strength"] == 0.9
        for name, share in shares_of(pulled).items():
            natural = pulled["domains"][name]["natural_share"]
            assert 0.9 * natural - 1e-9 <= share <= 0.9 * natural + 0.1 + 1e-9
            assert pulled["weights"][name] >= 0.9 * natural - 1e-9
        tokens = {name: each["corpus_tokens"] for name, each in pulled["domains"].items()}
        budget = sum(tokens.values())
        scarce = max(tokens, key=tokens.__getitem__)
        capped = again(
            *flags, "--budget", str(budget), "--max_epochs", f"4,{scarce}=0.5", "--min_weight", "0.1"
        )
        assert capped["weights"][scarce] <= 0.5 * tokens[scarce] / budget + 1e-9
        assert shares_of(capped)[scarce] <= 0.5 * tokens[scarce] / budget + 1e-9
        assert min(capped["weights"].values()) >= 0.1 - 1e-9
        assert capped["domains"][scarce]["epochs"] <= 0.5 + 1e-6


def test_limits_are_recorded_beside_a_budget(again: Command) -> None:
    settings = again("--budget", "10k", "--min_weight", "0.1", "--prior_strength", "0.2")["settings"]
    assert (settings["budget"], settings["min_weight"], settings["prior_strength"]) == (10_000, 0.1, 0.2)


def test_weights_are_carried_to_a_budget(
    corpus: Path, trained: Path, tmp_path: Path, done: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "w.json"
    flags = ["--lengths", "0.4,1", "--budget", "1M", "--no_own_run", "--output", str(output)]
    assert main([*law_flags(corpus, trained), *flags]) == 0
    assert len(done) == 3  # of two steps each
    content = read_weights(output)
    assert [each["tokens"] for each in content["diagnostics"]["lengths"]] == [2 * 6 * 32, 5 * 6 * 32]
    assert "1M" in content["diagnostics"]["verdict"]
    assert content["settings"]["budget"] == 1_000_000
    assert "at 384 tokens" in capsys.readouterr().out
    assert main([*law_flags(corpus, trained), *flags]) == 0
    assert len(done) == 3
    # With one length, the weights are those of the runs, and a note says so.
    assert main([*law_flags(corpus, trained), *flags[2:]]) == 0
    assert "runs of 960 tokens do not tell how weights change up to 1M" in capsys.readouterr().err


def test_weights_from_tables_of_runs(
    corpus: Path, trained: Path, tmp_path: Path, done: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    tables = []
    for flag, name in (("--runs", "mixtures.csv"), ("--losses", "losses.csv")):
        tables += [flag, str(trained / "r" / "law" / name)]
    output = tmp_path / "w.json"
    assert main(["law", *tables, "--output", str(output)]) == 0
    content = read_weights(output)
    assert set(content["weights"]) == set(WORDS)
    assert sum(content["weights"].values()) == pytest.approx(1)
    assert content["diagnostics"]["transfer"]["discount"] == 0
    assert "no affinities" in capsys.readouterr().err
    # With the affinities of the proxy, it is the law of the runs trained here.
    proxy = ["--proxy", str(trained / "r" / "law" / "uniform")]
    flags = flags_for(corpus, tmp_path, "law", *tables, *proxy)
    assert main(flags) == 0
    assert "no affinities" not in capsys.readouterr().err
    assert not done
    with_proxy = read_weights(tmp_path / "w.json")
    assert set(with_proxy["weights"]) == set(WORDS)


def test_text_of_ones_own_asks_for_the_domain_that_is_like_it(
    corpus: Path, tmp_path: Path, done: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Models that learn something: the target's words are those of one domain."""
    write_jsonl(tmp_path / "target.jsonl", make_texts(WORDS["cooking"], 99, 12))
    longer = ["--max_steps", "50", "--num_runs", "3", "--target", str(tmp_path / "target.jsonl")]
    assert main(flags_for(corpus, tmp_path, "law", *longer)) == 0
    content = read_weights(tmp_path / "w.json")
    assert max(content["weights"], key=content["weights"].__getitem__) == "cooking"
    assert content["weights"]["cooking"] > 0.5
    assert content["diagnostics"]["verdict"].startswith("use these weights")
    assert content["diagnostics"]["own_run"]["measured_gain"] > 0
    assert content["settings"]["target"] == str(tmp_path / "target.jsonl")

    # Had the run on its answer been no better than uniform, the fit would not be believed.
    run_answer, trained = method._run_answer, len(done)

    def worse(*arguments: Any) -> tuple[law_runs.LawRuns, OwnRun | None]:  # noqa: ANN401
        runs, own = run_answer(*arguments)
        assert own is not None
        return runs, replace(own, measured=-0.01)

    monkeypatch.setattr(method, "_run_answer", worse)
    assert main(flags_for(corpus, tmp_path, "law", *longer)) == 0
    refuted = read_weights(tmp_path / "w.json")
    assert len(done) == trained
    assert refuted["diagnostics"]["gain"] > 2 * refuted["diagnostics"]["gain_standard_error"]
    assert "a run on the law's own mixture was not better (gain -0.0100" in refuted["diagnostics"]["verdict"]
    np.testing.assert_allclose(list(refuted["weights"].values()), 1 / 3)
    assert refuted["domains"]["cooking"]["law_weight"] == pytest.approx(content["weights"]["cooking"])


def test_text_unlike_all_domains_is_refused(
    corpus: Path, trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    letters = " ".join("абвгдежз"[i : i + 3] for i in range(6))
    write_jsonl(tmp_path / "target.jsonl", make_texts(letters, 0, 12))
    assert main([*law_flags(corpus, trained), "--target", str(tmp_path / "target.jsonl")]) == 2
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert "target.jsonl (--target) resembles no domain" in errors[0]
