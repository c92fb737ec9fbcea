"""Runs for methods that fit losses to mixtures: a user's own, or small models trained on random mixtures.

Small models are trained several at a time. A finished run is not repeated, an interrupted one is resumed from
its last checkpoint, and the files of a model are deleted once its losses are measured.

Shapes: n runs, k domains.
"""

import json
import shutil
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from chameleon.common.arrays import Array
from chameleon.common.command_line import Notify
from chameleon.common.errors import InputError, NotFiniteError
from chameleon.common.files import absolute_without_links, digest_of_json, write_atomically
from chameleon.common.tables import listed
from chameleon.methods.cost import Cost, training_cost
from chameleon.methods.inputs import check_and_pack
from chameleon.methods.mixtures import draw_mixtures
from chameleon.methods.options import MethodOptions
from chameleon.methods.outcome import training_settings
from chameleon.methods.parallel import run_jobs
from chameleon.methods.runs import Runs, read_runs, recommended_runs, write_runs
from chameleon.methods.token_counts import (
    TokenCounts,
    counts_in_file,
    natural_shares,
    packed_counts,
    share_caps,
)
from chameleon.training.evaluation.evaluate import evaluate
from chameleon.training.evaluation.options import EvaluationOptions
from chameleon.training.inputs import TrainingInputs
from chameleon.training.options import TrainingOptions
from chameleon.training.run import train
from chameleon.training.run_directory import RECORD

# Settings that decide a run's losses, besides its mixture and its text.
_DECISIVE = (
    "model", "sample_length", "batch_size", "max_steps", "max_tokens", "seed", "learning_rate",
    "min_learning_rate", "lr_schedule", "warmup_steps", "weight_decay", "heldout_share",
)  # fmt: skip

_MIXTURE, _RESULT = "mixture.json", "result.json"


@dataclass(frozen=True, eq=False)
class MeasuredRuns:
    """Runs for a method that fits losses to mixtures, and what it needs to know of their corpus.

    Attributes:
        runs: Mixtures and losses.
        tokens: Tokens of the k domains, where they are known.
        natural: (k,) natural shares, or the mean of the mixtures where tokens are unknown.
        settings: Settings of the runs, to be recorded with the weights.
        cost: Cost of the runs trained here.
    """

    runs: Runs
    tokens: TokenCounts
    natural: Array
    settings: Mapping[str, Any]
    cost: Cost = field(default_factory=Cost)


@dataclass(frozen=True)
class SmallModel:
    """A small model to train on a mixture, the share of each domain, and to measure.

    It is measured on `max_tokens` held-out tokens of each domain; `digest` is of all that decides its losses,
    `digest_of_training` of all but those tokens. Its files are deleted then, unless `keeps_files`.
    """

    options: TrainingOptions
    mixture: Mapping[str, float]
    max_tokens: int
    digest: str
    digest_of_training: str
    keeps_files: bool = False


@dataclass(frozen=True, eq=False)
class TrainedRuns:
    """Runs trained here.

    Attributes:
        runs: Those that did not diverge.
        cost: Of all.
        documents: By run and domain, the sums of losses and the numbers of tokens of held-out documents.
    """

    runs: Runs
    cost: Cost
    documents: Mapping[str, Mapping[str, tuple[Array, Array]]]


def runs_of_tables(options: MethodOptions, notify: Notify) -> MeasuredRuns | None:
    """The runs in the tables of --runs and --losses; None where these are not given.

    Raises:
        InputError: A table or the token counts cannot be used.
    """
    if options.runs is None or options.losses is None:
        if options.token_counts is not None:
            raise InputError("--token_counts needs --runs; without them the tokens of the corpus are counted")
        return None
    runs = read_runs(options.runs, options.losses)
    _notify_of_diverged(runs, notify)
    path = options.token_counts
    tokens = TokenCounts(None) if path is None else counts_in_file(path)
    natural = natural_shares(tokens, runs.names)
    if natural is None:
        natural = runs.mixtures.mean(axis=0)  # mixtures are drawn around natural shares
    return MeasuredRuns(runs, tokens, natural, {"runs": str(options.runs), "losses": str(options.losses)})


