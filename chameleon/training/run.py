"""The whole of a training run: corpus, packed tokens, mixture, model, checkpoints, record."""

import os
import platform
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import transformers
from filelock import FileLock
from transformers import AutoTokenizer, PreTrainedModel, TrainingArguments

import chameleon
from chameleon.bpe import train_tokenizer
from chameleon.checkpoints import find_checkpoint
from chameleon.corpora import Corpus, open_corpus
from chameleon.devices import choose_device, choose_dtype
from chameleon.errors import InputError
from chameleon.files import check_writable, digest_of_json
from chameleon.proxy import ProxyTokenizer, load_tokenizer
from chameleon.quiet import quiet_hub, quiet_transformers
from chameleon.reading import corpus_request
from chameleon.training.mixture import MOST_ROWS, Mixture, weights_at
from chameleon.training.models import (
    ModelSource,
    build_model,
    context_length,
    find_model,
    number_of_parameters,
)
from chameleon.training.options import (
    DEFAULT_MAX_STEPS,
    DEFAULT_MIN_LEARNING_RATE,
    DEFAULT_VOCAB_SIZE,
    DEFAULT_WARMUP_STEPS,
    MANY_EPOCHS,
    TrainingOptions,
)
from chameleon.training.packing import PackedDomain, pack
from chameleon.training.pictures import draw_curve
from chameleon.training.record import Record, check_directory, put_in_place
from chameleon.training.trainer import (
    CURVE,
    Bar,
    Curve,
    MixtureRows,
    StreamTrainer,
    read_curve,
    step_of,
)
from chameleon.training.weighting import Domains, Point, read_weights

Notify = Callable[[str], None]
_TOKENIZER_BYTES = 1 << 22


@dataclass(frozen=True)
class Trained:
    """What a run has come to.

    Attributes:
        directory: The model's.
        names: (k,) domains.
        weights: (k,) as asked for, at the end of the run.
        rows: (k,) that the run took of each.
        sizes: (k,) that each has.
        sample_length: Tokens of a row.
        steps: Steps in all.
        loss: The last that was logged, or None.
        parameters: Of the model.
    """

    directory: Path
    names: tuple[str, ...]
    weights: npt.NDArray[np.float64]
    rows: npt.NDArray[np.int64]
    sizes: npt.NDArray[np.int64]
    sample_length: int
    steps: int
    loss: float | None
    parameters: int

    @property
    def shares(self) -> npt.NDArray[np.float64]:
        """(k,) of the tokens that were trained on."""
        return self.rows / max(int(self.rows.sum()), 1)

    @property
    def epochs(self) -> npt.NDArray[np.float64]:
        """(k,) how often each domain was seen."""
        return self.rows / np.maximum(self.sizes, 1)


def train(options: TrainingOptions, notify: Notify = lambda text: None) -> Trained:
    """Train a model on a mixture, and write it with its record.

    Args:
        options: What is asked for.
        notify: Told, in a sentence each, what the user should know.

    Raises:
        InputError: Something asked for cannot be had or used, a disk is full, or the loss is not finite.
    """
    check_writable(options.output_dir / "model.safetensors")
    check_writable(options.packed_dir / "domain.bin")
    check_directory(options.output_dir, options.resume)
    source = find_model(options.model)
    length = options.sample_length
    context = context_length(source, options.trust_remote_code)
    if context is not None and length > context:
        raise InputError(
            f"rows of {length} tokens are over the context of {context} tokens of {source.name}; give "
            f"--sample_length {context} or less"
        )
    processes = int(os.environ.get("WORLD_SIZE", "1"))
    _micro_batch(options, processes)
    named = _tokenizer_path(options, source)
    tokenizer = None if named is None else load_tokenizer(named, options.trust_remote_code)
    request = corpus_request(options, options.dataset, tokenizer, options.packed_dir)
    if named is not None and request.tokenizer is None:
        request = replace(
            request, tokenizer=str(named)
        )  # that of token arrays, unless a manifest says another
    with quiet_hub(), closing(open_corpus(request)) as corpus:
        for notice in corpus.notices:
            notify(notice)
        if named is None or tokenizer is None:
            named = _trained_tokenizer(options, corpus)
            tokenizer = load_tokenizer(named)
        packed = pack(corpus.domains, tokenizer, options.packed_dir, options.heldout_share)
    return _train_on(options, source, (named, tokenizer), packed, processes, notify)


