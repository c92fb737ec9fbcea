"""RegMix: its tables, its regressions, its search, and its small models."""

import json
import math
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import ROOT, WORDS, make_texts, write_jsonl
from scipy.optimize import check_grad

from chameleon.common.errors import InputError, NotFiniteError
from chameleon.embeddings.workers import ray as ray_cluster
from chameleon.methods.command import main
from chameleon.methods.regmix import regressors as gaussian
from chameleon.methods.regmix import small_models
from chameleon.methods.regmix.method import RegMixSettings, draw_mixtures, regress, search
from chameleon.methods.regmix.regressors import fit_gaussian, fit_log_linear, with_best_ridge
from chameleon.methods.regmix.runs import Array, Runs, read_runs, write_tables
from chameleon.methods.regmix.selection import (
    correlation_interval,
    cross_validate,
    fit,
    folds_of,
    rank_correlation,
    validated_regressors,
)

DATA = ROOT / "tests" / "data"
TINY = {
    "model_type": "gpt2", "vocab_size": 320, "n_positions": 32, "n_embd": 16, "n_layer": 1, "n_head": 2,
    "resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0, "bos_token_id": 0, "eos_token_id": 0,
}  # fmt: skip


def dirichlet(n: int, k: int, seed: int, strength: float = 1.0) -> Array:
    return np.random.default_rng(seed).dirichlet(np.full(k, strength), size=n)


def runs_of(mixtures: Array, losses: Array) -> Runs:
    n, k = mixtures.shape
    names = tuple(f"d{i}" for i in range(k))
    of = tuple(f"d{i}" for i in range(losses.shape[1]))
    return Runs(names, mixtures, of, losses, tuple(map(str, range(n))))


@pytest.fixture(scope="module")
def published() -> tuple[Runs, Runs]:
    """The first 60 of the published runs, and 60 of those for testing."""
    return (
        read_runs(DATA / "regmix_train_mixtures.csv", DATA / "regmix_train_losses.csv"),
        read_runs(DATA / "regmix_test_mixtures.csv", DATA / "regmix_test_losses.csv"),
    )


# Regressions


def test_the_law_is_found_where_it_holds() -> None:
    levels, floor = np.array([0.3, -0.5, 1.1, 0.0, -1.2]), 1.7
    mixtures = dirichlet(40, 5, 0)
    losses = floor + np.exp(mixtures @ levels)
    law = fit_log_linear(mixtures, losses)
    assert law.floor == pytest.approx(floor, abs=1e-5)
    np.testing.assert_allclose(law.levels, levels, atol=1e-4)
    others = dirichlet(50, 5, 1)
    np.testing.assert_allclose(law(others), floor + np.exp(others @ levels), atol=1e-6)


def test_a_ridge_pulls_levels_together_and_is_chosen_by_runs_left_out() -> None:
    mixtures, chance = dirichlet(18, 8, 0), np.random.default_rng(1)
    levels = chance.normal(size=8)
    losses = 2 + np.exp(mixtures @ levels) + 0.1 * chance.normal(size=18)
    spreads = [fit_log_linear(mixtures, losses, ridge).levels.std() for ridge in (0.0, 0.01, 1.0)]
    assert spreads[0] > spreads[1] > spreads[2]
    folds = folds_of(18, 0)
    with_ridge, without = with_best_ridge(mixtures, losses, folds), fit_log_linear(mixtures, losses)
    others = dirichlet(500, 8, 2)
    truth = 2 + np.exp(others @ levels)
    errors = [float(((law(others) - truth) ** 2).mean()) for law in (with_ridge, without)]
    assert errors[0] < errors[1]


