"""Runs a trainer's own library on an export, in a process that has these libraries on its path.

    python tests/export/trainer_runs.py LIBRARY EXPORT

in a directory with the files of `test_trainers.py`. Prints how many tokens of each domain were drawn, as
JSON. Every token of domain i is the number i + 1.
"""

import collections
import importlib.machinery
import itertools
import json
import sys
import types
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import yaml

NAMES = ("news text", "código", "books", "web")
ROWS = 60
ROW_LENGTHS = (64, 128, 192, 256)
SEQUENCE = 64
DRAWN = 4000


def tally(rows: Iterable[Any]) -> dict[str, int]:
    """Tokens by domain."""
    counts: collections.Counter[int] = collections.Counter()
    for row in rows:
        counts.update(np.asarray(row).tolist())
    return {name: counts[i] for i, name in enumerate(NAMES, 1)}


def rows_of(i: int, length: int) -> Iterator[np.ndarray]:
    """The rows of domain i."""
    return (np.full(length, i + 1, dtype=np.int32) for _ in range(ROWS))


def nemo(export: Path) -> dict[str, int]:
    """As Megatron-LM, with the file read as NeMo Automodel reads it."""
    from nemo_automodel.components.datasets.llm.megatron.megatron_utils import get_blend_from_list
    from nemo_automodel.components.datasets.llm.megatron_dataset import try_load_blend_from_json

    blends = try_load_blend_from_json(export)
    return megatron(export, [get_blend_from_list(blends.get(s)) for s in ("train", "validation", "test")])


def megatron(export: Path, splits: list[Any] | None = None) -> dict[str, int]:
    """Sequences of a blended dataset, from files that hold documents of a sequence and a token."""
    import torch
    from megatron.core.datasets.blended_megatron_dataset_builder import BlendedMegatronDatasetBuilder
    from megatron.core.datasets.gpt_dataset import GPTDataset, GPTDatasetConfig
    from megatron.core.datasets.indexed_dataset import IndexedDatasetBuilder
    from megatron.core.datasets.utils import get_blend_from_list

    class Tokenizer:
        eod = pad = pad_id = 0
        vocab_size = 10
        unique_identifiers = property(lambda self: collections.OrderedDict(name="test"))

    for i, prefix in enumerate(("data_0", "data_1", "data_2", "data_3")):
        builder = IndexedDatasetBuilder(f"{prefix}.bin", dtype=np.int32)
        for row in rows_of(i, SEQUENCE + 1):
            builder.add_document(torch.from_numpy(row), [SEQUENCE + 1])
        builder.finalize(f"{prefix}.idx")
    # As Megatron-LM reads these files itself.
    how: dict[str, Any]
    if splits is not None:
        how = {"blend_per_split": splits}
    elif export.suffix == ".json":
        blends = json.loads(export.read_text())
        how = {
            "blend_per_split": [get_blend_from_list(blends[split]) for split in ("train", "valid", "test")]
        }
    else:
        how = {"blend": get_blend_from_list(export.read_text().split()), "split": "1,0,0"}
    store = torch.distributed.HashStore()  # type: ignore[attr-defined]
    torch.distributed.init_process_group("gloo", rank=0, world_size=1, store=store)
    config = GPTDatasetConfig(
        random_seed=1, sequence_length=SEQUENCE, tokenizer=Tokenizer(), reset_position_ids=False,
        reset_attention_mask=False, eod_mask_loss=False, create_attention_mask=False, path_to_cache="cache",
        **how,
    )  # fmt: skip
    sizes = [DRAWN, 0, 0]
    train, _, _ = BlendedMegatronDatasetBuilder(GPTDataset, sizes, lambda: True, config).build()
    return tally(train[i]["tokens"] for i in range(DRAWN))


def mosaicml(export: Path) -> dict[str, int]:
    """Rows of an epoch, of a different length for each domain."""
    _without_torchvision()
    from streaming import MDSWriter, Stream, StreamingDataset

    for i, length in enumerate(ROW_LENGTHS):
        with MDSWriter(out=f"mds_{i}", columns={"tokens": "bytes"}) as writer:
            for row in rows_of(i, length):
                writer.write({"tokens": row.tobytes()})
    content = yaml.safe_load(export.read_text())["dataset"]
    streams = [Stream(**stream) for stream in content["streams"].values()]
    dataset = StreamingDataset(streams=streams, epoch_size=content["epoch_size"], batch_size=1)
    return tally(np.frombuffer(row["tokens"], np.int32) for row in dataset)


def litdata(export: Path) -> dict[str, int]:
    """Rows until a domain runs out."""
    from litdata.streaming.writer import BinaryWriter

    for i, length in enumerate(ROW_LENGTHS):
        writer = BinaryWriter(f"lit_{i}", chunk_bytes="1MB")
        for k, row in enumerate(itertools.chain.from_iterable([list(rows_of(i, length))] * 20)):
            writer[k] = {"tokens": row}
        writer.done()
        writer.merge()
    values: dict[str, Any] = {}
    exec(compile(export.read_text(), str(export), "exec"), values)
    return tally(row["tokens"] for row in values["dataset"])