def _train_on(
    options: TrainingOptions,
    source: ModelSource,
    tokens: tuple[Path, ProxyTokenizer],
    packed: list[PackedDomain],
    processes: int,
    notify: Notify,
) -> Trained:
    named, tokenizer = tokens
    steps = _steps(options)
    points = _points(options, packed)
    sizes = np.array([domain.tokens // options.sample_length for domain in packed], dtype=np.int64)
    _require_rows(points, packed, sizes, options.sample_length)
    phases = weights_at(points, options.batch_size)
    mixture = Mixture(tuple(each.name for each in packed), sizes, tuple(phases), options.seed)
    record = Record(identity=_identity(options, source, tokenizer, packed, points), steps=steps)
    begun = record.resumed(options.output_dir, notify) if options.resume else None
    model = build_model(
        source, tokenizer.vocabulary, tokenizer.end_of_text, options.sample_length, options.seed,
        options.trust_remote_code,
    )  # fmt: skip
    planned = _result(options, mixture, points, steps, model, None)
    _tell_repeats(planned, notify)
    rows = MixtureRows(
        mixture, [each.array() for each in packed], options.sample_length, steps * options.batch_size
    )
    facts = _facts(options, source, named, tokenizer, packed, points, processes)
    with quiet_transformers():
        trainer = StreamTrainer(
            describe=lambda step: _rows_of_step(mixture, step, options.batch_size),
            model=model,
            args=_arguments(options, steps, processes),
            train_dataset=rows,
            processing_class=AutoTokenizer.from_pretrained(
                named, trust_remote_code=options.trust_remote_code
            ),
            callbacks=[
                Bar("training"),
                Curve(options.output_dir, options.batch_size * options.sample_length),
            ],
        )
        if trainer.args.should_save:
            record.write(options.output_dir, facts)
        if begun is None or step_of(begun) < steps:
            trainer.train(resume_from_checkpoint=None if begun is None else str(begun))
            _finish(trainer, options.output_dir)
    curve = read_curve(options.output_dir / CURVE)
    trained = _result(options, mixture, points, steps, model, curve[-1]["loss"] if curve else None)
    if trainer.args.should_save:
        draw_curve(curve, options.output_dir / "loss.png")
        record.write(options.output_dir, {**facts, "result": _outcome(trained)})
    return trained


def _finish(trainer: StreamTrainer, directory: Path) -> None:
    """Put the model at the top of its directory, whole or not at all."""
    unfinished = directory / ".unfinished"
    trainer.save(unfinished)
    if trainer.args.should_save:
        put_in_place(unfinished, directory)
    trainer.accelerator.wait_for_everyone()


def _tokenizer_path(options: TrainingOptions, source: ModelSource) -> Path | None:
    """Where the tokenizer is; None where it is to be learnt from the corpus."""
    if options.tokenizer is not None:
        return find_checkpoint(options.tokenizer, weights=False)
    return source.checkpoint


def _trained_tokenizer(options: TrainingOptions, corpus: Corpus) -> Path:
    """A tokenizer learnt from the corpus, or the one that was learnt before."""
    vocabulary = options.vocab_size or DEFAULT_VOCAB_SIZE
    texts = [domain.text for domain in corpus.domains]
    identity = digest_of_json(
        {"texts": [text.fingerprint for text in texts], "vocabulary": vocabulary, "bytes": _TOKENIZER_BYTES}
    )
    path = options.packed_dir / f"tokenizer-{identity[:16]}"
    try:
        options.packed_dir.mkdir(parents=True, exist_ok=True)
        with FileLock(options.packed_dir / ".tokenizer.lock"):
            if not (path / "tokenizer.json").exists():
                unfinished = path.with_name(f".{path.name}.unfinished")
                made = train_tokenizer(texts, vocabulary, _TOKENIZER_BYTES, options.sample_length)
                made.save_pretrained(unfinished)
                unfinished.replace(path)
    except OSError as error:
        raise InputError(f"cannot write a tokenizer in {options.packed_dir}: {error.strerror}") from None
    return path


def _steps(options: TrainingOptions) -> int:
    tokens_a_step = options.batch_size * options.sample_length
    steps = options.max_steps or DEFAULT_MAX_STEPS
    if options.max_tokens is not None:
        steps = -(-options.max_tokens // tokens_a_step)
    if steps * options.batch_size >= MOST_ROWS:
        raise InputError(
            f"{steps} steps of {options.batch_size} rows are over {MOST_ROWS} rows; ask for fewer"
        )
    return steps


def _points(options: TrainingOptions, packed: list[PackedDomain]) -> list[Point]:
    tokens = np.array([domain.tokens for domain in packed], dtype=np.int64)
    if not tokens.sum():
        raise InputError(f"{options.dataset} has no text to train on but what is held out")
    names = [domain.name for domain in packed]
    return read_weights(options.weights, Domains(names, tokens, options.dataset, options.rename or {}))


def _require_rows(
    points: list[Point], packed: list[PackedDomain], sizes: npt.NDArray[np.int64], length: int
) -> None:
    for number, domain in enumerate(packed):
        weight = max(float(point.weights[number]) for point in points)
        if weight > 0 and not sizes[number]:
            raise InputError(
                f"domain {domain.name} has the weight {weight:.4g}, but only {domain.tokens} tokens to "
                f"train on, less than one row of {length}; give it text, leave it out (--domains), or "
                "lower --sample_length"
            )


def _micro_batch(options: TrainingOptions, processes: int) -> int:
    """Rows of one forward pass of one process."""
    parts = processes * options.gradient_accumulation_steps
    if options.batch_size % parts:
        raise InputError(
            f"--batch_size {options.batch_size} rows a step cannot be divided among {processes} processes "
            f"and {options.gradient_accumulation_steps} accumulation steps; make it a multiple of {parts}"
        )
    return options.batch_size // parts


def _identity(
    options: TrainingOptions,
    source: ModelSource,
    tokenizer: ProxyTokenizer,
    packed: list[PackedDomain],
    points: list[Point],
) -> dict[str, Any]:
    """What a run cannot be resumed without: by names that a user knows."""
    return {
        "corpus": {domain.name: domain.digest for domain in packed},
        "tokenizer": tokenizer.digest,
        "model": source.identity,
        "seed": options.seed,
        "mixture": [[point.step, point.over, point.weights.tolist()] for point in points],
        "sample_length": options.sample_length,
        "batch_size": options.batch_size,
        "learning_rate": options.learning_rate,
        "min_learning_rate": options.min_learning_rate,
        "lr_schedule": options.lr_schedule,
        "warmup_steps": options.warmup_steps,
        "weight_decay": options.weight_decay,
    }


def _arguments(options: TrainingOptions, steps: int, processes: int) -> TrainingArguments:
    device = choose_device(options.device) if processes == 1 else None
    on_cpu = (device is not None and device.type == "cpu") or options.device == "cpu"
    dtype = choose_dtype(options.dtype, device or torch.device("cpu" if on_cpu else "cuda"))
    schedules = {"cosine": "cosine_with_min_lr", "linear": "linear", "constant": "constant_with_warmup"}
    least = DEFAULT_MIN_LEARNING_RATE if options.min_learning_rate is None else options.min_learning_rate
    if options.lr_schedule == "cosine" and least > options.learning_rate:
        if options.min_learning_rate is not None:
            raise InputError(
                f"--min_learning_rate {least:g} is over --learning_rate {options.learning_rate:g}"
            )
        least = options.learning_rate / 5
    warmup = options.warmup_steps
    arguments = TrainingArguments(
        output_dir=str(options.output_dir),
        max_steps=steps,
        per_device_train_batch_size=_micro_batch(options, processes),
        gradient_accumulation_steps=options.gradient_accumulation_steps,
        train_sampling_strategy="sequential",
        learning_rate=options.learning_rate,
        lr_scheduler_type=schedules[options.lr_schedule],
        lr_scheduler_kwargs={"min_lr": least} if options.lr_schedule == "cosine" else None,
        warmup_steps=min(DEFAULT_WARMUP_STEPS, steps // 4) if warmup is None else warmup,
        weight_decay=options.weight_decay,
        adam_beta2=0.95,
        seed=options.seed % (1 << 32),
        use_cpu=on_cpu,
        bf16=dtype == torch.bfloat16,
        torch_compile=options.compile,
        activation_checkpointing=options.activation_checkpointing,
        save_steps=options.save_steps,
        save_total_limit=2,
        logging_steps=options.logging_steps,
        logging_nan_inf_filter=False,
        report_to=["tensorboard"] if options.tensorboard else [],
        disable_tqdm=True,
        dataloader_pin_memory=not on_cpu,
        ddp_find_unused_parameters=False,
    )
    if processes == 1:
        arguments._n_gpu = min(arguments.n_gpu, 1)  # else DataParallel, which splits each batch anew
    return arguments


def _rows_of_step(mixture: Mixture, step: int, batch_size: int) -> str:
    domains = mixture.rows((step - 1) * batch_size, step * batch_size).domains
    counts = np.bincount(domains, minlength=len(mixture.names)) / batch_size
    shares = (f"{name} {share:.0%}" for name, share in zip(mixture.names, counts, strict=True) if share)
    return f"its rows: {', '.join(shares)}"


def _result(
    options: TrainingOptions,
    mixture: Mixture,
    points: list[Point],
    steps: int,
    model: PreTrainedModel,
    loss: float | None,
) -> Trained:
    return Trained(
        directory=options.output_dir,
        names=mixture.names,
        weights=points[-1].weights,
        rows=mixture.counts(steps * options.batch_size),
        sizes=mixture.sizes,
        sample_length=options.sample_length,
        steps=steps,
        loss=loss,
        parameters=number_of_parameters(model),
    )


def _tell_repeats(planned: Trained, notify: Notify) -> None:
    for name, epochs in zip(planned.names, planned.epochs, strict=True):
        if epochs > MANY_EPOCHS:
            notify(
                f"{name} is seen {epochs:.1f} times; more than {MANY_EPOCHS} times gives less and less: "
                "lower its weight, train for fewer steps, or give it more text"
            )


def _outcome(trained: Trained) -> dict[str, Any]:
    length = trained.sample_length
    columns = zip(
        trained.names, trained.rows.tolist(), trained.shares.tolist(), trained.epochs.tolist(), strict=True
    )
    return {
        "steps": trained.steps,
        "tokens": int(trained.rows.sum()) * length,
        "domains": {
            name: {"tokens": rows * length, "share": share, "epochs": epochs}
            for name, rows, share, epochs in columns
        },
        "loss": trained.loss,
        "parameters": trained.parameters,
    }


def _facts(
    options: TrainingOptions,
    source: ModelSource,
    tokenizer_path: Path,
    tokenizer: ProxyTokenizer,
    packed: list[PackedDomain],
    points: list[Point],
    processes: int,
) -> dict[str, Any]:
    """What the record says of the run besides its identity."""
    settings = {
        name: str(value) if isinstance(value, Path) else value for name, value in asdict(options).items()
    }
    names = [domain.name for domain in packed]
    return {
        "settings": settings,
        "schedule": [
            {
                "step": point.step,
                "over": point.over,
                "weights": dict(zip(names, point.weights.tolist(), strict=True)),
            }
            for point in points
        ],
        "heldout_share": options.heldout_share,
        "model": source.name,
        "tokenizer": {"path": str(tokenizer_path), "digest": tokenizer.digest},
        "processes": processes,
        "versions": {
            "chameleon": chameleon.__version__,
            "torch": torch.__version__,
            "transformers": transformers.__version__,
            "python": platform.python_version(),
        },
        "written": datetime.now(UTC).isoformat(timespec="seconds"),
    }
