"""The run of one model over a stream of rows, on transformers' Trainer.

The order is the stream's: nothing is shuffled here. A step takes the same rows in whatever number of
processes and micro-batches. A checkpoint counts once its last file, `COMPLETE`, is there.

Shapes: b rows of a batch, t tokens of a row.
"""

import csv
import io
import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset
from tqdm import tqdm
from transformers import Trainer, TrainerCallback
from transformers.trainer_callback import PrinterCallback

from chameleon.common.errors import InputError, NotFiniteError
from chameleon.common.files import write_atomically
from chameleon.training.mixture import RowStream
from chameleon.training.packed_domain import Array

COMPLETE = "complete.json"


CURVE = "loss.csv"


CURVE_COLUMNS = ("step", "tokens", "loss", "learning_rate", "grad_norm", "seconds")


class MixtureRows(Dataset[dict[str, torch.Tensor]]):
    """The first rows of a mixture's stream, as the Trainer takes them; with their domains if wanted."""

    def __init__(
        self, mixture: RowStream, arrays: Sequence[Array], length: int, rows: int, with_domains: bool = False
    ) -> None:
        self._mixture = mixture
        self._arrays = arrays
        self._length = length
        self._rows = rows
        self._with_domains = with_domains

    def __len__(self) -> int:
        return self._rows

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        return {name: values[0] for name, values in self.__getitems__([index]).items()}

    def __getitems__(self, indices: Sequence[int]) -> dict[str, torch.Tensor]:
        """(b, t) rows of the stream, which the loader asks for a batch at a time, and (b,) their domains."""
        first, last = min(indices), max(indices) + 1
        found = self._mixture.rows(first, last)
        rows = np.empty((len(indices), self._length), dtype=np.int64)
        for row, index in zip(rows, indices, strict=True):
            begin = int(found.places[index - first]) * self._length
            row[:] = self._arrays[int(found.domains[index - first])][begin : begin + self._length]
        batch = {"input_ids": torch.from_numpy(rows)}
        if self._with_domains:
            batch["domains"] = torch.from_numpy(found.domains[np.asarray(indices) - first])
        return batch


