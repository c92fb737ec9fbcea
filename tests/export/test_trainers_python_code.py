"""Python: calls as people write them are read without running them."""

import pytest
from export_cases import LONG, export_text, require_ab, require_refused, sources_of_names, weights_of

from chameleon.common.errors import InputError


def test_names_that_are_the_same_to_torchtitan_are_refused() -> None:
    names = ("Law", "law")
    with pytest.raises(InputError, match="in which Law and law are the same"):
        export_text(weights_of(names), "torchtitan", sources_of_names(names))


@pytest.mark.parametrize(
    ("format_name", "text"),
    [
        ("huggingface", "x: dict = 1\nd = interleave_datasets([a, b], probabilities=[0.3, 0.7])"),
        (
            "huggingface",
            "P = [0.3, 0.7]\nL = [load_dataset('a'), load_dataset('b')]\ndatasets.interleave_datasets(L, "
            "probabilities=P)"),
        ("huggingface-json", '{"probabilities": [0.3, 0.7], "datasets": {"a": 1, "b": 2}}'),
        ("torchtitan", "WEIGHTS: dict[str, float] = {'a': 0.3, 'b': 0.7}"),
    ],
)  # fmt: skip
def test_python_files_written_by_hand_are_read(format_name: str, text: str) -> None:
    require_ab(format_name, text)


@pytest.mark.parametrize(
    ("format_name", "text"),
    [
        ("torchtitan", f"WEIGHTS = {{'a': {LONG}}}"),
        ("torchtitan", "WEIGHTS = {[1]: 0.5}"),
        ("torchtitan", "WEIGHTS = {{}}"),
    ],
)
def test_malformed_python_files_are_refused(format_name: str, text: str) -> None:
    require_refused(format_name, text)