def test_the_process_predicts_what_the_formula_says() -> None:
    mixtures = dirichlet(30, 4, 0)
    losses = np.sin(5 * mixtures[:, 0]) + mixtures[:, 1] + 3
    process = fit_gaussian(mixtures, losses)
    scale, noise, lengths = (
        np.exp(process.parameters[0]), np.exp(process.parameters[1]), np.exp(process.parameters[2:]),
    )  # fmt: skip
    others = dirichlet(7, 4, 1)

    def kernel(one: Array, other: Array) -> Array:
        apart = (one[:, None] ** 0.25 - other[None] ** 0.25) / lengths
        return np.asarray(scale**2 * np.exp(-(apart**2).sum(axis=2) / 2))

    wanted = (losses - losses.mean()) / losses.std()
    covariance = kernel(mixtures, mixtures) + noise**2 * np.eye(30)
    expected = losses.mean() + losses.std() * kernel(others, mixtures) @ np.linalg.inv(covariance) @ wanted
    np.testing.assert_allclose(process(others), expected, rtol=1e-8)


def test_the_slope_of_the_likelihood() -> None:
    mixtures = dirichlet(12, 3, 0)
    wanted = np.random.default_rng(0).normal(size=12)
    apart = [np.subtract.outer(column, column) ** 2 for column in (mixtures**0.25).T]

    def value(parameters: Array) -> float:
        return gaussian._likelihood(parameters, apart, wanted)[0]

    def slope(parameters: Array) -> Array:
        return gaussian._likelihood(parameters, apart, wanted)[1]

    for seed in range(3):
        at = np.random.default_rng(seed).normal(size=5) * 0.3 - 0.5
        assert check_grad(value, slope, at) < 1e-4


def test_published_runs_are_ranked(published: tuple[Runs, Runs]) -> None:
    """By each regression as well as what it is chosen for; figures of more runs are in benchmarks/results."""
    train, test = published
    assert len(train) == len(test) == 60
    assert len(train.names) == 17

    def ranked(regressor: str) -> float:
        predictions = fit(regressor, train, 0)
        pairs = zip(predictions, test.losses.T, strict=True)
        return float(np.mean([rank_correlation(each(test.mixtures), measured) for each, measured in pairs]))

    process, law, trees = ranked("gp"), ranked("loglinear"), ranked("lightgbm")
    assert process > 0.96
    assert process > law > 0.85
    assert law > trees > 0.6
    assert validated_regressors(train, None, 0)[0].regressor == "gp"


def test_what_is_judged_has_not_been_seen() -> None:
    """Of losses that are nothing but chance nothing can be said of runs left out."""
    runs = runs_of(dirichlet(60, 4, 0), np.random.default_rng(1).normal(5, 1, size=(60, 1)))
    for regressor in ("gp", "loglinear", "lightgbm"):
        judged = cross_validate(regressor, runs, 0)
        assert abs(rank_correlation(judged.predicted[:, 0], runs.losses[:, 0])) < 0.35
        assert judged.error > 0.8


def test_the_law_is_chosen_where_it_holds() -> None:
    mixtures = dirichlet(14, 6, 0)
    losses = 1 + np.exp(mixtures @ np.array([0.5, 1.0, -1.0, 0.2, -0.3, 2.0]))
    assert validated_regressors(runs_of(mixtures, losses[:, None]), None, 0)[0].regressor == "loglinear"


def test_folds_hold_each_run_once() -> None:
    for n in (3, 5, 17):
        assert (np.sum(folds_of(n, 0), axis=0) == 1).all()


def test_intervals_hold_the_correlation_as_often_as_they_say() -> None:
    """Pairs from a bivariate normal, whose rank correlation is known: 6 / pi asin(r / 2)."""
    chance, r, n = np.random.default_rng(0), 0.8, 40
    truth = 6 / math.pi * math.asin(r / 2)
    held = 0
    for _ in range(400):
        one = chance.normal(size=n)
        other = r * one + math.sqrt(1 - r * r) * chance.normal(size=n)
        low, high = correlation_interval(rank_correlation(one, other), n)
        held += low <= truth <= high
    assert 0.92 < held / 400 < 0.98
    assert correlation_interval(0.5, 3) == (-1.0, 1.0)


