"""What a run is asked for."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from chameleon.weights import Kernel, Mode

DEFAULT_CHECKPOINT = "./checkpoints/BASE-82M/"
DEFAULT_DATASET = "DKYoon/SlimPajama-6B"
BUILTIN = "builtin"
DEFAULT_EMBEDDINGS_DIR = "./embeddings/"
DEFAULT_PACKED_DIR = "./packed/"
DEFAULT_TARGET_SE = 0.005
DEFAULT_SAMPLE_LENGTH = 512
DEFAULT_SEED = 0

Engine = Literal["serial", "processes", "ray"]


@dataclass(frozen=True, kw_only=True)
class ReadingOptions:
    """Which text is asked for and how it is read, by the names of the flags; None is left to the program."""

    domains: tuple[str, ...] | None = None
    text_column: str | None = None
    domain_column: str | None = None
    domain_names: dict[str, str] | None = None
    subset: str | None = None
    split: str | None = None
    revision: str | None = None
    tokenizer: str | None = None
    token_dtype: str | None = None
    download: bool = False
    skip_bad_lines: bool = False
    trust_remote_code: bool = False


# Those of them that may change what is read of the text, besides which domains.
READING = (
    "text_column",
    "domain_column",
    "domain_names",
    "subset",
    "split",
    "revision",
    "tokenizer",
    "token_dtype",
)


@dataclass(frozen=True, kw_only=True)
class Options(ReadingOptions):
    """What a run is asked for, by the names of the flags; None is left to the program.

    `compute_chameleon_weights.py --help` says what each does.
    """

    mode: "Mode" = "pretrain"
    dataset: str | None = None
    checkpoint_path: str | None = None
    embeddings_dir: Path = Path(DEFAULT_EMBEDDINGS_DIR)
    recipe: str = "default"
    kernel: "Kernel | None" = None
    rbf_sigma: float | None = None
    lambda_reg: float | None = None
    pt_temperature: float | None = None
    ft_temperature: float | None = None
    exact_up_to: int | None = None
    num_features: int | None = None
    num_samples: int | None = None
    target_se: float | None = None
    sample_length: int | None = None
    seed: int | None = None
    embedding_batch_size: int | None = None
    device: str = "auto"
    dtype: str = "auto"
    block: int | None = None
    add_domains: dict[str, str] | None = None
    remove_domains: tuple[str, ...] = ()
    split_domains: dict[str, dict[str, str]] | None = None
    merge_domains: dict[str, tuple[str, ...]] | None = None
    keep_ratios: bool = False
    hierarchy: str = "flat"
    previous: Path | None = None
    sensitivity: bool = False
    engine: Engine = "serial"
    num_workers: int | None = None
    ray_address: str | None = None
    num_gpus_per_worker: float | None = None
    num_shards: int | None = None
    shard_index: int | None = None
    report: Path | None = None
    skip_embedding_generation: bool = False


def checkpoint_of(options: Options) -> str | None:
    """The proxy asked for, or the one in the default place; None where there is neither."""
    return options.checkpoint_path or (DEFAULT_CHECKPOINT if Path(DEFAULT_CHECKPOINT).exists() else None)


def dataset_of(options: Options) -> str:
    """The corpus asked for; the built-in one where nothing was named and no proxy is there."""
    if options.dataset is not None:
        return options.dataset
    return BUILTIN if checkpoint_of(options) is None else DEFAULT_DATASET