def huggingface(export: Path) -> dict[str, int]:
    """Rows of JSON Lines, interleaved."""
    for i, length in enumerate(ROW_LENGTHS):
        lines = (json.dumps({"tokens": row.tolist()}) + "\n" for row in rows_of(i, length))
        Path(f"hf_{i}.jsonl").write_text("".join(lines))
    if export.suffix == ".json":
        from datasets import interleave_datasets, load_dataset

        content = json.loads(export.read_text())
        dataset = interleave_datasets(
            [load_dataset(**content["datasets"][name]) for name in content["probabilities"]],
            probabilities=list(content["probabilities"].values()),
            seed=content["seed"],
            stopping_strategy=content["stopping_strategy"],
        )
    else:
        values: dict[str, Any] = {}
        exec(compile(export.read_text(), str(export), "exec"), values)
        dataset = values["dataset"]
    return tally(row["tokens"] for row in itertools.islice(dataset.repeat(None), DRAWN))


def olmo(export: Path) -> dict[str, int]:
    """Tokens that are chosen from arrays."""
    from olmo_core.data.source_mixture import (
        SourceMixtureConfig,
        SourceMixtureDatasetConfig,
        SourceMixtureList,
    )

    for i in range(len(NAMES)):
        np.full(20_000, i + 1, dtype=np.uint16).tofile(f"olmo_{i}.npy")
    sources = [SourceMixtureConfig(**each) for each in yaml.safe_load(export.read_text())["sources"]]
    mixture = SourceMixtureDatasetConfig(
        source_list=SourceMixtureList(sources=sources), requested_tokens=64_000, global_batch_size=640,
        render_tables=False, quiet=True,
    ).build(npdtype=np.uint16, sequence_length=SEQUENCE)  # fmt: skip
    tokens_by_name = dict.fromkeys(NAMES, 0)
    for (path, _), tokens in mixture.to_index().items():
        tokens_by_name[NAMES[int(np.fromfile(path, dtype=np.uint16)[0]) - 1]] += tokens
    return tokens_by_name


def torchtitan(export: Path) -> dict[str, int]:
    """Packed sequences of endless sources; its configuration needs more of torchtitan than is installed."""
    from torch.utils.data import IterableDataset
    from torchtitan.hf_datasets.interleaved import InterleavedDataset

    class Endless(IterableDataset[Any]):
        def __init__(self, i: int) -> None:
            self.i = i

        def __iter__(self) -> Iterator[np.ndarray]:
            return itertools.cycle(list(rows_of(self.i, SEQUENCE)))

        def state_dict(self) -> dict[str, int]:
            return {}

        def load_state_dict(self, state: dict[str, int]) -> None:
            pass

    module = types.ModuleType("torchtitan.hf_datasets.text_datasets")
    loaders: list[Any] = []

    class Source:
        def __init__(self, dataset: str, dataset_path: str, infinite: bool, weight: float) -> None:
            assert infinite
            self.dataset, self.weight = Endless(int(dataset_path.removeprefix("tt_"))), weight
            assert dataset == NAMES[self.dataset.i]

    class Loader:
        class Config:
            def __init__(self, sources: list[Source], seed: int) -> None:
                loaders.append(
                    InterleavedDataset([s.dataset for s in sources], [s.weight for s in sources], seed)
                )

    module.HFDataSource, module.InterleavedHuggingFaceTextDataLoader = Source, Loader  # type: ignore[attr-defined]
    sys.modules[module.__name__] = module
    exec(compile(export.read_text(), str(export), "exec"), {})
    return tally(itertools.islice(loaders[0], DRAWN))


def _without_torchvision() -> None:
    """Streaming imports torchvision for images, which these tests do not use."""

    class Anything(types.ModuleType):
        def __getattr__(self, name: str) -> Any:  # noqa: ANN401
            if name.startswith("__"):
                raise AttributeError(name)
            return type(name, (), {})

    for name in ("torchvision", "torchvision.transforms", "torchvision.transforms.functional",
                 "torchvision.datasets", "torchvision.datasets.vision"):  # fmt: skip
        module = Anything(name)
        module.__spec__ = importlib.machinery.ModuleSpec(name, None)
        module.__path__ = []
        sys.modules[name] = module


RUNS = {each.__name__: each for each in (megatron, nemo, mosaicml, litdata, huggingface, olmo, torchtitan)}

if __name__ == "__main__":
    warnings.simplefilter("ignore")
    print(json.dumps(RUNS[sys.argv[1]](Path(sys.argv[2]))))
