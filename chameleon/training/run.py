"""The whole of a training run: corpus, packed tokens, mixture, model, checkpoints, record."""

import os
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from json import JSONDecodeError
from pathlib import Path
from pickle import UnpicklingError

from safetensors import SafetensorError
from transformers import AutoTokenizer

from chameleon.common.command_line import Notify
from chameleon.common.errors import InputError
from chameleon.common.files import check_writable
from chameleon.common.libraries import quiet_transformers
from chameleon.proxy.devices import is_out_of_memory
from chameleon.training.inputs import prepare
from chameleon.training.models import build_model, number_of_parameters
from chameleon.training.objective import Objective, ObjectiveTrainer, restore
from chameleon.training.options import TrainingOptions
from chameleon.training.outcome import TrainingOutcome, draw_curve, outcome_of
from chameleon.training.plan import TrainingPlan, plan_run
from chameleon.training.record import check_directory, put_in_place
from chameleon.training.trainer import CURVE, Bar, Curve, StreamTrainer, read_curve, step_of
from chameleon.training.trainer_settings import check_options, number_of_processes

_TOKENIZER_BYTES = 1 << 22


def train(
    options: TrainingOptions,
    notify: Notify = lambda text: None,
    objective_for: Callable[[TrainingPlan], Objective] | None = None,
) -> TrainingOutcome:
    """Train a model on a mixture, and write it with its record.

    Args:
        options: What is asked for.
        notify: Told, in a sentence each, what the user should know.
        objective_for: What makes another loss than the model's own, and what follows from it.

    Raises:
        InputError: Something asked for cannot be had or used, a disk is full, or the loss is not finite.
    """
    check_writable(options.output_dir / "model.safetensors")
    check_directory(options.output_dir, options.resume)
    processes = number_of_processes(os.environ)
    check_options(options, processes)
    ground = prepare(options, notify)
    plan = plan_run(options, ground, processes)
    for notice in plan.notices():
        notify(notice)
    objective = None if objective_for is None else objective_for(plan)
    if objective is not None:
        plan = replace(plan, objective=objective.identity)
    return _train_by(plan, notify, objective)


def _train_by(plan: TrainingPlan, notify: Notify, objective: Objective | None) -> TrainingOutcome:
    options, ground, directory = plan.options, plan.ground, plan.options.output_dir
    begun = plan.record.resumed(directory, notify) if options.resume else None
    with quiet_transformers():
        model = build_model(
            ground.source, ground.tokenizer.vocabulary, ground.tokenizer.end_of_text, options.sample_length,
            options.seed, options.trust_remote_code,
        )  # fmt: skip
        parameters = number_of_parameters(model)
        if objective is not None and begun is not None:
            restore(objective, begun)
        make: Callable[..., StreamTrainer] = StreamTrainer
        if objective is not None:
            make = partial(ObjectiveTrainer, objective)
        trainer = make(
            describe=plan.rows_of_step,
            model=model,
            args=plan.arguments,
            train_dataset=plan.rows(),
            processing_class=AutoTokenizer.from_pretrained(
                ground.tokenizer_path, trust_remote_code=options.trust_remote_code
            ),
            callbacks=[Bar("training"), Curve(directory, options.batch_size * options.sample_length)],
        )
        if trainer.args.should_save:
            plan.record.write(directory, plan.facts)
        if begun is not None and step_of(begun) == plan.steps and (directory / "config.json").exists():
            notify(f"the run in {directory} has all its {plan.steps} steps: nothing to do")
        else:
            _work(trainer, begun, options)
            _finish(trainer, directory)
    curve = read_curve(directory / CURVE)
    trained = plan.trained(parameters, curve[-1]["loss"] if curve else None)
    if trainer.args.should_save:
        draw_curve(curve, directory / "loss.png")
        plan.record.write(directory, {**plan.facts, "result": outcome_of(trained)})
    return trained


def _work(trainer: StreamTrainer, begun: Path | None, options: TrainingOptions) -> None:
    try:
        trainer.train(resume_from_checkpoint=None if begun is None else str(begun))
    except OSError as error:
        raise InputError(
            f"cannot read or write in {options.output_dir}: {error.strerror or error}; free some space, "
            "and go on by --resume"
        ) from None
    except (SafetensorError, UnpicklingError, JSONDecodeError) as error:
        if begun is None:
            raise
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"{begun} is damaged ({reason}); delete it to go on from the one before") from None
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        raise InputError(
            f"not enough memory for {trainer.args.per_device_train_batch_size} rows of "
            f"{options.sample_length} tokens in one pass; raise --gradient_accumulation_steps, or give "
            "--activation_checkpointing"
        ) from None


def _finish(trainer: StreamTrainer, directory: Path) -> None:
    """Put the model at the top of its directory, whole or not at all."""
    unfinished = directory / ".unfinished"
    trainer.save(unfinished)
    if trainer.args.should_save:
        put_in_place(unfinished, directory)
    trainer.accelerator.wait_for_everyone()
