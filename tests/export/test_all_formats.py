"""Every format: what is written is read back, with names of all kinds; what cannot be written is refused."""

import json
from dataclasses import replace

import numpy as np
import pytest
import yaml
from export_cases import (
    PLAIN,
    export_text,
    read_back,
    sources_of_names,
    weights_of,
)
from hypothesis import example, given, settings
from hypothesis import strategies as st

from chameleon.common.errors import InputError
from chameleon.export.formats import FORMATS
from chameleon.export.mixture import Stage
from chameleon.export.sources import TrainerSource
from chameleon.weights.domain_weights import DomainWeights

ODD = (
    "a b",
    "it's",
    'say "hi"',
    "größe/漢字",
    "#x: y",
    "- z",
    "$HOME `ls`",
    "true",
    "1e5",
    "{q}",
    "back\\slash",
    "~",
)


@pytest.mark.parametrize("format_name", FORMATS)
@pytest.mark.parametrize("k", [2, 7, 1000])
def test_what_is_written_is_read_back(format_name: str, k: int) -> None:
    names = tuple(f"domain_{i}" for i in range(k))
    weights, sources = weights_of(names, k), sources_of_names(names)
    text = export_text(weights, format_name, sources)
    np.testing.assert_allclose(read_back(text, format_name, weights, sources), weights.weights, atol=1e-9)
    assert FORMATS[format_name].read(text).problems == ()


NAMES = st.lists(
    st.one_of(st.sampled_from([*ODD, *PLAIN]), st.text(min_size=1, max_size=8)),
    min_size=2,
    max_size=6,
    unique=True,
).filter(lambda names: all(is_encodable(name) for name in names))


def is_encodable(name: str) -> bool:
    return name.encode(errors="replace").decode() == name


@pytest.mark.parametrize("format_name", FORMATS)
@given(names=NAMES, seed=st.integers(0, 99))
@example(names=["a b", "train_"], seed=0)
@settings(max_examples=150, deadline=None)
def test_unusual_names_are_read_back_or_refused_by_name(
    format_name: str, names: list[str], seed: int
) -> None:
    weights, sources = weights_of(tuple(names), seed), sources_of_names(tuple(names))
    try:
        text = export_text(weights, format_name, sources)
    except InputError as error:
        shown = str(error)
        assert any(repr(name) in shown or name in shown or repr(f"train_{name}") in shown for name in names)
        return
    text = text.encode().decode()
    np.testing.assert_allclose(read_back(text, format_name, weights, sources), weights.weights, atol=1e-9)


@pytest.mark.parametrize("name", ODD)
def test_names_that_a_format_can_hold_are_accepted(name: str) -> None:
    names = (name, "other")
    for format_name in ("mosaicml", "huggingface", "huggingface-json", "litdata", "olmo-core", "levanter",
                        "nanotron", "torchtitan", "doremi", "csv", "megatron-splits"):  # fmt: skip
        export_text(weights_of(names), format_name, sources_of_names(names))


@pytest.mark.parametrize("format_name", FORMATS)
def test_domains_of_no_weight_are_left_out_unless_the_trainer_takes_them(format_name: str) -> None:
    names = ("empty", *PLAIN)
    weights = weights_of(names, zero=True)
    text = export_text(weights, format_name, sources_of_names(names))
    assert ("empty" in text) == FORMATS[format_name].keeps_zeros
    numbers = FORMATS[format_name].read(text).numbers
    assert all(number > 0 for key, number in numbers.items() if "empty" not in key)


def test_shares_of_rows_need_the_length_of_rows() -> None:
    names = ("short", "long")
    weights = DomainWeights(names, np.array([0.5, 0.5]), "test", settings={"budget": 1e6})
    sources = {"short": TrainerSource(("s",), (), 100.0), "long": TrainerSource(("l",), (), 300.0)}
    content = json.loads(export_text(weights, "huggingface-json", sources))
    assert content["probabilities"] == pytest.approx({"short": 0.75, "long": 0.25})
    # Half a million tokens of each in rows of 100 and 300.
    content = yaml.safe_load(export_text(weights, "mosaicml", sources))
    assert content["dataset"]["epoch_size"] == round(5e5 / 100 + 5e5 / 300)
    for format_name, spec in FORMATS.items():
        unknown = {**sources, "long": TrainerSource(("l",))}
        if spec.counts == "rows":
            with pytest.raises(InputError, match="how many tokens a row of long has is not known"):
                export_text(weights, format_name, unknown)
        else:
            export_text(weights, format_name, unknown)
    with pytest.raises(InputError, match="epoch_size"):
        export_text(replace(weights, settings={}), "mosaicml", sources)


@pytest.mark.parametrize("format_name", [name for name, spec in FORMATS.items() if spec.takes_stages])
def test_a_file_can_hold_two_stages(format_name: str) -> None:
    weights, later = weights_of(PLAIN, 1), weights_of(PLAIN, 2)
    text = export_text(weights, format_name, sources_of_names(PLAIN), later=[Stage(5000, later)])
    parsed = FORMATS[format_name].read(text)
    np.testing.assert_allclose(list(parsed.numbers.values()), weights.weights, atol=1e-9)
    ((step, numbers),) = parsed.stages
    assert step == 5000
    np.testing.assert_allclose([numbers[name] for name in PLAIN], later.weights, atol=1e-9)


def test_each_file_has_what_its_trainer_needs() -> None:
    weights, sources = weights_of(PLAIN), sources_of_names(PLAIN)
    texts = {name: export_text(weights, name, sources) for name in FORMATS}
    splits = json.loads(texts["megatron-splits"])
    assert splits.keys() == {"train", "valid", "test"}
    assert splits["valid"] is None
    assert json.loads(texts["nemo"]).keys() == {"train", "validation", "test"}
    assert "iterate_over_all=False," in texts["litdata"]
    assert sum(
        each["target_ratio"] for each in yaml.safe_load(texts["olmo-core"])["sources"]
    ) == pytest.approx(1)
    assert yaml.safe_load(texts["llamafactory"])["mix_strategy"] == "interleave_over"
    assert yaml.safe_load(texts["regmix"])["valid"] == {f"valid_{name}": 1.0 for name in PLAIN}
    doremi = json.loads(texts["doremi"])
    assert list(doremi["train_domain_weights"]) == sorted(PLAIN)
    assert doremi["eval_domain_weights"] == doremi["train_domain_weights"]
    held = {name: replace(each, extra={"valid": f"v_{name}"}) for name, each in sources.items()}
    assert json.loads(export_text(weights, "megatron-splits", held))["valid"][1::2] == [
        f"v_{name}" for name in PLAIN
    ]
    seen = replace(weights, domains={name: {"epochs": 2.5} for name in PLAIN})
    assert (
        yaml.safe_load(export_text(seen, "olmo-core", sources))["sources"][0]["max_repetition_ratio"] == 2.53
    )
    for name, spec in FORMATS.items():
        assert ("# chameleon" in texts[name]) == spec.has_comments or name == "huggingface-json"


@given(st.binary(max_size=200), st.sampled_from(list(FORMATS)))
@settings(max_examples=400, deadline=None)
def test_any_file_is_read_or_refused(content: bytes, format_name: str) -> None:
    text = content.decode(errors="replace")
    try:
        parsed = FORMATS[format_name].read(text)
    except InputError:
        return
    assert parsed.numbers
