"""The runs that a law is fitted to: a user's own, or small models trained here.

The first run, on uniform weights, is the proxy that embeds the domains. Its affinities give the second
mixture, CHAMELEON's pretrain weights; the overlap of the domains' tokens chooses the others.

Shapes: n runs, m losses, k domains, b replicates.
"""

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from chameleon.common.arrays import Array
from chameleon.common.command_line import Notify
from chameleon.common.errors import InputError
from chameleon.common.tables import listed
from chameleon.methods.cost import Cost
from chameleon.methods.inputs import check_and_pack
from chameleon.methods.law.affinities import Affinities, affinities_of
from chameleon.methods.law.design import add_runs, rounded
from chameleon.methods.law.fit import LawData, is_determined
from chameleon.methods.law.overlap import overlaps
from chameleon.methods.law.request import bounds_of, importance_of
from chameleon.methods.options import MethodOptions
from chameleon.methods.outcome import training_settings
from chameleon.methods.runs import Runs, write_runs
from chameleon.methods.small_models import runs_of_tables, stored_mixtures, train_runs
from chameleon.methods.token_counts import TokenCounts, natural_shares, packed_counts
from chameleon.training.evaluation.evaluate import evaluate
from chameleon.training.evaluation.options import EvaluationOptions
from chameleon.training.inputs import TrainingInputs
from chameleon.training.plan import plan_run
from chameleon.training.run_directory import RECORD, read_record
from chameleon.training.trainer_settings import count_steps

_REPLICATES = 200

# With so many held-out documents, what is chance in these adds as much to a loss's variance as all else.
FEW_DOCUMENTS = 10

# The run on equal shares, which gains are over.
UNIFORM = "uniform"

# Runs by default, before the one on the law's own answer.
DEFAULT_RUNS = 4

Documents = Mapping[str, Mapping[str, tuple[npt.NDArray[Any], npt.NDArray[Any]]]]


@dataclass(frozen=True, eq=False)
class MeasuredLength:
    """Runs of one length.

    Attributes:
        tokens: Tokens of each run; None if unknown.
        runs: Mixtures and losses on the domains, or on the target.
        documents: Held-out documents, as in `TrainedRuns`.
    """

    tokens: int | None
    runs: Runs
    documents: Documents = field(default_factory=dict)

    @property
    def document_counts(self) -> dict[str, int]:
        """Number of held-out documents of each loss; empty if they are unknown."""
        of_runs = [self.documents.get(run) for run in self.runs.ids]
        known = [each for each in of_runs if each is not None]
        if len(known) < len(of_runs):
            return {}
        return {name: min(len(each[name][1]) for each in known) for name in self.runs.loss_names}

    @property
    def variances(self) -> Array | None:
        """(m,) variances of losses, relative to one on many documents; None if the documents are unknown."""
        counts = self.document_counts
        return 1 + FEW_DOCUMENTS / np.array(list(counts.values())) if counts else None

    def replicates(self, seed: int) -> Array | None:
        """(b, n, m) losses on resampled documents, the same ones for all runs; None if they are unknown."""
        random, columns = np.random.default_rng(seed), []
        for name in self.runs.loss_names:
            of_runs = [self.documents.get(run, {}).get(name) for run in self.runs.ids]
            known = [each for each in of_runs if each is not None]
            if len(known) < len(of_runs) or len({len(counts) for _, counts in known}) != 1:
                return None
            counts = known[0][1]
            drawn = random.multinomial(len(counts), np.full(len(counts), 1 / len(counts)), size=_REPLICATES)
            sums = np.stack([losses for losses, _ in known], axis=1)
            columns.append(drawn @ sums / (drawn @ counts)[:, None])
        return np.stack(columns, axis=2)


