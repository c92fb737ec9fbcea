"""The directory of a training run: its record (training.json), its checkpoints, its finished model.

A checkpoint counts only once it is complete: `COMPLETE`, written last, lists its files with their sizes.
"""

import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from chameleon.common.command_line import Notify
from chameleon.common.errors import InputError
from chameleon.common.files import write_atomically

RECORD = "training.json"
COMPLETE = "complete.json"


@dataclass(frozen=True)
class RunRecord:
    """What identifies a run: settings by names that a user knows, optimizer steps, precision of products."""

    identity: Mapping[str, Any]
    steps: int
    dtype: str

    def write(self, directory: Path, facts: Mapping[str, Any]) -> None:
        """Write the record, with further facts.

        Raises:
            InputError: The directory cannot be written.
        """
        content = json.dumps({**asdict(self), **facts}, indent=2, ensure_ascii=False) + "\n"
        write_atomically(directory / RECORD, content.encode())

    def resume_from(self, directory: Path, notify: Notify) -> Path | None:
        """The checkpoint to resume from, or None if there is none yet; removes incomplete ones.

        Raises:
            InputError: The directory holds no run, or another one (the message says what differs).
        """
        record = read_record(directory)
        if record is None:
            raise InputError(f"nothing to resume in {directory}; omit --resume to start a run")
        theirs = record.get("identity")
        if not isinstance(theirs, dict):
            raise InputError(f'{directory / RECORD} is damaged (no object "identity"); fix or delete it')
        for name, mine in self.identity.items():
            # Compared as JSON, since the record is JSON; the order of domains counts.
            if json.dumps(theirs.get(name)) != json.dumps(mine):
                raise InputError(
                    f"the run in {directory} has another {name}{_difference(theirs.get(name), mine)}; resume "
                    "with the flags it was started with, or name another --output_dir"
                )
        checkpoint = last_checkpoint(directory)
        for path in directory.glob("checkpoint-*"):
            if path.is_dir() and not is_complete(path):
                notify(f"{path} is incomplete or damaged and is removed")
                shutil.rmtree(path, ignore_errors=True)
        if checkpoint is None:
            notify(f"{directory} has no complete checkpoint: starting from the beginning")
            return None
        if step_of(checkpoint) > self.steps:
            raise InputError(
                f"the run in {directory} is at step {step_of(checkpoint)}, beyond the {self.steps} "
                "requested; raise --max_steps, or name another --output_dir"
            )
        if record.get("dtype") != self.dtype:
            notify(f"the run was started in {record.get('dtype')} and continues in {self.dtype}")
        if record.get("steps") != self.steps:
            notify(
                f"the run was started for {record.get('steps')} steps and continues to {self.steps}: its "
                "learning rate differs from that of a run started for as many"
            )
        notify(f"resuming from {checkpoint}")
        return checkpoint


def read_record(directory: Path) -> dict[str, Any] | None:
    """The record in a directory, or None if there is none.

    Raises:
        InputError: It is damaged.
    """
    path = directory / RECORD
    try:
        content = json.loads(path.read_bytes())
        if not isinstance(content, dict):
            raise ValueError("expected a JSON object")
        share = content.get("heldout_share", 0.0)
        if not isinstance(share, int | float) or not 0 <= share <= 1:
            raise ValueError(f"heldout_share is {share!r:.40}")
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise InputError(f"{path} is damaged ({error}); fix or delete it") from None
    return content


def require_free_directory(directory: Path, resume: bool) -> None:
    """Raise InputError if a run would overwrite another model."""
    if not resume and ((directory / "config.json").exists() or last_checkpoint(directory) is not None):
        raise InputError(
            f"{directory} already holds a model or a run; continue it with --resume, or name another "
            "--output_dir"
        )


def mark_complete(checkpoint: Path) -> None:
    """Write the list of a checkpoint's files, which makes it count."""
    sizes = {path.name: path.stat().st_size for path in checkpoint.iterdir() if path.is_file()}
    write_atomically(checkpoint / COMPLETE, json.dumps(sizes, indent=2).encode())


def is_complete(checkpoint: Path) -> bool:
    """Whether a checkpoint has all its files, with the sizes they were written with."""
    try:
        sizes = json.loads((checkpoint / COMPLETE).read_bytes())
        return all((checkpoint / name).stat().st_size == size for name, size in sizes.items())
    except (OSError, ValueError, AttributeError):
        return False


def last_checkpoint(directory: Path) -> Path | None:
    """The last complete checkpoint of a run, if any."""
    return max(filter(is_complete, directory.glob("checkpoint-*")), key=step_of, default=None)


def step_of(checkpoint: Path) -> int:
    """The step of a checkpoint, from its name."""
    number = checkpoint.name.rpartition("-")[2]
    return int(number) if number.isdecimal() else -1


def move_into_place(unfinished: Path, directory: Path) -> None:
    """Move the files of a saved model to the top of its directory, the configuration last.

    Raises:
        InputError: They cannot be moved.
    """
    try:
        # It holds pickled Python objects, which are unsafe to load.
        (unfinished / "training_args.bin").unlink(missing_ok=True)
        for path in sorted(unfinished.iterdir(), key=lambda path: path.name == "config.json"):
            path.replace(directory / path.name)
        unfinished.rmdir()
    except OSError as error:
        raise InputError(f"cannot write the model in {directory}: {error.strerror}") from None


def _difference(theirs: Any, mine: Any) -> str:  # noqa: ANN401
    """What differs between two values, if it is short enough to read."""
    if isinstance(theirs, dict) and isinstance(mine, dict):
        if list(theirs) != list(mine):
            return f" (its domains are {', '.join(theirs)}, these {', '.join(mine)})"
        return f" (its text of {next(name for name in mine if theirs[name] != mine[name])} differs)"
    difference = f" ({theirs}, not {mine})"
    return difference if len(difference) < 60 else ""
