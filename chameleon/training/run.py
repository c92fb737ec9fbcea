"""The whole of a training run: corpus, packed tokens, mixture, model, checkpoints, record."""

import os
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from pickle import UnpicklingError

import numpy as np
from filelock import FileLock
from safetensors import SafetensorError
from transformers import AutoTokenizer

from chameleon.bpe import train_tokenizer
from chameleon.checkpoints import find_checkpoint
from chameleon.corpora import Corpus, open_corpus
from chameleon.devices import is_out_of_memory
from chameleon.errors import InputError
from chameleon.files import check_writable, digest_of_json
from chameleon.proxy_tokenizer import ProxyTokenizer, load_tokenizer
from chameleon.quiet import quiet_hub, quiet_transformers
from chameleon.reading import corpus_request
from chameleon.training.mixture import Mixture, weights_at
from chameleon.training.models import (
    ModelSource,
    build_model,
    context_length,
    find_model,
    number_of_parameters,
)
from chameleon.training.options import DEFAULT_VOCAB_SIZE, TrainingOptions
from chameleon.training.outcome import Trained, facts_of, outcome_of, rows_of_step, tell_repeats
from chameleon.training.packed import PackedDomain
from chameleon.training.packing import pack
from chameleon.training.pictures import draw_curve
from chameleon.training.plan import (
    check_options,
    identity_of,
    number_of_processes,
    number_of_steps,
    require_rows,
    schedule_of,
    trainer_arguments,
)
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

Notify = Callable[[str], None]
_TOKENIZER_BYTES = 1 << 22


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
    processes = number_of_processes(os.environ)
    check_options(options, processes)
    source = find_model(options.model)
    length = options.sample_length
    context = context_length(source, options.trust_remote_code)
    if context is not None and length > context:
        raise InputError(
            f"rows of {length} tokens are over the context of {context} tokens of {source.name}; give "
            f"--sample_length {context} or less"
        )
    named = _tokenizer_path(options, source)
    tokenizer = None if named is None else load_tokenizer(named, options.trust_remote_code)
    request = corpus_request(options, options.dataset, tokenizer, options.packed_dir)
    if named is not None and request.tokenizer is None:
        # That of token arrays, unless a manifest says another.
        request = replace(request, tokenizer=str(named))
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
    steps = number_of_steps(options)
    points = schedule_of(options, packed)
    sizes = np.array([domain.tokens // options.sample_length for domain in packed], dtype=np.int64)
    require_rows(points, packed, sizes, options.sample_length)
    phases = weights_at(points, options.batch_size)
    mixture = Mixture(tuple(each.name for each in packed), sizes, tuple(phases), options.seed)
    arguments = trainer_arguments(options, steps, processes)
    dtype = "bfloat16" if arguments.bf16 else "float32"
    record = Record(identity_of(options, source, tokenizer, packed, points), steps, dtype)
    begun = record.resumed(options.output_dir, notify) if options.resume else None
    model = build_model(
        source, tokenizer.vocabulary, tokenizer.end_of_text, options.sample_length, options.seed,
        options.trust_remote_code,
    )  # fmt: skip
    planned = Trained(
        directory=options.output_dir,
        names=mixture.names,
        weights=mixture.expected(steps * options.batch_size),
        rows=mixture.counts(steps * options.batch_size),
        sizes=sizes,
        sample_length=options.sample_length,
        steps=steps,
        loss=None,
        parameters=number_of_parameters(model),
    )
    tell_repeats(planned, notify)
    for point in points:
        if point.step >= steps:
            notify(f"the schedule's weights from step {point.step} on are beyond the run's {steps} steps")
    rows = MixtureRows(
        mixture, [each.array() for each in packed], options.sample_length, steps * options.batch_size
    )
    facts = facts_of(options, source, named, tokenizer, packed, points, processes)
    with quiet_transformers():
        trainer = StreamTrainer(
            describe=lambda step: rows_of_step(mixture, step, options.batch_size),
            model=model,
            args=arguments,
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
        if begun is not None and step_of(begun) == steps and (options.output_dir / "config.json").exists():
            notify(f"the run in {options.output_dir} has all its {steps} steps: nothing to do")
        else:
            _work(trainer, begun, options)
            _finish(trainer, options.output_dir)
    curve = read_curve(options.output_dir / CURVE)
    trained = replace(planned, loss=curve[-1]["loss"] if curve else None)
    if trainer.args.should_save:
        draw_curve(curve, options.output_dir / "loss.png")
        record.write(options.output_dir, {**facts, "result": outcome_of(trained)})
    return trained


def _work(trainer: StreamTrainer, begun: Path | None, options: TrainingOptions) -> None:
    try:
        trainer.train(resume_from_checkpoint=None if begun is None else str(begun))
    except OSError as error:
        raise InputError(
            f"cannot read or write in {options.output_dir}: {error.strerror or error}; free some space, "
            "and go on by --resume"
        ) from None
    except (SafetensorError, UnpicklingError, ValueError) as error:
        if begun is None or isinstance(error, InputError):
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
                made = train_tokenizer(texts, vocabulary, _TOKENIZER_BYTES)
                made.save_pretrained(unfinished)
                unfinished.replace(path)
    except InputError:
        raise
    except Exception as error:  # the tokenizers library has none of its own for a full disk
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"cannot write a tokenizer in {options.packed_dir}: {reason}") from None
    return path
