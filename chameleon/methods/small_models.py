"""Small models trained on random mixtures, several at a time, each with its losses in a file of its own.

A finished run is not repeated, an interrupted one is resumed from its last checkpoint, and the files of a
model are deleted once its losses are measured.

Shapes: n runs, k domains.
"""

import json
import shutil
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
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
from chameleon.methods.mixtures import draw_mixtures
from chameleon.methods.options import MethodOptions
from chameleon.methods.parallel import run_jobs
from chameleon.methods.runs import Runs, recommended_runs, write_runs
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


@dataclass(frozen=True)
class SmallModel:
    """A small model to train and measure.

    Attributes:
        options: Options of its training, with its directory.
        mixture: Shares by domain.
        max_tokens: Held-out tokens of each domain that it is measured on.
        digest: Digest of everything that decides its losses.
    """

    options: TrainingOptions
    mixture: Mapping[str, float]
    max_tokens: int
    digest: str


def train_small_models(
    options: TrainingOptions, methods: MethodOptions, inputs: TrainingInputs, natural: Array, notify: Notify
) -> tuple[Runs, Cost]:
    """Train small models on random mixtures around natural shares, and measure their held-out losses.

    The runs and two tables of them, mixtures.csv and losses.csv, go to the output directory.

    Args:
        options: Options of each training.
        methods: How many models, on how many held-out tokens, and by which workers.
        inputs: The packed corpus.
        natural: (k,) shares of the available tokens.
        notify: Receives notes, one sentence each.

    Raises:
        InputError: A run cannot be trained, all diverged, or a directory holds another run.
    """
    names = tuple(domain.name for domain in inputs.packed)
    number = methods.num_runs or recommended_runs(len(names))
    mixtures = draw_mixtures(natural, number, options.seed)
    text = digest_of_json([inputs.tokenizer.digest, [domain.digest for domain in inputs.packed]])
    models = _small_models(options, text, names, mixtures, methods.max_heldout_tokens)
    results = [_stored(model) for model in models]
    missing = [i for i, result in enumerate(results) if result is None]
    done = len(models) - len(missing)
    if done and missing:
        notify(f"{done} of {len(models)} runs are done already")
    bar = tqdm(total=len(models), initial=done, desc="small models", unit="run", disable=None)
    with bar, closing(run_jobs(train_and_measure, [models[i] for i in missing], methods)) as finished:
        for number, result in finished:
            results[missing[number]] = result
            bar.update()
    complete = [result for result in results if result is not None]
    runs = _as_runs(names, complete, notify)
    write_runs(runs, options.output_dir / "mixtures.csv", options.output_dir / "losses.csv")
    return runs, sum((Cost(**result.get("cost", {})) for result in complete), Cost())


def _small_models(
    options: TrainingOptions, text: str, names: Sequence[str], mixtures: Array, max_tokens: int
) -> list[SmallModel]:
    """A model for each of (n, k) mixtures; `text` is a digest of text and tokenizer."""
    # Workers of Ray have another working directory.
    options = replace(
        options,
        output_dir=options.output_dir.absolute(),
        packed_dir=options.packed_dir.absolute(),
        dataset=absolute_without_links(options.dataset),
        model=absolute_without_links(options.model),
        tokenizer=None if options.tokenizer is None else absolute_without_links(options.tokenizer),
    )
    models = []
    for number, shares in enumerate(mixtures.tolist(), 1):
        mixture = dict(zip(names, shares, strict=True))
        directory = options.output_dir / f"run-{number:04}"
        own = replace(options, output_dir=directory, weights=str(directory / _MIXTURE))
        settings = {name: getattr(own, name) for name in _DECISIVE}
        digest = digest_of_json([text, list(mixture.items()), settings, max_tokens])
        models.append(SmallModel(own, mixture, max_tokens, digest))
    return models


def train_and_measure(model: SmallModel) -> dict[str, Any]:
    """Train a model in this process and measure its losses; the result is written to its directory too.

    Raises:
        InputError: The model cannot be trained or measured.
    """
    options, directory = model.options, model.options.output_dir
    directory.mkdir(parents=True, exist_ok=True)
    write_atomically(directory / _MIXTURE, json.dumps(model.mixture).encode())
    result: dict[str, Any] = {"digest": model.digest, "mixture": dict(model.mixture)}
    try:
        trained = train(replace(options, resume=(directory / RECORD).exists()))
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
        result["cost"] = training_cost(directory, trained.rows, options.sample_length, 3).to_dict()
    except NotFiniteError as error:
        result["diverged"] = str(error)
    write_atomically(directory / _RESULT, (json.dumps(result, indent=2) + "\n").encode())
    _delete_model(directory)
    return result


def _delete_model(directory: Path) -> None:
    """Delete the files of a measured model; its records and curves stay."""
    for path in directory.glob("checkpoint-*"):
        shutil.rmtree(path, ignore_errors=True)
    for pattern in ("*.safetensors", "tokenizer*", "*config.json"):
        for path in directory.glob(pattern):
            path.unlink(missing_ok=True)


def _stored(model: SmallModel) -> dict[str, Any] | None:
    path = model.options.output_dir / _RESULT
    try:
        result = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise InputError(f"{path} is damaged ({error}); delete it to repeat the run") from None
    if not isinstance(result, dict) or result.get("digest") != model.digest:
        raise InputError(
            f"{path.parent} holds a run with another mixture, text or setting; delete it, or name another "
            "--output_dir"
        )
    return result


def _as_runs(names: tuple[str, ...], results: Sequence[Mapping[str, Any]], notify: Notify) -> Runs:
    """Results of runs 1, 2, ... as one value; those that diverged are left out."""
    finite = {str(i): result for i, result in enumerate(results, 1) if "losses" in result}
    diverged = tuple(str(i) for i in range(1, len(results) + 1) if str(i) not in finite)
    if diverged:
        notify(f"{len(diverged)} of {len(results)} runs diverged and are left out: {listed(diverged, 10)}")
    if not finite:
        raise InputError("all runs diverged; lower --learning_rate")
    loss_names = tuple(next(iter(finite.values()))["losses"])
    mixtures = [[result["mixture"][name] for name in names] for result in finite.values()]
    losses = [[result["losses"][name] for name in loss_names] for result in finite.values()]
    return Runs(names, np.array(mixtures), loss_names, np.array(losses), tuple(finite), diverged)
