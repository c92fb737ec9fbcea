"""A small stand-in for the proxy, trained on the spot on the corpus that it will embed.

It is the method's first step in miniature: a GPT-2 of a few million parameters and a byte-level BPE, both
trained on equal shares of each domain. With it the whole method runs without a proxy; a real proxy sees more
in a text.
"""

import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch.utils.data import Dataset
from transformers import GPT2LMHeadModel, TrainingArguments

from chameleon.common.errors import InputError
from chameleon.common.files import digest_of_json
from chameleon.common.libraries import quiet_transformers
from chameleon.proxy.tokenizer import ProxyTokenizer, load_tokenizer
from chameleon.text.grid import WindowRecipe, lay_grid
from chameleon.text.protocols import Text
from chameleon.text.windows import windows_from
from chameleon.training.models import gpt2_config
from chameleon.training.tokenizer import train_tokenizer
from chameleon.training.trainer import ProgressBar, StreamTrainer


@dataclass(frozen=True)
class StandinSettings:
    """Size and training of the stand-in; the defaults take about a minute on two cores."""

    vocabulary: int = 2048
    tokenizer_bytes_per_domain: int = 1 << 18
    blocks: int = 4
    width: int = 128
    heads: int = 4
    context: int = 512
    steps: int = 300
    batch_size: int = 2
    learning_rate: float = 1e-3
    seed: int = 0


DEFAULT = StandinSettings()


def standin_checkpoint(
    texts: Sequence[Text], root: Path, device: torch.device, settings: StandinSettings = DEFAULT
) -> Path:
    """The stand-in for some domains, trained now unless `root` has it already.

    Args:
        texts: Texts of the domains, to train on in equal shares of tokens.
        root: Directory of checkpoints; the stand-in's own is written there whole or not at all.
        device: Device to train on.
        settings: Size and training.

    Returns:
        A checkpoint directory for `load_proxy` and `load_tokenizer`.

    Raises:
        InputError: `root` cannot be written.
    """
    identity = digest_of_json({"settings": asdict(settings), "domains": [text.fingerprint for text in texts]})
    path = root / f"standin-{identity[:12]}"
    if path.exists():
        return path
    try:
        root.mkdir(parents=True, exist_ok=True)
        unfinished = Path(tempfile.mkdtemp(dir=root, prefix=".standin-"))
    except OSError as error:
        raise InputError(f"cannot write a checkpoint in {root}: {error.strerror}") from None
    try:
        tokenizer = train_tokenizer(texts, settings.vocabulary, settings.tokenizer_bytes_per_domain)
        tokenizer.save_pretrained(unfinished)
        rows = _training_rows(texts, load_tokenizer(unfinished), settings)
        with quiet_transformers():
            _train_model(rows, device, settings, unfinished)
        unfinished.chmod(0o755)
        _move_into_place(unfinished, path)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return path


def _move_into_place(unfinished: Path, path: Path) -> None:
    try:
        unfinished.replace(path)
    except OSError as error:
        if not path.exists():  # otherwise another run has trained the same one meanwhile
            raise InputError(f"cannot write the checkpoint {path}: {error.strerror}") from None


def _training_rows(
    texts: Sequence[Text], tokenizer: ProxyTokenizer, settings: StandinSettings
) -> npt.NDArray[np.int64]:
    """(steps x batch size, context) windows: row i is from domain i mod k, in that domain's own order."""
    total = settings.steps * settings.batch_size
    recipe = WindowRecipe(seed=settings.seed, sample_length=settings.context)
    rows = np.empty((total, recipe.sample_length), dtype=np.int64)
    for i, text in enumerate(texts):
        grid = lay_grid(text, tokenizer, recipe)
        wanted = len(range(i, total, len(texts)))
        windows = windows_from(grid, tokenizer, recipe, 0, 0, wanted, wanted)
        tokens = np.concatenate([each.tokens for each in windows])
        rows[i :: len(texts)] = tokens[np.arange(wanted) % len(tokens)]
    return rows


class _FixedRows(Dataset[dict[str, torch.Tensor]]):
    def __init__(self, rows: npt.NDArray[np.int64]) -> None:
        self._rows = torch.from_numpy(rows)

    def __len__(self) -> int:
        return len(self._rows)

    def __getitems__(self, indices: list[int]) -> dict[str, torch.Tensor]:
        return {"input_ids": self._rows[indices]}


def _train_model(
    rows: npt.NDArray[np.int64], device: torch.device, settings: StandinSettings, directory: Path
) -> None:
    torch.manual_seed(settings.seed)
    shape = (settings.blocks, settings.width, settings.heads)
    model = GPT2LMHeadModel(gpt2_config(settings.vocabulary, settings.context, *shape, end_of_text=0))
    arguments = TrainingArguments(
        output_dir=str(directory),
        max_steps=settings.steps,
        per_device_train_batch_size=settings.batch_size,
        learning_rate=settings.learning_rate,
        lr_scheduler_type="cosine",
        warmup_steps=settings.steps // 10,
        weight_decay=0.01,
        seed=settings.seed,
        use_cpu=device.type == "cpu",
        bf16=device.type == "cuda",
        train_sampling_strategy="sequential",  # the order of the rows already mixes the domains
        remove_unused_columns=False,
        save_strategy="no",
        logging_strategy="steps",
        logging_steps=20,
        report_to=[],
        disable_tqdm=True,
        dataloader_pin_memory=device.type == "cuda",
    )
    bar = ProgressBar("training stand-in")
    StreamTrainer(model=model, args=arguments, train_dataset=_FixedRows(rows), callbacks=[bar]).train()
    model.save_pretrained(directory)
