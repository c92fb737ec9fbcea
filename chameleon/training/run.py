"""A training run from start to end: inputs, plan, model, checkpoints, record."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from json import JSONDecodeError
from pathlib import Path
from pickle import UnpicklingError

from safetensors import SafetensorError
from transformers import AutoTokenizer, PreTrainedModel

from chameleon.common.command_line import Notify
from chameleon.common.errors import InputError, one_line
from chameleon.common.files import check_writable
from chameleon.common.libraries import quiet_transformers
from chameleon.proxy.devices import is_out_of_memory
from chameleon.training.inputs import prepare_inputs
from chameleon.training.loss_curve import LOSS_CURVE, LossCurve, draw_loss_curve, read_loss_curve
from chameleon.training.models import build_model, count_parameters
from chameleon.training.objective import Objective, ObjectiveTrainer, restore_objective
from chameleon.training.options import TrainingOptions
from chameleon.training.outcome import TrainingOutcome
from chameleon.training.plan import TrainingPlan, plan_run
from chameleon.training.run_directory import move_into_place, require_free_directory, step_of
from chameleon.training.trainer import ProgressBar, StreamTrainer
from chameleon.training.trainer_settings import check_options, count_processes


def train(
    options: TrainingOptions,
    notify: Notify = lambda text: None,
    objective_for: Callable[[TrainingPlan], Objective] | None = None,
) -> TrainingOutcome:
    """Train a model on a mixture, and write it with its record.

    `objective_for` makes the objective of a plan, if it is not the model's own loss.

    Raises:
        InputError: Something requested is missing or unusable, a disk is full, or the loss is not finite.
    """
    check_writable(options.output_dir / "model.safetensors")
    require_free_directory(options.output_dir, options.resume)
    processes = count_processes()
    check_options(options, processes)
    plan = plan_run(options, prepare_inputs(options, notify), processes)
    for text in plan.notes():
        notify(text)
    objective = None if objective_for is None else objective_for(plan)
    if objective is not None:
        plan = replace(plan, objective=objective.identity)
    return _run(plan, notify, objective)


def _run(plan: TrainingPlan, notify: Notify, objective: Objective | None) -> TrainingOutcome:
    options, inputs, directory = plan.options, plan.inputs, plan.options.output_dir
    checkpoint = plan.record.resume_from(directory, notify) if options.resume else None
    with quiet_transformers():
        model = build_model(
            inputs.source, inputs.tokenizer.vocabulary, inputs.tokenizer.end_of_text, options.sample_length,
            options.seed, options.trust_remote_code,
        )  # fmt: skip
        trainer = _build_trainer(plan, model, objective)
        if objective is not None and checkpoint is not None:
            restore_objective(objective, checkpoint)
        if trainer.args.should_save:
            plan.record.write(directory, plan.facts)
        finished = checkpoint is not None and step_of(checkpoint) == plan.steps
        if finished and (directory / "config.json").exists():
            notify(f"the run in {directory} has all its {plan.steps} steps: nothing to do")
        else:
            _train(trainer, checkpoint, options)
            # The model is at the top of its directory whole or not at all.
            trainer.save(directory / ".unfinished")
            if trainer.args.should_save:
                move_into_place(directory / ".unfinished", directory)
            trainer.accelerator.wait_for_everyone()
    curve = read_loss_curve(directory / LOSS_CURVE)
    outcome = plan.outcome(count_parameters(model), curve[-1]["loss"] if curve else None)
    if trainer.args.should_save:
        draw_loss_curve(curve, directory / "loss.png")
        plan.record.write(directory, {**plan.facts, "result": outcome.to_dict()})
    return outcome


def _build_trainer(plan: TrainingPlan, model: PreTrainedModel, objective: Objective | None) -> StreamTrainer:
    options, load = plan.options, AutoTokenizer.from_pretrained
    curve = LossCurve(options.output_dir, options.batch_size * options.sample_length)
    trainer_class: Callable[..., StreamTrainer] = StreamTrainer
    if objective is not None:
        trainer_class = partial(ObjectiveTrainer, objective)
    return trainer_class(
        describe=plan.describe_step,
        model=model,
        args=plan.arguments,
        train_dataset=plan.dataset(),
        processing_class=load(plan.inputs.tokenizer_path, trust_remote_code=options.trust_remote_code),
        callbacks=[ProgressBar("training"), curve],
    )


def _train(trainer: StreamTrainer, checkpoint: Path | None, options: TrainingOptions) -> None:
    try:
        trainer.train(resume_from_checkpoint=None if checkpoint is None else str(checkpoint))
    except OSError as error:
        raise InputError(
            f"cannot read or write in {options.output_dir}: {error.strerror or error}; free some space, "
            "then use --resume"
        ) from None
    except (SafetensorError, UnpicklingError, JSONDecodeError) as error:
        if checkpoint is None:
            raise
        reason = one_line(error)
        raise InputError(
            f"{checkpoint} is damaged ({reason}); delete it to resume from the one before"
        ) from None
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        raise InputError(
            f"not enough memory for {trainer.args.per_device_train_batch_size} rows of "
            f"{options.sample_length} tokens in one pass; raise --gradient_accumulation_steps, or use "
            "--activation_checkpointing"
        ) from None