@dataclass(frozen=True, eq=False)
class LawRuns:
    """Runs, and what the law needs beside them.

    Attributes:
        lengths: By rising number of tokens; the last is the one that weights are for.
        affinities: Of the domains; None if unknown.
        tokens: Tokens of the k domains.
        natural: (k,) natural shares.
        settings: To be recorded with the weights.
        cost: Of the runs trained here.
        trainer: Trains more runs; None for runs of a user.
        mixtures: (k,) mixtures of its runs by name.
    """

    lengths: tuple[MeasuredLength, ...]
    affinities: Affinities | None
    tokens: TokenCounts
    natural: Array
    settings: Mapping[str, Any]
    cost: Cost = field(default_factory=Cost)
    trainer: "Trainer | None" = None
    mixtures: Mapping[str, Array] = field(default_factory=dict)

    @property
    def names(self) -> tuple[str, ...]:
        """(k,) domains."""
        return self.lengths[-1].runs.names

    def data(self, length: MeasuredLength) -> LawData:
        """What a law of one length is fitted to."""
        runs = length.runs
        is_own, affinities = _is_own(runs), None
        if self.affinities is not None and self.affinities.target is not None:
            is_own = np.zeros_like(is_own)
            affinities = np.tile(self.affinities.target, (len(runs.loss_names), 1))
        elif self.affinities is not None:
            affinities = self.affinities.domains[[runs.names.index(loss) for loss in runs.loss_names]]
        return LawData(runs.mixtures, runs.losses, is_own, affinities, length.variances)


@dataclass(frozen=True, eq=False)
class Trainer:
    """Trains runs on the packed corpus, at each of the lengths asked for.

    Attributes:
        options: The output directory is that of the law.
        inputs: Model, tokenizer and packed corpus.
        notify: Receives what the user should know.
    """

    options: MethodOptions
    inputs: TrainingInputs
    notify: Notify

    def train(self, mixtures: Mapping[str, Array]) -> tuple[tuple[MeasuredLength, ...], Cost]:
        """Runs on (k,) mixtures by name, those done before included, and the cost of all."""
        lengths, cost = [], Cost()
        steps = count_steps(self.options.training)
        shares = sorted(set(self.options.lengths) | {1.0})
        for share in shares:
            options, number = self.options, max(1, round(share * steps))
            if share < 1:
                training = options.training
                directory = training.output_dir / f"steps-{number}"
                training = replace(training, output_dir=directory, max_steps=number, max_tokens=None)
                options = replace(options, training=training)
            trained = train_runs(mixtures, options, self.inputs, self.notify, keeps_files=True)
            cost += trained.cost
            tokens = number * options.training.batch_size * options.training.sample_length
            length = MeasuredLength(tokens, trained.runs, trained.documents)
            if options.target is not None:
                length = _on_target(length, options)
            lengths.append(length)
        longest, directory = lengths[-1], self.options.training.output_dir
        write_runs(longest.runs, directory / "mixtures.csv", directory / "losses.csv")
        return tuple(lengths), cost


def law_runs(options: MethodOptions, notify: Notify) -> LawRuns:
    """The runs of --runs and --losses, or of small models trained here.

    Raises:
        InputError: A table, the target or the corpus cannot be used, or a run cannot be trained.
    """
    measured = runs_of_tables(options, notify)
    if measured is None:
        return _trained(options, notify)
    runs, affinities = _with_losses_on_domains(measured.runs, notify), None
    _require_different(runs)
    if options.proxy is not None:
        directory = options.training.output_dir / "law" / "embeddings"
        affinities = affinities_of(runs.names, options.proxy, directory, options)
    else:
        notify(
            "no affinities: each domain is taken to learn from its own text alone. Give --proxy and "
            "--dataset to embed the domains"
        )
    return LawRuns(
        (MeasuredLength(None, runs),), affinities, measured.tokens, measured.natural, measured.settings
    )


def _trained(options: MethodOptions, notify: Notify) -> LawRuns:
    options, inputs = check_and_pack(("law",), options, notify)
    tokens = packed_counts(options, inputs)
    names = tuple(domain.name for domain in inputs.packed)
    natural = natural_shares(tokens, names)
    assert natural is not None
    directory = options.training.output_dir / "law"
    options = replace(options, training=replace(options.training, output_dir=directory))
    if options.proxy is None:
        _adopt_reference(directory, options, inputs, notify)
    trainer = Trainer(options, inputs, notify)
    importance_of((str(options.target),) if options.target else names, options)  # fail before training
    bounds_of(names, options, tokens, natural)
    mixtures = {UNIFORM: np.full(len(names), 1 / len(names))}
    trainer.train(mixtures)
    proxy = options.proxy or str(directory / UNIFORM)
    affinities = affinities_of(names, proxy, directory / "embeddings", options)
    if options.target is None:
        training, heldout = zip(
            *((each.array(), each.heldout().tokens) for each in inputs.packed), strict=True
        )
        shares = overlaps(training, heldout, inputs.tokenizer.vocabulary)
        affinities = replace(affinities, domains=shares)
    pretrain = rounded(affinities.pretrain)
    if np.ptp(pretrain) > 0:  # of two domains they are equal
        mixtures["pretrain"] = pretrain
    if options.target is None:  # their models are deleted, so that their loss on a target is unknown
        mixtures |= stored_mixtures(directory.parent / "regmix", options, inputs)
    number = options.num_runs or DEFAULT_RUNS
    mixtures = add_runs(mixtures, affinities.domains, number, options.training.seed)
    lengths, cost = trainer.train(mixtures)
    for length in lengths:
        _require_different(length.runs)
    settings = {**training_settings(options.training), "runs": list(mixtures)}
    return LawRuns(lengths, affinities, tokens, natural, settings, cost, trainer, mixtures)


