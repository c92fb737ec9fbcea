"""What a run's directory says of it, and whether it may be written to or gone on with."""

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chameleon.common.command_line import Notify
from chameleon.common.errors import InputError
from chameleon.common.files import write_atomically
from chameleon.training.trainer import is_complete, last_checkpoint, step_of

RECORD = "training.json"


@dataclass(frozen=True)
class RunRecord:
    """What a run is.

    Attributes:
        identity: What makes its stream and its steps, by names that a user knows.
        steps: How many it is to have.
        dtype: What products are computed in.
    """

    identity: Mapping[str, Any]
    steps: int
    dtype: str

    def write(self, directory: Path, facts: Mapping[str, Any]) -> None:
        """Write it.

        Raises:
            InputError: The directory cannot be written.
        """
        content = {"identity": self.identity, "steps": self.steps, "dtype": self.dtype, **facts}
        text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
        write_atomically(directory / RECORD, text.encode())

    def resumed(self, directory: Path, notify: Notify) -> Path | None:
        """The checkpoint from which to go on, or None where there is none yet.

        Raises:
            InputError: What lies there is of another run (says in what), or of none.
        """
        before = read_record(directory)
        if before is None:
            raise InputError(f"there is nothing to resume in {directory}; leave --resume out to begin")
        theirs = before.get("identity")
        if not isinstance(theirs, dict):
            raise InputError(f"{directory / RECORD} is damaged (it names no run); mend it or delete it")
        for name, mine in self.identity.items():
            # Through JSON, as the record was; the order of domains counts.
            if json.dumps(theirs.get(name)) != json.dumps(mine):
                raise InputError(
                    f"the run in {directory} has another {name}{_difference(theirs.get(name), mine)}; resume "
                    "with what it was begun with, or name another --output_dir"
                )
        found = last_checkpoint(directory)
        for path in directory.glob("checkpoint-*"):
            if path.is_dir() and not is_complete(path):
                notify(f"{path} is not complete or damaged, and is removed")
                shutil.rmtree(path, ignore_errors=True)
        if found is None:
            notify(f"{directory} has no complete checkpoint: beginning again")
            return None
        if step_of(found) > self.steps:
            raise InputError(
                f"the run in {directory} is at step {step_of(found)}, beyond the {self.steps} asked for; "
                "give more --max_steps, or another --output_dir"
            )
        if before.get("dtype") != self.dtype:
            notify(f"the run was begun in {before.get('dtype')} and goes on in {self.dtype}")
        if before.get("steps") != self.steps:
            notify(
                f"the run was begun for {before.get('steps')} steps and goes on to {self.steps}: its "
                "learning rate is not that of a run begun for as many"
            )
        notify(f"going on from {found}")
        return found


def read_record(directory: Path) -> dict[str, Any] | None:
    """The record in a directory, or None where there is none.

    Raises:
        InputError: It is damaged.
    """
    path = directory / RECORD
    try:
        content = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise InputError(f"{path} is damaged ({error}); mend it or delete it") from None
    if not isinstance(content, dict):
        raise InputError(f"{path} is damaged (it is no object); mend it or delete it")
    share = content.get("heldout_share", 0.0)
    if not isinstance(share, int | float) or not 0 <= share <= 1:
        raise InputError(f"{path} is damaged (heldout_share is {share!r:.40}); mend it or delete it")
    return content


def check_directory(directory: Path, resume: bool) -> None:
    """Raise InputError where a run would write over another model."""
    if resume or not directory.exists():
        return
    if (directory / "config.json").exists() or last_checkpoint(directory) is not None:
        raise InputError(
            f"{directory} already holds a model or a run; go on with it by --resume, or name another "
            "--output_dir"
        )


def put_in_place(unfinished: Path, directory: Path) -> None:
    """Move a saved model's files to the top of its directory, the configuration last.

    Raises:
        InputError: They cannot be moved.
    """
    try:
        # It holds Python objects, which nobody should load.
        (unfinished / "training_args.bin").unlink(missing_ok=True)
        paths = sorted(unfinished.iterdir(), key=lambda path: path.name == "config.json")
        for path in paths:
            path.replace(directory / path.name)
        unfinished.rmdir()
    except OSError as error:
        raise InputError(f"cannot write the model in {directory}: {error.strerror}") from None


def _difference(theirs: Any, mine: Any) -> str:  # noqa: ANN401
    """Two values, where they are short enough to be read."""
    if isinstance(theirs, dict) and isinstance(mine, dict):
        if list(theirs) != list(mine):
            return f" (its domains are {', '.join(theirs)}, these {', '.join(mine)})"
        return f" (its text of {next(name for name in mine if theirs[name] != mine[name])} differs)"
    shown = f" ({theirs}, not {mine})"
    return shown if len(shown) < 60 else ""
