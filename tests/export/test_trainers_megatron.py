"""Megatron-LM, NeMo and nanotron: files as their users write them, and what they cannot take."""

import json
import subprocess
import sys

import numpy as np
import pytest
from export_cases import export_text, require_ab, require_refused, sources_of_names, weights_of

from chameleon.common.errors import InputError
from chameleon.export.sources import TrainerSource


def test_a_shell_passes_the_arguments_of_megatron_unchanged() -> None:
    names = ("a b", "it's", 'say "hi"', "größe/漢字", "$HOME `ls`", "#x", "back\\slash", "*")
    weights = weights_of(names)
    text = export_text(weights, "megatron", sources_of_names(names))
    line = text.splitlines()[-1]
    program = "import json,sys;print(json.dumps(sys.argv[1:]))"
    run = subprocess.run(
        ["bash", "-c", f"{sys.executable} -c '{program}' {line}"], capture_output=True, text=True, check=True
    )
    flag, *words = json.loads(run.stdout)
    assert flag == "--data-path"
    assert words[1::2] == list(names)
    np.testing.assert_allclose([float(each) for each in words[::2]], weights.weights, atol=1e-9)


def test_more_datasets_than_megatron_can_number_are_refused() -> None:
    names = tuple(map(str, range((1 << 15) - 1)))
    with pytest.raises(InputError, match="up to 32,766; here are 32,767"):
        export_text(weights_of(names), "megatron-file", {name: TrainerSource((name,)) for name in names})


@pytest.mark.parametrize(
    ("format_name", "text"),
    [
        ("megatron", "torchrun x.py \\\n  --data-path 0.3 a \\\n  0.7 b \\\n  --seed 1\n"),
        ("megatron", "x --data-path=0.3 a 0.7 b -x 5"),
        ("megatron-splits", '{"train": "0.3 a 0.7 b", "valid": null, "test": ["c"]}'),
        ("nemo", '["0.3", "a", "0.7", "b"]'),
        ("nanotron", "data_stages: [{data: {dataset: {dataset_folder: {a: 0.3, b: 0.7}}}}]"),
    ],
)  # fmt: skip
def test_megatron_files_written_by_hand_are_read(format_name: str, text: str) -> None:
    require_ab(format_name, text)


@pytest.mark.parametrize(
    ("format_name", "text"),
    [
        ("megatron-splits", '{"train": ["1", "a"], "valid": 5, "test": null}'),
    ],
)
def test_malformed_megatron_files_are_refused(format_name: str, text: str) -> None:
    require_refused(format_name, text)
