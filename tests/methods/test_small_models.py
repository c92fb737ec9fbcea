"""Small models: trained once, side by side, and measured."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import WORDS
from method_runs import make_corpus, regmix_flags

from chameleon.common.errors import NotFiniteError
from chameleon.embeddings.workers import ray as ray_cluster
from chameleon.methods import small_models
from chameleon.methods.command import main
from chameleon.methods.mixtures import draw_mixtures
from chameleon.methods.runs import read_runs
from chameleon.training.run import train


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_corpus(tmp_path_factory.mktemp("methods"))


def results_in(directory: Path) -> dict[str, Any]:
    paths = sorted((directory / "r" / "regmix").glob("run-*/result.json"))
    return {path.parent.name: json.loads(path.read_text()) for path in paths}


@pytest.fixture(scope="module")
def trained(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six small models, and the weights from them."""
    output = tmp_path_factory.mktemp("trained")
    assert main(regmix_flags(corpus, output)) == 0
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
    assert not list(directory.glob("run-*/*.safetensors"))  # the files of measured models are deleted
    again = read_runs(directory / "mixtures.csv", directory / "losses.csv")
    assert len(again) == 6


def test_finished_runs_are_not_repeated(
    trained: Path, corpus: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = results_in(trained)
    done: list[str] = []
    train_and_measure = small_models.train_and_measure

    def counted(model: small_models.SmallModel) -> dict[str, Any]:
        done.append(model.options.output_dir.name)
        return train_and_measure(model)

    monkeypatch.setattr(small_models, "train_and_measure", counted)
    weights = (trained / "w.json").read_text()
    (trained / "r" / "regmix" / "run-0003" / "result.json").unlink()
    assert main(regmix_flags(corpus, trained)) == 0
    assert done == ["run-0003"]
    assert "5 of 6 runs are done already" in capsys.readouterr().err
    after = results_in(trained)
    assert after["run-0003"]["losses"] == before["run-0003"]["losses"]
    assert json.loads((trained / "w.json").read_text())["weights"] == json.loads(weights)["weights"]
    assert main(regmix_flags(corpus, trained, "--num_runs", "7")) == 0
    assert done == ["run-0003", "run-0007"]
    assert main(regmix_flags(corpus, trained, "--learning_rate", "1e-3")) == 2
    assert "run-0001 holds a run with another mixture, text or setting" in capsys.readouterr().err


class Ray:
    """The part of Ray that small models use; a task runs when it is waited for.

    A real cluster would take minutes to load the libraries once more.
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
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ray = Ray(loses="the node is gone")
    monkeypatch.setattr(ray_cluster, "connected", lambda address: ray)
    assert main(regmix_flags(corpus, tmp_path, "--engine", "ray")) == 2
    assert "was lost (RuntimeError); finished runs are kept" in capsys.readouterr().err
    assert not ray.is_open


@pytest.mark.parametrize("engine", ["processes", "ray"])
def test_parallel_runs_have_the_same_losses(
    engine: str,
    trained: Path,
    corpus: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    ray = Ray()
    monkeypatch.setattr(ray_cluster, "connected", lambda address: ray)
    shutil.copytree(trained, tmp_path, dirs_exist_ok=True)
    for run in ("run-0002", "run-0005"):
        shutil.rmtree(tmp_path / "r" / "regmix" / run)
    assert main(regmix_flags(corpus, tmp_path, "--engine", engine, "--num_workers", "2")) == 0
    assert "4 of 6 runs are done already" in capsys.readouterr().err
    mine, theirs = results_in(tmp_path), results_in(trained)
    for name in ("run-0002", "run-0005"):
        assert mine[name]["losses"] == pytest.approx(theirs[name]["losses"], rel=1e-5)
    assert (ray.most, ray.is_open) == ((2, False) if engine == "ray" else (0, True))


def test_a_run_that_diverges_is_left_out(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def diverging(options: Any, *others: Any) -> Any:  # noqa: ANN401
        if options.output_dir.name == "run-0002":
            raise NotFiniteError("the loss of step 3 is not finite")
        return train(options, *others)

    monkeypatch.setattr(small_models, "train", diverging)
    flags = regmix_flags(corpus, tmp_path, "--num_runs", "7")
    assert main(flags) == 0
    assert "1 of 7 runs diverged and are left out: run-0002" in capsys.readouterr().err
    content = json.loads((tmp_path / "w.json").read_text())
    assert content["diagnostics"]["runs_diverged"] == ["run-0002"]
    assert content["diagnostics"]["runs"] == 6
