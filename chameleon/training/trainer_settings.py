"""From the options of a run to the settings of transformers' Trainer."""

import os
from importlib.util import find_spec

import torch
from transformers import TrainingArguments

from chameleon.common.errors import InputError
from chameleon.proxy.devices import choose_device, choose_dtype
from chameleon.training.options import (
    DEFAULT_MAX_STEPS,
    DEFAULT_MIN_LEARNING_RATE,
    DEFAULT_WARMUP_STEPS,
    TrainingOptions,
)
from chameleon.training.row_stream import MAX_ROWS


def count_processes() -> int:
    """The number of processes that train together.

    Raises:
        InputError: Only some of the variables that torchrun sets are set.
    """
    number = int(os.environ.get("WORLD_SIZE", "1"))
    if number > 1 and "LOCAL_RANK" not in os.environ:
        raise InputError(
            f"WORLD_SIZE is {number}, but LOCAL_RANK is not set; start with torchrun or accelerate launch, "
            "or unset WORLD_SIZE"
        )
    return number


def check_options(options: TrainingOptions, processes: int) -> None:
    """Raise InputError for flags that contradict each other, before long work."""
    steps = count_steps(options)
    if options.warmup_steps is not None and options.warmup_steps > steps:
        raise InputError(f"--warmup_steps {options.warmup_steps} exceeds the {steps} steps of the run")
    rows_per_pass(options, processes)
    _min_learning_rate(options)
    if options.tensorboard and find_spec("tensorboard") is None:
        raise InputError(
            '--tensorboard needs a package: pip install ".[tensorboard]" in the project\'s directory'
        )


def _min_learning_rate(options: TrainingOptions) -> float:
    low, high = options.min_learning_rate, options.learning_rate
    if low is None:
        return min(DEFAULT_MIN_LEARNING_RATE, high / 5)
    if options.lr_schedule != "cosine":
        raise InputError(
            f"--min_learning_rate is for --lr_schedule cosine; omit it with {options.lr_schedule}"
        )
    if low > high:
        raise InputError(f"--min_learning_rate {low:g} is above --learning_rate {high:g}")
    return low


def count_steps(options: TrainingOptions) -> int:
    """Optimizer steps of a run.

    Raises:
        InputError: They take more rows than a stream has.
    """
    tokens_per_step = options.batch_size * options.sample_length
    steps = options.max_steps or DEFAULT_MAX_STEPS
    if options.max_tokens is not None:
        steps = -(-options.max_tokens // tokens_per_step)
    if steps * options.batch_size >= MAX_ROWS:
        raise InputError(
            f"{steps} steps of {options.batch_size} rows are over {MAX_ROWS} rows; lower --max_steps, "
            "--max_tokens or --batch_size"
        )
    return steps


def rows_per_pass(options: TrainingOptions, processes: int) -> int:
    """Rows of one forward pass of one process.

    Raises:
        InputError: The rows of a step cannot be divided equally.
    """
    parts = processes * options.gradient_accumulation_steps
    if options.batch_size % parts:
        raise InputError(
            f"--batch_size {options.batch_size} cannot be divided among {processes} processes and "
            f"{options.gradient_accumulation_steps} accumulation steps; make it a multiple of {parts}"
        )
    return options.batch_size // parts


def trainer_arguments(options: TrainingOptions, processes: int) -> TrainingArguments:
    """The settings of the Trainer.

    Raises:
        InputError: The device is missing, or the library sees another number of processes.
    """
    # With several processes, the library finds the device of each.
    device = torch.device(choose_device(options.device).type)
    on_cpu = device.type == "cpu"
    schedules = {"cosine": "cosine_with_min_lr", "linear": "linear", "constant": "constant_with_warmup"}
    low, warmup, steps = _min_learning_rate(options), options.warmup_steps, count_steps(options)
    arguments = TrainingArguments(
        output_dir=str(options.output_dir),
        max_steps=steps,
        per_device_train_batch_size=rows_per_pass(options, processes),
        gradient_accumulation_steps=options.gradient_accumulation_steps,
        train_sampling_strategy="sequential",
        remove_unused_columns=False,
        learning_rate=options.learning_rate,
        lr_scheduler_type=schedules[options.lr_schedule],
        lr_scheduler_kwargs={"min_lr": low} if options.lr_schedule == "cosine" else None,
        warmup_steps=min(DEFAULT_WARMUP_STEPS, steps // 4) if warmup is None else warmup,
        weight_decay=options.weight_decay,
        adam_beta2=0.95,
        seed=options.seed % (1 << 32),
        use_cpu=on_cpu,
        bf16=choose_dtype(options.dtype, device) == torch.bfloat16,
        torch_compile=options.compile,
        activation_checkpointing=options.activation_checkpointing,
        save_steps=options.save_steps,
        save_total_limit=2,
        logging_steps=options.logging_steps,
        logging_nan_inf_filter=False,
        report_to=["tensorboard"] if options.tensorboard else [],
        disable_tqdm=True,
        ddp_backend="gloo" if on_cpu and processes > 1 else None,
        dataloader_pin_memory=not on_cpu,
        ddp_find_unused_parameters=False,
    )
    if arguments.world_size != processes:
        raise InputError(
            f"the library sees {arguments.world_size} processes, the environment says {processes}; start "
            "with torchrun or accelerate launch"
        )
    if processes == 1:
        arguments._n_gpu = min(arguments.n_gpu, 1)  # otherwise DataParallel would split each batch again
    return arguments