def measure_runs(method: str, options: MethodOptions, notify: Notify) -> MeasuredRuns:
    """Runs from the tables of --runs and --losses, or of small models trained on random mixtures.

    The small models of a method go to a directory of its name, with two tables: mixtures.csv and losses.csv.

    Raises:
        InputError: A table or the corpus cannot be used, a run cannot be trained, or all diverged.
    """
    measured = runs_of_tables(options, notify)
    if measured is not None:
        return measured
    options, inputs = check_and_pack((method,), options, notify)
    tokens = packed_counts(options, inputs)
    names = tuple(domain.name for domain in inputs.packed)
    share_caps(names, options, tokens)  # fail before training
    natural = natural_shares(tokens, names)
    assert natural is not None
    training = replace(options.training, output_dir=options.training.output_dir / method)
    if options.run_steps is not None:
        training = replace(training, max_steps=options.run_steps, max_tokens=None)
    number = options.num_runs or recommended_runs(len(names))
    mixtures = draw_mixtures(natural, number, training.seed)
    by_name = {f"run-{at:04}": mixture for at, mixture in enumerate(mixtures, 1)}
    trained = train_runs(by_name, replace(options, training=training), inputs, notify)
    runs, directory = trained.runs, training.output_dir
    write_runs(runs, directory / "mixtures.csv", directory / "losses.csv")
    return MeasuredRuns(runs, tokens, natural, training_settings(training), trained.cost)


def train_runs(
    mixtures: Mapping[str, Array],
    options: MethodOptions,
    inputs: TrainingInputs,
    notify: Notify,
    keeps_files: bool = False,
) -> TrainedRuns:
    """Train and measure a small model on each mixture, several at a time; those measured are not repeated.

    Args:
        mixtures: (k,) shares by the name of the run, which is its directory in the output directory.
        options: Of training and workers.
        inputs: The packed corpus.
        notify: Receives what the user should know.
        keeps_files: Whether the models are kept once they are measured.

    Raises:
        InputError: A run cannot be trained, all diverged, or a directory has another run.
    """
    models = _small_models(mixtures, options, inputs, keeps_files)
    results = _train_missing(models, options, notify)
    by_run = dict(zip(mixtures, results, strict=True))
    runs = _as_runs(tuple(domain.name for domain in inputs.packed), by_run)
    _notify_of_diverged(runs, notify)
    if not len(runs):
        raise InputError("all runs diverged; lower --learning_rate")
    documents = {
        run: {name: (np.array(losses), np.array(counts)) for name, (losses, counts) in measured.items()}
        for run, result in by_run.items()
        if (measured := result.get("documents"))
    }
    cost = sum((Cost(**result.get("cost", {})) for result in results), Cost())
    return TrainedRuns(runs, cost, documents)


def stored_mixtures(directory: Path, options: MethodOptions, inputs: TrainingInputs) -> dict[str, Array]:
    """(k,) mixtures by directory of the measured runs that another method has left, with the same settings.

    Args:
        directory: Of the method's runs.
        options, inputs: As for `train_runs`.
    """
    found = {}
    for path in sorted(directory.glob("run-*/result.json")):
        try:
            content = json.loads(path.read_bytes())
            mixture = np.array([content["mixture"][domain.name] for domain in inputs.packed])
        except (OSError, ValueError, KeyError, TypeError):
            continue  # another corpus, or damaged: the method that owns it will say so
        (model,) = _small_models({str(path.parent.absolute()): mixture}, options, inputs, False)
        if content.get("digest") == model.digest and "losses" in content:
            found[str(path.parent.absolute())] = mixture
    return found


def _notify_of_diverged(runs: Runs, notify: Notify) -> None:
    if runs.diverged:
        number, total = len(runs.diverged), len(runs) + len(runs.diverged)
        notify(f"{number} of {total} runs diverged and are left out: {listed(runs.diverged, 10)}")


def _small_models(
    mixtures: Mapping[str, Array], options: MethodOptions, inputs: TrainingInputs, keeps_files: bool
) -> list[SmallModel]:
    """Models to train on (k,) mixtures by name."""
    names = [domain.name for domain in inputs.packed]
    text = digest_of_json([inputs.tokenizer.digest, [domain.digest for domain in inputs.packed]])
    training, max_tokens = options.training, options.max_heldout_tokens
    # Workers of Ray have another working directory.
    training = replace(
        training,
        output_dir=training.output_dir.absolute(),
        packed_dir=training.packed_dir.absolute(),
        dataset=absolute_without_links(training.dataset),
        model=absolute_without_links(training.model),
        tokenizer=None if training.tokenizer is None else absolute_without_links(training.tokenizer),
    )
    models = []
    for run, shares in mixtures.items():
        mixture = dict(zip(names, shares.tolist(), strict=True))
        directory = training.output_dir / run
        # Sums of equal shares in a file would be rounded, and a run on uniform weights be another one.
        weights = "uniform" if np.ptp(shares) == 0 else str(directory / _MIXTURE)
        own = replace(training, output_dir=directory, weights=weights)
        settings = {name: getattr(own, name) for name in _DECISIVE}
        decisive = [text, list(mixture.items()), settings]
        digests = digest_of_json([*decisive, max_tokens]), digest_of_json(decisive)
        models.append(SmallModel(own, mixture, max_tokens, *digests, keeps_files))
    return models


