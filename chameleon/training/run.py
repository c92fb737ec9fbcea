"""The whole of a training run: corpus, packed tokens, mixture, model, checkpoints, record."""

import os
from collections.abc import Callable
from contextlib import closing
from json import JSONDecodeError
from pathlib import Path
from pickle import UnpicklingError

from filelock import FileLock
from safetensors import SafetensorError
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from chameleon.bpe import train_tokenizer
from chameleon.checkpoints import find_checkpoint
from chameleon.corpora import Corpus, open_corpus
from chameleon.devices import is_out_of_memory
from chameleon.errors import InputError
from chameleon.files import check_writable, digest_of_json
from chameleon.proxy_tokenizer import load_tokenizer
from chameleon.quiet import quiet_hub, quiet_transformers
from chameleon.reading import corpus_request
from chameleon.training.arguments import check_options, number_of_processes
from chameleon.training.models import (
    ModelSource,
    build_model,
    check_length,
    check_vocabulary,
    context_length,
    find_model,
    number_of_parameters,
)
from chameleon.training.options import DEFAULT_VOCAB_SIZE, TrainingOptions
from chameleon.training.outcome import Trained, outcome_of
from chameleon.training.packing import pack
from chameleon.training.pictures import draw_curve
from chameleon.training.plan import Plan, plan_run, schedule_of
from chameleon.training.record import check_directory, put_in_place
from chameleon.training.trainer import CURVE, Bar, Curve, StreamTrainer, read_curve, step_of

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
    check_length(options.sample_length, {source.name: context_length(source, options.trust_remote_code)})
    named = _tokenizer_path(options, source)
    tokenizer = None if named is None else load_tokenizer(named, options.trust_remote_code)
    request = corpus_request(options, options.dataset, tokenizer, options.packed_dir)
    with quiet_hub(), closing(open_corpus(request)) as corpus:
        for notice in corpus.notices:
            notify(notice)
        schedule_of(options, {domain.name: 1 for domain in corpus.domains})  # told before the text is packed
        if named is None or tokenizer is None:
            named = _trained_tokenizer(options, corpus)
            tokenizer = load_tokenizer(named)
        check_vocabulary(source, tokenizer.vocabulary, options.trust_remote_code)
        packed = pack(corpus.domains, tokenizer, options.packed_dir, options.heldout_share)
    plan = plan_run(options, source, (named, tokenizer), packed, processes)
    for notice in plan.notices():
        notify(notice)
    return _train_by(plan, notify)


def _train_by(plan: Plan, notify: Notify) -> Trained:
    options, directory = plan.options, plan.options.output_dir
    begun = plan.record.resumed(directory, notify) if options.resume else None
    with quiet_transformers():
        model = build_model(
            plan.source, plan.tokenizer.vocabulary, plan.tokenizer.end_of_text, options.sample_length,
            options.seed, options.trust_remote_code,
        )  # fmt: skip
        parameters = number_of_parameters(model)
        trainer = StreamTrainer(
            describe=plan.rows_of_step,
            model=model,
            args=plan.arguments,
            train_dataset=plan.rows(),
            processing_class=AutoTokenizer.from_pretrained(
                plan.tokenizer_path, trust_remote_code=options.trust_remote_code
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
                _save(train_tokenizer(texts, vocabulary, _TOKENIZER_BYTES), path)
    except OSError as error:
        raise InputError(f"cannot write a tokenizer in {options.packed_dir}: {error.strerror}") from None
    return path


def _save(tokenizer: PreTrainedTokenizerFast, path: Path) -> None:
    """Write a tokenizer, whole or not at all."""
    unfinished = path.with_name(f".{path.name}.unfinished")
    try:
        tokenizer.save_pretrained(unfinished)
    except OSError:
        raise
    except Exception as error:  # the library has none of its own for a full disk
        raise InputError(f"cannot write a tokenizer in {path.parent}: {error}") from None
    unfinished.replace(path)
