"""Small models on random mixtures, several at a time, each with what it came to in a file of its own.

A run that is there is not done again, one that was broken off goes on from its last checkpoint, and the files
of a model are deleted once its losses are known.

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

from chameleon.common.command_line import Notify
from chameleon.common.errors import InputError, NotFiniteError
from chameleon.common.files import absolute_without_links, digest_of_json, write_atomically
from chameleon.methods.cost import Cost
from chameleon.methods.options import Engine
from chameleon.methods.regmix.parallel import run_jobs
from chameleon.methods.regmix.runs import Array, Runs
from chameleon.training.options import TrainingOptions

# Settings that make a run's losses, besides its mixture, its text and what it is measured on.
_MAKES_IT = (
    "model", "sample_length", "batch_size", "max_steps", "max_tokens", "seed", "learning_rate",
    "min_learning_rate", "lr_schedule", "warmup_steps", "weight_decay", "heldout_share",
)  # fmt: skip


RESULT = "result.json"


_MIXTURE = "mixture.json"


@dataclass(frozen=True)
class Job:
    """A run.

    Attributes:
        options: Of its training, with its directory.
        mixture: Shares by domain.
        max_tokens: Held-out tokens of each domain that it is measured on.
        digest: Of all that makes its result.
    """

    options: TrainingOptions
    mixture: Mapping[str, float]
    max_tokens: int
    digest: str


def jobs_for(
    options: TrainingOptions, ground: str, names: Sequence[str], mixtures: Array, max_tokens: int
) -> list[Job]:
    """Runs on mixtures.

    Args:
        options: Of all trainings; the runs' directories go into its output_dir.
        ground: Digest of text and tokenizer.
        names: (k,) domains.
        mixtures: (n, k).
        max_tokens: As of `Job`.
    """
    # Ray's workers have another working directory.
    options = replace(
        options,
        output_dir=options.output_dir.absolute(),
        packed_dir=options.packed_dir.absolute(),
        dataset=absolute_without_links(options.dataset),
        model=absolute_without_links(options.model),
        tokenizer=None if options.tokenizer is None else absolute_without_links(options.tokenizer),
    )
    jobs = []
    for number, row in enumerate(mixtures.tolist(), 1):
        mixture = dict(zip(names, row, strict=True))
        directory = options.output_dir / f"run-{number:04}"
        mine = replace(options, output_dir=directory, weights=str(directory / _MIXTURE))
        settings = {name: getattr(mine, name) for name in _MAKES_IT}
        made_by = [ground, list(mixture.items()), settings, max_tokens]
        jobs.append(Job(mine, mixture, max_tokens, digest_of_json(made_by)))
    return jobs


def results_of(jobs: Sequence[Job], engine: Engine, notify: Notify) -> tuple[Runs, Cost]:
    """What the runs came to, those that are not there being trained first.

    Raises:
        InputError: A run cannot be trained, or what is in its directory is of another.
    """
    results = [_stored(job) for job in jobs]
    missing = [i for i, result in enumerate(results) if result is None]
    there = len(jobs) - len(missing)
    if there and missing:
        notify(f"{there} of {len(jobs)} runs are there already")
    bar = tqdm(total=len(jobs), initial=there, desc="small models", unit="run", disable=None)
    with bar, closing(run_jobs(run_job, [jobs[i] for i in missing], engine)) as done:
        for at, result in done:
            results[missing[at]] = result
            bar.update()
    return _as_runs(jobs, [result for result in results if result is not None], notify)


def run_job(job: Job) -> dict[str, Any]:
    """Train and measure one, in this process; what it came to is in its directory too.

    Raises:
        InputError: It cannot be trained or measured.
    """
    from chameleon.methods.cost import training_cost
    from chameleon.training.evaluation.evaluate import evaluate
    from chameleon.training.evaluation.options import EvaluationOptions
    from chameleon.training.run import train
    from chameleon.training.run_directory import RECORD

    options, directory = job.options, job.options.output_dir
    directory.mkdir(parents=True, exist_ok=True)
    write_atomically(directory / _MIXTURE, json.dumps(job.mixture).encode())
    result: dict[str, Any] = {"digest": job.digest, "mixture": dict(job.mixture)}
    try:
        trained = train(replace(options, resume=(directory / RECORD).exists()))
        same = ("dataset", "packed_dir", "heldout_share", "sample_length", "device", "dtype")
        evaluation = evaluate(
            EvaluationOptions(
                checkpoints=(str(directory),),
                max_tokens=job.max_tokens,
                **{name: getattr(options, name) for name in same},
                **options.reading(),
            )
        )
        losses = evaluation.checkpoints[0].domains
        result["losses"] = {name: each.loss for name, each in losses.items()}
        cost = training_cost(directory, trained.rows, options.sample_length, 3)
        result["cost"] = cost.to_dict()
    except NotFiniteError as error:
        result["diverged"] = str(error)
    write_atomically(directory / RESULT, (json.dumps(result, indent=2) + "\n").encode())
    _clear(directory)
    return result


def _clear(directory: Path) -> None:
    """Delete the files of a model that is measured; records and curves stay."""
    for path in directory.glob("checkpoint-*"):
        shutil.rmtree(path, ignore_errors=True)
    for pattern in ("*.safetensors", "tokenizer*", "*config.json"):
        for path in directory.glob(pattern):
            path.unlink(missing_ok=True)


def _stored(job: Job) -> dict[str, Any] | None:
    path = job.options.output_dir / RESULT
    try:
        found = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise InputError(f"{path} is damaged ({error}); delete it to have the run trained again") from None
    if not isinstance(found, dict) or found.get("digest") != job.digest:
        raise InputError(
            f"{path.parent} holds a run of another mixture, text or setting; name another --output_dir, or "
            "delete it"
        )
    return found


def _as_runs(jobs: Sequence[Job], results: Sequence[Mapping[str, Any]], notify: Notify) -> tuple[Runs, Cost]:
    cost = Cost()
    for result in results:
        cost += Cost(**result.get("cost", {}))
    good = [i for i, result in enumerate(results) if "losses" in result]
    names = tuple(jobs[0].mixture) if jobs else ()
    diverged = tuple(str(i + 1) for i in range(len(results)) if i not in set(good))
    if diverged:
        notify(f"{len(diverged)} of {len(jobs)} runs diverged and are left out: {', '.join(diverged[:10])}")
    if not good:
        raise InputError("all runs diverged; give a lower --learning_rate")
    losses_of = tuple(results[good[0]]["losses"])
    runs = Runs(
        names,
        np.array([[results[i]["mixture"][name] for name in names] for i in good]),
        losses_of,
        np.array([[results[i]["losses"][name] for name in losses_of] for i in good]),
        tuple(str(i + 1) for i in good),
        diverged,
    )
    return runs, cost