def _adopt_reference(directory: Path, options: MethodOptions, inputs: TrainingInputs, notify: Notify) -> None:
    """Take DoReMi's reference model as the run on uniform weights, if it is that and there is none yet."""
    reference, uniform = directory.parent / "doremi" / "reference", directory / UNIFORM
    if (uniform / RECORD).exists() or not (reference / "config.json").exists():
        return
    plan = plan_run(replace(options.training, weights="uniform"), inputs, 1)
    record = read_record(reference) or {}
    if json.dumps(record.get("identity")) == json.dumps(dict(plan.record.identity)):
        notify(f"the model in {reference} is used as the run on uniform weights")
        shutil.copytree(reference, uniform)


def _on_target(length: MeasuredLength, options: MethodOptions) -> MeasuredLength:
    """The same runs with their losses on the target's text instead of the domains."""
    training, runs = options.training, length.runs
    evaluation = evaluate(
        EvaluationOptions(
            checkpoints=tuple(str(training.output_dir / run) for run in runs.ids),
            dataset=str(options.target),
            heldout_share=1.0,
            packed_dir=training.packed_dir,
            max_tokens=options.max_heldout_tokens,
            sample_length=training.sample_length,
            device=training.device,
            dtype=training.dtype,
            text_column=training.text_column,
            skip_bad_lines=training.skip_bad_lines,
            trust_remote_code=training.trust_remote_code,
        )
    )
    names = tuple(evaluation.checkpoints[0].domains)
    losses = np.array([[each.domains[name].loss for name in names] for each in evaluation.checkpoints])
    documents = {
        run: {name: (each.domains[name].losses, each.domains[name].tokens) for name in names}
        for run, each in zip(runs.ids, evaluation.checkpoints, strict=True)
    }
    return replace(length, runs=replace(runs, loss_names=names, losses=losses), documents=documents)


def _with_losses_on_domains(runs: Runs, notify: Notify) -> Runs:
    """The runs with their losses on domains that they were trained on."""
    known = [name for name in runs.loss_names if name in runs.names]
    if not known:
        raise InputError(
            f"--losses has losses on {listed(runs.loss_names, 10)}, but the domains of --runs are "
            f"{listed(runs.names, 10)}; give losses on these"
        )
    if others := [name for name in runs.loss_names if name not in runs.names]:
        notify(f"losses on {listed(others, 10)} are left out: the runs have no domain of that name")
    if unmeasured := [name for name in runs.names if name not in runs.loss_names]:
        notify(f"no loss is measured on {listed(unmeasured, 10)}: their text counts only for other domains")
    columns = [runs.loss_names.index(name) for name in known]
    return replace(runs, loss_names=tuple(known), losses=runs.losses[:, columns])


def _require_different(runs: Runs) -> None:
    """Raise InputError where there are too few runs for a law."""
    if len(runs) < 2:
        raise InputError(
            f"a law needs the losses of at least 2 runs on different mixtures, got {len(runs)}; add runs"
        )
    if not is_determined(runs.mixtures, _is_own(runs)):
        raise InputError(
            f"all {len(runs)} runs have the same mixture of the domains with a loss, which says nothing of "
            "others; add runs on others, such as uniform and natural shares"
        )


def _is_own(runs: Runs) -> npt.NDArray[np.bool_]:
    """(m, k) whether a loss is on the domain's own text."""
    return np.array([[loss == name for name in runs.names] for loss in runs.loss_names])