def _train_missing(
    models: Sequence[SmallModel], options: MethodOptions, notify: Notify
) -> list[dict[str, Any]]:
    """The results of all models, after training those without one."""
    stored = [_stored(model) for model in models]
    missing = [i for i, result in enumerate(stored) if result is None]
    done = len(models) - len(missing)
    if done and missing:
        notify(f"{done} of {len(models)} runs are done already")
    bar = tqdm(total=len(models), initial=done, desc="small models", unit="run", disable=None)
    with bar, closing(run_jobs(train_and_measure, [models[i] for i in missing], options)) as finished:
        for number, result in finished:
            stored[missing[number]] = result
            bar.update()
    return [result for result in stored if result is not None]


def train_and_measure(model: SmallModel) -> dict[str, Any]:
    """Train a model in this process and measure its losses; the result is written to its directory too.

    Raises:
        InputError: The model cannot be trained or measured.
    """
    options, directory = model.options, model.options.output_dir
    directory.mkdir(parents=True, exist_ok=True)
    write_atomically(directory / _MIXTURE, json.dumps(model.mixture).encode())
    result: dict[str, Any] = {
        "digest": model.digest,
        "digest_of_training": model.digest_of_training,
        "mixture": dict(model.mixture),
    }
    before = _read_result(directory)
    try:
        if before is not None and _is_trained(model, before):
            result["cost"] = before["cost"]
        else:
            trained = train(replace(options, resume=(directory / RECORD).exists()))
            result["cost"] = training_cost(directory, trained.rows, options.sample_length, 3).to_dict()
        same = ("dataset", "packed_dir", "heldout_share", "sample_length", "device", "dtype")
        evaluation = evaluate(
            EvaluationOptions(
                checkpoints=(str(directory),),
                max_tokens=model.max_tokens,
                **{name: getattr(options, name) for name in same},
                **options.reading(),
            )
        )
        losses = evaluation.checkpoints[0].domains
        result["losses"] = {name: each.loss for name, each in losses.items()}
        result["documents"] = {
            name: [each.losses.tolist(), each.tokens.tolist()] for name, each in losses.items()
        }
    except NotFiniteError as error:
        result["diverged"] = str(error)
    write_atomically(directory / _RESULT, (json.dumps(result) + "\n").encode())
    _delete_files(directory, model.keeps_files)
    return result


def _delete_files(directory: Path, keeps_model: bool) -> None:
    """Delete the checkpoints of a measured model and, unless it is kept, the model; its records stay."""
    for path in directory.glob("checkpoint-*"):
        shutil.rmtree(path, ignore_errors=True)
    if keeps_model:
        return
    for pattern in ("*.safetensors", "tokenizer*", "*config.json"):
        for path in directory.glob(pattern):
            path.unlink(missing_ok=True)


def _stored(model: SmallModel) -> dict[str, Any] | None:
    """The result of a model; None where it is to be trained, or measured on other tokens."""
    directory = model.options.output_dir
    result = _read_result(directory)
    if result is None or result.get("digest") == model.digest:
        return result
    if _is_trained(model, result):
        return None
    raise InputError(
        f"{directory} holds a run with another mixture, text or setting; delete it, or name another "
        "--output_dir"
    )


def _is_trained(model: SmallModel, result: Mapping[str, Any]) -> bool:
    """Whether the model of a result is there and is the one asked for, whatever it was measured on."""
    is_same = result.get("digest_of_training") == model.digest_of_training and "cost" in result
    return is_same and (model.options.output_dir / "config.json").exists()


def _read_result(directory: Path) -> dict[str, Any] | None:
    path = directory / _RESULT
    try:
        result = json.loads(path.read_bytes())
        if not isinstance(result, dict):
            raise ValueError("expected a JSON object")
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise InputError(f"{path} is damaged ({error}); delete it to repeat the run") from None
    return result


def _as_runs(names: tuple[str, ...], results: Mapping[str, Mapping[str, Any]]) -> Runs:
    """Runs from their results by name."""
    finite = {run: result for run, result in results.items() if "losses" in result}
    diverged = tuple(run for run in results if run not in finite)
    loss_names = tuple(next(iter(finite.values()), {"losses": {}})["losses"])
    mixtures = [[result["mixture"][name] for name in names] for result in finite.values()]
    losses = [[result["losses"][name] for name in loss_names] for result in finite.values()]
    return Runs(names, np.array(mixtures), loss_names, np.array(losses), tuple(finite), diverged)
