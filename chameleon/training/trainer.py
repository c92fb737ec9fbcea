"""transformers' Trainer on a stream of rows, in the order of the stream.

A step takes the same rows with any number of processes and accumulation steps. Losses and weights are checked
to be finite before a checkpoint is saved.

Shapes: b rows of a batch, t tokens of a row.
"""

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset
from tqdm import tqdm
from transformers import Trainer, TrainerCallback
from transformers.trainer_callback import PrinterCallback

from chameleon.common.errors import InputError, NotFiniteError, one_line
from chameleon.training.packed_domain import TokenArray
from chameleon.training.row_stream import RowStream
from chameleon.training.run_directory import last_checkpoint, mark_complete


@dataclass(eq=False)
class StreamDataset(Dataset[dict[str, torch.Tensor]]):
    """The first rows of a stream, t = `length` tokens each, as the Trainer's dataset.

    `arrays` are the training tokens of each domain, which batches name for each row if `with_domains`.
    """

    stream: RowStream
    arrays: Sequence[TokenArray]
    length: int
    num_rows: int
    with_domains: bool = False

    def __len__(self) -> int:
        return self.num_rows

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        return {name: values[0] for name, values in self.__getitems__([index]).items()}

    def __getitems__(self, indices: Sequence[int]) -> dict[str, torch.Tensor]:
        """A batch, which the loader requests at once: (b, t) int64 input_ids, and (b,) int64 domains."""
        first = min(indices)
        domains, _, places = self.stream.rows(first, max(indices) + 1)
        batch = np.empty((len(indices), self.length), dtype=np.int64)
        for row, index in zip(batch, indices, strict=True):
            begin = int(places[index - first]) * self.length
            row[:] = self.arrays[int(domains[index - first])][begin : begin + self.length]
        tensors = {"input_ids": torch.from_numpy(batch)}
        if self.with_domains:
            tensors["domains"] = torch.from_numpy(domains[np.asarray(indices) - first])
        return tensors


def collate(batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """A batch with its labels, which are the input ids: the model shifts them."""
    return {**batch, "labels": batch["input_ids"]}


class StreamTrainer(Trainer):
    """A Trainer that keeps the order of the stream and saves only checkpoints of finite weights.

    `describe` describes the rows of a step, for the message about a loss that is not finite.
    """

    def __init__(self, describe: Callable[[int], str] = lambda step: "", **arguments: Any) -> None:  # noqa: ANN401
        whole_batch: Any = collate  # the dataset returns whole batches
        super().__init__(data_collator=whole_batch, **arguments)
        self.remove_callback(PrinterCallback)  # it prints to stdout
        self._describe = describe
        self._recent: list[tuple[int, torch.Tensor]] = []

    def training_step(self, *arguments: Any, **named: Any) -> torch.Tensor:  # noqa: ANN401
        """See `Trainer`; remembers the loss, which is checked when it is logged."""
        loss = self._loss(*arguments, **named)
        self._recent.append((self.state.global_step + 1, loss))
        return loss

    def _loss(self, *arguments: Any, **named: Any) -> torch.Tensor:  # noqa: ANN401
        """The loss of a forward pass; its gradient is left in the parameters."""
        loss: torch.Tensor = super().training_step(*arguments, **named)
        return loss

    def log(self, logs: dict[str, float], *arguments: Any, **named: Any) -> None:  # noqa: ANN401
        """See `Trainer`.

        Raises:
            InputError: A loss since the last log was not finite.
        """
        self._require_finite_losses()
        super().log(logs, *arguments, **named)

    def _save_checkpoint(self, model: Any, trial: Any) -> None:  # noqa: ANN401
        self._require_finite_losses()
        self._require_finite_weights(model)
        directory = Path(str(self.args.output_dir)) / f"checkpoint-{self.state.global_step}"
        try:
            super()._save_checkpoint(model, trial)
            self.accelerator.wait_for_everyone()  # each process writes files of its own
            if self.args.should_save:
                mark_complete(directory)
        except Exception as error:  # each library that writes has its own
            if self.args.should_save:
                shutil.rmtree(directory, ignore_errors=True)
            raise _not_saved(directory, error) from None

    def save(self, directory: Path) -> None:
        """Write the model and its tokenizer.

        Raises:
            InputError: The directory cannot be written.
        """
        if self.is_fsdp_enabled:  # otherwise a sharded model would not be written
            self.accelerator.state.fsdp_plugin.set_state_dict_type("FULL_STATE_DICT")
        try:
            self.save_model(str(directory))
        except Exception as error:  # each library that writes has its own
            raise _not_saved(directory, error) from None

    def _require_finite_losses(self) -> None:
        if not self._recent:
            return
        steps = [step for step, _ in self._recent]
        losses = torch.stack([loss.float().reshape(()) for _, loss in self._recent])
        # Summed over processes, so that all of them stop.
        finite = torch.isfinite(self.accelerator.reduce(losses, "sum")).tolist()
        self._recent = []
        if not all(finite):
            raise self._not_finite("loss of", steps[finite.index(False)])

    def _require_finite_weights(self, model: torch.nn.Module) -> None:
        # A process holds one part of a sharded model.
        parts = (getattr(each, "to_local", lambda each=each: each)() for each in model.parameters())
        bad = sum(int(not torch.isfinite(part).all()) for part in parts)
        if int(self.accelerator.reduce(torch.tensor(bad, device=self.args.device), "sum")):
            raise self._not_finite("weights after", self.state.global_step)

    def _not_finite(self, what: str, step: int) -> InputError:
        checkpoint = last_checkpoint(Path(str(self.args.output_dir)))
        last = f"the last good checkpoint is {checkpoint}: start in another --output_dir with"
        advice = last if checkpoint else "there is no checkpoint yet: start again with"
        return NotFiniteError(
            f"the {what} step {step} is not finite ({self._describe(step)}); {advice} a lower "
            "--learning_rate or more --warmup_steps"
        )


def _not_saved(directory: Path, error: Exception) -> InputError:
    reason = getattr(error, "strerror", None) or one_line(error)
    before = last_checkpoint(directory.parent)
    state = f"the last checkpoint is {before.name}" if before else "there is no earlier checkpoint"
    return InputError(
        f"cannot save {directory}: {reason}; {state}: free some space or name another --output_dir, then "
        "use --resume"
    )


class ProgressBar(TrainerCallback):
    """Progress on stderr; the Trainer's own callbacks print to stdout."""

    def __init__(self, description: str) -> None:
        self._description = description

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ANN401, D102
        self._bar = tqdm(
            total=state.max_steps,
            initial=state.global_step,
            desc=self._description,
            unit="step",
            delay=1,
            disable=None if state.is_world_process_zero else True,
        )

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ANN401, D102
        self._bar.update()

    def on_log(self, args: Any, state: Any, control: Any, **facts: Any) -> None:  # noqa: ANN401, D102
        if "loss" in facts["logs"]:
            self._bar.set_postfix(loss=f"{float(facts['logs']['loss']):.3f}", refresh=False)

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ANN401, D102
        self._bar.close()