def collate(batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """A batch with its labels, which are the input ids: the model shifts them."""
    return {**batch, "labels": batch["input_ids"]}


class StreamTrainer(Trainer):
    """Trains in the order of the stream, keeps only checkpoints of finite weights, and says what failed.

    Args:
        describe: What the rows of a step were, in words.
        arguments: The Trainer's own.
    """

    def __init__(self, describe: Callable[[int], str] = lambda step: "", **arguments: Any) -> None:  # noqa: ANN401
        whole_batch: Any = collate  # the rows come as one already
        super().__init__(data_collator=whole_batch, **arguments)
        self.remove_callback(PrinterCallback)  # it prints to stdout
        self._describe = describe
        self._recent: list[tuple[int, torch.Tensor]] = []

    def training_step(self, *arguments: Any, **named: Any) -> torch.Tensor:  # noqa: ANN401
        """See `Trainer`; remembers the loss, which is looked at when it is logged."""
        loss = self._loss(*arguments, **named)
        self._recent.append((self.state.global_step + 1, loss))
        return loss

    def _loss(self, *arguments: Any, **named: Any) -> torch.Tensor:  # noqa: ANN401
        """The loss of a forward pass, its gradient left in the parameters."""
        loss: torch.Tensor = super().training_step(*arguments, **named)
        return loss

    def log(self, logs: dict[str, float], *arguments: Any, **named: Any) -> None:  # noqa: ANN401
        """See `Trainer`.

        Raises:
            InputError: A loss since the last time was not finite.
        """
        self._require_finite_losses()
        super().log(logs, *arguments, **named)

    def _save_checkpoint(self, model: Any, trial: Any) -> None:  # noqa: ANN401
        self._require_finite_losses()
        self._require_finite_weights(model)
        directory = Path(str(self.args.output_dir)) / f"checkpoint-{self.state.global_step}"
        try:
            super()._save_checkpoint(model, trial)
            self.accelerator.wait_for_everyone()  # each process writes something of its own
            if self.args.should_save:
                sizes = {path.name: path.stat().st_size for path in directory.iterdir() if path.is_file()}
                write_atomically(directory / COMPLETE, json.dumps(sizes, indent=2).encode())
        except Exception as error:  # of the libraries that write, each its own
            if self.args.should_save:
                shutil.rmtree(directory, ignore_errors=True)
            raise _unsaved(directory, error) from None

    def save(self, directory: Path) -> None:
        """Write the model and its tokenizer.

        Raises:
            InputError: The directory cannot be written.
        """
        if self.is_fsdp_enabled:  # else nothing is written of a model that is sharded
            self.accelerator.state.fsdp_plugin.set_state_dict_type("FULL_STATE_DICT")
        try:
            self.save_model(str(directory))
        except Exception as error:  # of the libraries that write, each its own
            raise _unsaved(directory, error) from None

    def _require_finite_losses(self) -> None:
        if not self._recent:
            return
        steps = [step for step, _ in self._recent]
        losses = torch.stack([loss.float().reshape(()) for _, loss in self._recent])
        # The same in all processes, so that all end.
        losses = self.accelerator.reduce(losses, "sum")
        finite = torch.isfinite(losses).tolist()
        self._recent = []
        if not all(finite):
            raise self._not_finite("loss of", steps[finite.index(False)])

    def _require_finite_weights(self, model: torch.nn.Module) -> None:
        # Of a sharded model each process has a part.
        parts = (getattr(each, "to_local", lambda each=each: each)() for each in model.parameters())
        bad = sum(int(not torch.isfinite(part).all()) for part in parts)
        if int(self.accelerator.reduce(torch.tensor(bad, device=self.args.device), "sum")):
            raise self._not_finite("weights behind", self.state.global_step)

    def _not_finite(self, what: str, step: int) -> InputError:
        kept = last_checkpoint(Path(str(self.args.output_dir)))
        keeps = "there is no checkpoint yet: begin again with"
        if kept:
            keeps = f"the last good checkpoint is {kept}: begin in another --output_dir with"
        return NotFiniteError(
            f"the {what} step {step} is not finite ({self._describe(step)}); {keeps} a lower --learning_rate "
            "or more --warmup_steps"
        )


def _unsaved(directory: Path, error: Exception) -> InputError:
    reason = getattr(error, "strerror", None) or " ".join(str(error).split())[:200]
    kept = last_checkpoint(directory.parent)
    keeps = f"the last checkpoint, {kept.name}, is kept" if kept else "nothing was saved before"
    return InputError(
        f"cannot save {directory}: {reason}; {keeps}: free some space or name another --output_dir, and "
        "give --resume"
    )


def last_checkpoint(directory: Path) -> Path | None:
    """The last complete checkpoint of a run, if there is one."""
    found = [path.parent for path in directory.glob(f"checkpoint-*/{COMPLETE}") if is_complete(path.parent)]
    return max(found, key=step_of, default=None)


def is_complete(checkpoint: Path) -> bool:
    """Whether all files of a checkpoint are there, of the sizes that they were written with."""
    try:
        sizes = json.loads((checkpoint / COMPLETE).read_bytes())
        return all((checkpoint / name).stat().st_size == size for name, size in sizes.items())
    except (OSError, ValueError, AttributeError):
        return False


def step_of(checkpoint: Path) -> int:
    """The step of a checkpoint, by its name."""
    number = checkpoint.name.rpartition("-")[2]
    return int(number) if number.isdecimal() else -1


class Bar(TrainerCallback):
    """Progress on stderr, where the Trainer's own callbacks print to stdout."""

    def __init__(self, description: str) -> None:
        self._description = description

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ANN401, D102
        hidden = None if state.is_world_process_zero else True
        self._bar = tqdm(
            total=state.max_steps,
            initial=state.global_step,
            desc=self._description,
            unit="step",
            delay=1,
            disable=hidden,
        )

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ANN401, D102
        self._bar.update()

    def on_log(self, args: Any, state: Any, control: Any, **facts: Any) -> None:  # noqa: ANN401, D102
        if "loss" in facts["logs"]:
            self._bar.set_postfix(loss=f"{float(facts['logs']['loss']):.3f}", refresh=False)

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ANN401, D102
        self._bar.close()


class Curve(TrainerCallback):
    """The loss as it is logged, a line each, in `loss.csv`; lines behind a resumed step are dropped."""

    def __init__(self, directory: Path, tokens_a_step: int) -> None:
        self._path = directory / CURVE
        self._tokens_a_step = tokens_a_step

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ANN401, D102
        self._writes = state.is_world_process_zero
        kept = [row for row in read_curve(self._path) if row["step"] <= state.global_step]
        self._begin = perf_counter() - (kept[-1]["seconds"] if kept else 0.0)
        if self._writes:
            file = io.StringIO(newline="")
            writer = csv.DictWriter(file, CURVE_COLUMNS)
            writer.writeheader()
            writer.writerows({**row, "step": int(row["step"]), "tokens": int(row["tokens"])} for row in kept)
            write_atomically(self._path, file.getvalue().encode())

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ANN401, D102
        if state.global_step >= state.max_steps:
            control.should_log = True  # the end of the run, however short it is

    def on_log(self, args: Any, state: Any, control: Any, **facts: Any) -> None:  # noqa: ANN401, D102
        logs = facts["logs"]
        if "loss" not in logs or not self._writes:
            return
        row = {
            "step": state.global_step,
            "tokens": state.global_step * self._tokens_a_step,
            **{name: float(logs[name]) for name in ("loss", "learning_rate", "grad_norm") if name in logs},
            "seconds": round(perf_counter() - self._begin, 3),
        }
        with self._path.open("a", newline="") as file:
            csv.DictWriter(file, CURVE_COLUMNS, restval="nan").writerow(row)


def read_curve(path: Path) -> list[dict[str, float]]:
    """The lines of a `loss.csv`; none where it is missing or was broken off."""
    if not path.exists():
        return []
    rows = []
    with path.open(newline="", encoding="utf-8", errors="replace") as file:
        for row in csv.DictReader(file):
            try:
                values = {name: float(row[name]) for name in CURVE_COLUMNS}
                values |= {name: int(values[name]) for name in ("step", "tokens")}
            except (TypeError, ValueError, KeyError, OverflowError):
                break
            rows.append(values)
    return rows