def test_lightgbm_that_is_not_installed(
    monkeypatch: pytest.MonkeyPatch, published: tuple[Runs, Runs]
) -> None:
    monkeypatch.setitem(sys.modules, "lightgbm", None)
    with pytest.raises(InputError, match=r'pip install "chameleon\[regmix\]"'):
        fit("lightgbm", published[0], 0)
    assert "lightgbm" not in [each.regressor for each in validated_regressors(published[0], None, 0)]


# Search


def test_a_longer_list_of_mixtures_begins_with_the_shorter() -> None:
    natural = np.array([0.6, 0.3, 0.1, 0.0])
    many = draw_mixtures(natural, 10_050, 3)
    np.testing.assert_array_equal(many[:20], draw_mixtures(natural, 20, 3))
    np.testing.assert_allclose(many.sum(axis=1), 1)
    assert (many[:, 3] == 0).all()
    assert ((many == 0) | (many >= 1e-3)).all()
    # Their mean is the natural shares' square roots, over their sum.
    np.testing.assert_allclose(many.mean(axis=0), natural**0.5 / (natural**0.5).sum(), atol=0.015)
    assert not np.array_equal(many[:20], draw_mixtures(natural, 20, 4))


def test_caps_hold_in_the_search_and_in_what_it_finds() -> None:
    natural, most = np.array([0.5, 0.3, 0.2]), np.array([1.0, 1.0, 0.25])
    drawn = draw_mixtures(natural, 2000, 0, most)
    assert (drawn <= most + 1e-12).all()

    def third_is_best(mixtures: Array) -> Array:
        return np.asarray(4 - mixtures[:, 2])

    free = search(third_is_best, natural, 0, None, 5000, 16)
    capped = search(third_is_best, natural, 0, most, 5000, 16)
    assert free.weights[2] > 0.9
    assert capped.weights[2] == pytest.approx(0.25)
    assert capped.predicted == pytest.approx(3.75)
    assert capped.predicted_natural == pytest.approx(3.8)


def test_the_best_mixture_of_a_law_is_found() -> None:
    """Two losses, each of which falls with its own domain: the best mean lies between."""
    mixtures = dirichlet(60, 3, 0)
    losses = np.stack([2 + np.exp(-3 * mixtures[:, 0]), 2 + np.exp(-3 * mixtures[:, 1])], axis=1)
    found = regress(runs_of(mixtures, losses), np.full(3, 1 / 3), None, RegMixSettings(simulated=20_000))
    np.testing.assert_allclose(found.found.weights, [0.5, 0.5, 0.0], atol=0.05)
    assert found.correlation > 0.99
    one = regress(
        runs_of(mixtures, losses), np.full(3, 1 / 3), None, RegMixSettings(targets=("d0",), simulated=20_000)
    )
    assert one.found.weights[0] > 0.95


# Tables


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_tables_are_matched_by_name(tmp_path: Path) -> None:
    mixtures = write(tmp_path / "m.csv", "run,train_law,train_code\na,0.25,0.75\nb,0.5,0.505\nc,1,0\n")
    losses = write(tmp_path / "l.csv", "\ufeffid,metric/code_val_loss\nc,nan\nb,2.5\na,3\n")
    runs = read_runs(mixtures, losses)
    assert (runs.names, runs.losses_of, runs.ids, runs.diverged) == (
        ("law", "code"), ("code",), ("a", "b"), ("c",),
    )  # fmt: skip
    np.testing.assert_allclose(runs.mixtures, [[0.25, 0.75], [0.5 / 1.005, 0.505 / 1.005]])
    np.testing.assert_array_equal(runs.losses, [[3.0], [2.5]])
    write_tables(runs, tmp_path / "m2.csv", tmp_path / "l2.csv")
    again = read_runs(tmp_path / "m2.csv", tmp_path / "l2.csv")
    np.testing.assert_allclose(again.mixtures, runs.mixtures, rtol=1e-15)
    np.testing.assert_array_equal(again.losses, runs.losses)


@pytest.mark.parametrize(
    ("mixtures", "losses", "expected"),
    [
        ("run,a,b\n1,.5,.5\n2,1,0\n", "run,a\n1,2\n", r"l.csv lacks 1 of the runs of .*m.csv \(2\)"),
        ("run,a,b\n1,.5,.5\n", "run,a\n1,2\n9,2\n", r"m.csv lacks 1 of the runs of .*l.csv \(9\)"),
        ("run,a,b\n1,.5,.5\n", "run,a\n1,\n", r"run 1, a: there is no number; fill the gap"),
        ("run,a,b\n1,.5,.5\n", "run,a\n1,x\n", r"run 1, a: expected a number, got 'x'"),
        ("run,a,b\n1,.5,.2\n", "run,a\n1,2\n", r"the shares of run 1 sum to 0.7"),
        (
            "run,a,b\n1,1.5,-.5\n",
            "run,a\n1,2\n",
            r"the shares of run 1 sum to 1; expected shares from 0 to 1",
        ),
        ("run,a,b\n1,.5,.5\n1,1,0\n", "run,a\n1,2\n", r"run 1 stands there twice"),
        ("run,a,a\n1,.5,.5\n", "run,a\n1,2\n", r"two columns of one domain"),
        ("run,a,b\n1,.5\n", "run,a\n1,2\n", r"line 2: expected 3 cells, got 2"),
        ("run,a,b\n", "run,a\n1,2\n", r"expected a line of column names"),
        ("run,a,b\n1,.5,.5\n", "run,a\n1,-2\n", r"a loss of run 1 is not above 0"),
        ("run,a,b\n1,.5,.5\n", "run,a\n1,2\n", r"gp needs 5 runs for 2 domains, and there are 1"),
        (None, "run,a\n1,2\n", r"cannot read .*m.csv \(--runs\)"),
    ],
)
def test_tables_that_cannot_be_used(
    mixtures: str | None, losses: str, expected: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if mixtures is not None:
        write(tmp_path / "m.csv", mixtures)
    write(tmp_path / "l.csv", losses)
    tables = ["--runs", str(tmp_path / "m.csv"), "--losses", str(tmp_path / "l.csv")]
    assert main(["regmix", *tables, "--output", str(tmp_path / "w.json")]) == 2
    errors = capsys.readouterr().err.splitlines()
    assert len(errors) == 1
    assert re.search(expected, errors[0]), errors[0]
    assert not (tmp_path / "w.json").exists()


def test_a_users_own_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tables = [
        "--runs", str(DATA / "regmix_train_mixtures.csv"), "--losses", str(DATA / "regmix_train_losses.csv"),
    ]  # fmt: skip
    output = tmp_path / "w.json"
    flags = ["--regressor", "gp", "--num_simulated", "5000", "--target_domains", "the_pile_pile_cc"]
    assert main(["regmix", *tables, *flags, "--output", str(output)]) == 0
    content = json.loads(output.read_text())
    assert content["method"] == "regmix"
    assert max(content["weights"], key=content["weights"].__getitem__) == "the_pile_pile_cc"
    assert content["diagnostics"]["rank_correlation"] > 0.9
    low, high = content["diagnostics"]["rank_correlation_interval"]
    assert low < content["diagnostics"]["rank_correlation"] < high
    assert (tmp_path / "w.png").read_bytes().startswith(b"\x89PNG")
    said = capsys.readouterr()
    assert "rank correlation" in said.out
    assert "60 runs" not in said.err  # enough for 17 domains
    assert main(["regmix", *tables, "--target_domains", "law", "--output", str(output)]) == 2
    assert "there are no losses on law (--target_domains)" in capsys.readouterr().err
    assert main(["regmix", tables[0], tables[1]]) == 2
    assert "--runs and --losses go together" in capsys.readouterr().err


def test_few_runs_and_a_poor_regression_are_told() -> None:
    chance = np.random.default_rng(0)
    runs = runs_of(dirichlet(8, 4, 0), chance.normal(5, 1, size=(8, 2)))
    found = regress(runs, np.full(4, 0.25), None, RegMixSettings(simulated=500, best=8))
    assert any("8 runs are few for 4 domains: below 15" in each for each in found.notices)
    assert any("hardly ranks runs" in each for each in found.notices)


# Small models


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("regmix")
    for seed, name in enumerate(WORDS):
        write_jsonl(directory / "corpus" / f"{name}.jsonl", make_texts(WORDS[name], seed))
    (directory / "tiny.json").write_text(json.dumps(TINY))
    return directory


def flags_for(place: Path, output: Path, *flags: str) -> list[str]:
    return [
        "regmix", "--dataset", str(place / "corpus"), "--model", str(place / "tiny.json"),
        "--packed_dir", str(place / "packed"), "--vocab_size", "320", "--sample_length", "32",
        "--batch_size", "4", "--learning_rate", "3e-3", "--heldout_share", "0.1", "--max_steps", "4",
        "--device", "cpu", "--dtype", "float32", "--num_runs", "6", "--num_simulated", "500",
        "--regressor", "loglinear", "--output", str(output / "w.json"), "--output_dir", str(output / "r"),
        *flags,
    ]  # fmt: skip


def results_in(directory: Path) -> dict[str, Any]:
    paths = sorted((directory / "r" / "regmix").glob("run-*/result.json"))
    return {path.parent.name: json.loads(path.read_text()) for path in paths}


@pytest.fixture(scope="module")
def trained(place: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six small models, and the weights from them."""
    output = tmp_path_factory.mktemp("trained")
    assert main(flags_for(place, output)) == 0
    return output


def test_small_models_are_trained_measured_and_regressed(trained: Path) -> None:
    content = json.loads((trained / "w.json").read_text())
    results = results_in(trained)
    assert len(results) == 6
    natural = np.array([content["domains"][name]["natural_share"] for name in content["weights"]])
    for result, mixture in zip(results.values(), draw_mixtures(natural, 6, 0), strict=True):
        assert list(result["mixture"]) == list(content["weights"])
        np.testing.assert_allclose(list(result["mixture"].values()), mixture)
        assert set(result["losses"]) == set(WORDS)
    cost = content["diagnostics"]["cost"]
    assert cost["tokens"] == 6 * 4 * 4 * 32
    assert cost["flops"] == pytest.approx(sum(each["cost"]["flops"] for each in results.values()))
    directory = trained / "r" / "regmix"
    assert not list(directory.glob("run-*/*.safetensors"))  # models that are measured are not kept
    again = read_runs(directory / "mixtures.csv", directory / "losses.csv")
    assert len(again) == 6


def test_runs_that_are_there_are_not_trained_again(
    trained: Path, place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = results_in(trained)
    done: list[str] = []
    run_job = small_models.run_job

    def counted(job: small_models.Job) -> dict[str, Any]:
        done.append(job.options.output_dir.name)
        return run_job(job)

    monkeypatch.setattr(small_models, "run_job", counted)
    weights = (trained / "w.json").read_text()
    (trained / "r" / "regmix" / "run-0003" / "result.json").unlink()
    assert main(flags_for(place, trained)) == 0
    assert done == ["run-0003"]
    assert "5 of 6 runs are there already" in capsys.readouterr().err
    after = results_in(trained)
    assert after["run-0003"]["losses"] == before["run-0003"]["losses"]
    assert json.loads((trained / "w.json").read_text())["weights"] == json.loads(weights)["weights"]
    assert main(flags_for(place, trained, "--num_runs", "7")) == 0
    assert done == ["run-0003", "run-0007"]
    assert main(flags_for(place, trained, "--learning_rate", "1e-3")) == 2
    assert "run-0001 holds a run of another mixture, text or setting" in capsys.readouterr().err


class Ray:
    """As much of Ray as small models need, with its tasks done one at a time when they are waited for.

    A real cluster takes minutes of two cores that do something else, to load the libraries once more.
    """

    class exceptions:  # noqa: N801
        RayError = RuntimeError

    def __init__(self, loses: str | None = None) -> None:
        self.loses, self.running, self.most, self.is_open = loses, 0, 0, True

    def cluster_resources(self) -> dict[str, float]:
        return {"CPU": 2.0}

    def remote(self, **_: object) -> Callable[..., Any]:
        def decorated(function: Callable[..., Any]) -> Any:  # noqa: ANN401
            def start(*job: Any) -> Callable[[], Any]:  # noqa: ANN401
                self.running += 1
                self.most = max(self.most, self.running)
                return lambda: function(*job)

            return type("Remote", (), {"remote": staticmethod(start)})

        return decorated

    def wait(self, tasks: list[Any]) -> tuple[list[Any], list[Any]]:
        return tasks[-1:], tasks[:-1]

    def get(self, task: Callable[[], Any]) -> Any:  # noqa: ANN401
        self.running -= 1
        if self.loses is not None:
            raise RuntimeError(self.loses)
        return task()

    def shutdown(self) -> None:
        self.is_open = False


def test_a_run_that_ray_loses_ends_the_command(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ray = Ray(loses="the node is gone")
    monkeypatch.setattr(ray_cluster, "connected", lambda address: ray)
    assert main(flags_for(place, tmp_path, "--engine", "ray")) == 2
    assert "was lost (RuntimeError); runs that have ended are kept" in capsys.readouterr().err
    assert not ray.is_open


@pytest.mark.parametrize("engine", ["processes", "ray"])
def test_runs_side_by_side_come_to_the_same(
    engine: str,
    trained: Path,
    place: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    ray = Ray()
    monkeypatch.setattr(ray_cluster, "connected", lambda address: ray)
    shutil.copytree(trained, tmp_path, dirs_exist_ok=True)
    for run in ("run-0002", "run-0005"):
        shutil.rmtree(tmp_path / "r" / "regmix" / run)
    assert main(flags_for(place, tmp_path, "--engine", engine, "--num_workers", "2")) == 0
    assert "4 of 6 runs are there already" in capsys.readouterr().err
    mine, theirs = results_in(tmp_path), results_in(trained)
    for name in ("run-0002", "run-0005"):
        assert mine[name]["losses"] == pytest.approx(theirs[name]["losses"], rel=1e-5)
    assert (ray.most, ray.is_open) == ((2, False) if engine == "ray" else (0, True))


def test_a_run_that_diverges_is_left_out(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import chameleon.training.run as training

    train: Callable[..., Any] = training.train

    def diverging(options: Any, *others: Any) -> Any:  # noqa: ANN401
        if options.output_dir.name == "run-0002":
            raise NotFiniteError("the loss of step 3 is not finite")
        return train(options, *others)

    monkeypatch.setattr(training, "train", diverging)
    flags = flags_for(place, tmp_path, "--num_runs", "7")
    assert main(flags) == 0
    assert "1 of 7 runs diverged and are left out: 2" in capsys.readouterr().err
    content = json.loads((tmp_path / "w.json").read_text())
    assert content["diagnostics"]["runs_diverged"] == ["2"]
    assert content["diagnostics"]["runs"] == 6


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (("--target_domains", "poetry"), "there is no domain poetry (--target_domains); the corpus has"),
        (("--num_runs", "4"), "the regression loglinear needs 6 runs for 3 domains, and there are 4"),
        (("--max_epochs", "1"), "--max_epochs needs --budget"),
        (("--budget", "1B", "--max_epochs", "2"), "the budget of 1B tokens is over what the domains give"),
        (("--num_workers", "2"), "--num_workers 2 is for --engine processes or ray"),
    ],
)
def test_what_cannot_be_asked(
    flags: tuple[str, ...], expected: str, place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(flags_for(place, tmp_path, *flags)) == 2
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert expected in errors[0]
