"""`DomainWeights` and its file: what is written, what is read, and what is refused."""

import dataclasses
import inspect
import json
import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import numpy.typing as npt
import pytest
from conftest import ROOT
from hypothesis import given, settings
from hypothesis import strategies as st

from chameleon.common.errors import InputError
from chameleon.weights.compute import compute_weights
from chameleon.weights.domain_weights import UNIT, Diagnostics, DomainFacts, DomainWeights

SCHEMA = json.loads((ROOT / "docs" / "weights.schema.json").read_text())
DATE = datetime(2025, 6, 1, 12, 30, 15, 999, tzinfo=UTC)
ODD_NAMES = ("", " ", "a b", 'quo"te', "it's", "back\\slash", "slash/..", "new\nline", "日本語", "é",
             "e\u0301", "🦎", "weights", "0", "null", "a" * 1000)  # fmt: skip
seeded = settings(derandomize=True, deadline=None, max_examples=40)
names_and_sizes = st.dictionaries(st.text(), st.floats(1e-300, 1), min_size=1, max_size=12)


def full(names: tuple[str, ...] = ODD_NAMES) -> DomainWeights:
    weights = np.arange(1, len(names) + 1) / sum(range(len(names) + 1))
    return DomainWeights(
        names=names,
        weights=weights,
        method="chameleon",
        mode="finetune",
        domains={name: {"score": i / 100, "windows": i + 1} for i, name in enumerate(names)},
        diagnostics={"effective_dimension": 1.5},
        settings={"recipe": "default", "rbf_sigma": None},
        provenance={"corpus": {"name": "x"}},
        notices=("one", "zwei ü"),
    )


def assert_same(one: DomainWeights, other: DomainWeights) -> None:
    for field in dataclasses.fields(DomainWeights):
        if field.name == "weights":
            np.testing.assert_array_equal(one.weights, other.weights)
        else:
            assert getattr(one, field.name) == getattr(other, field.name), field.name


@seeded
@given(names_and_sizes)
def test_to_dict_and_back_keeps_everything(sizes: Mapping[str, float]) -> None:
    shares = np.array(list(sizes.values())) / sum(sizes.values())
    weights = dataclasses.replace(full(tuple(sizes)), weights=shares)
    assert_same(DomainWeights.from_dict(weights.to_dict()), weights)
    assert_same(DomainWeights.from_dict(json.loads(weights.to_json())), weights)


def test_a_file_reads_back_as_it_was_written(tmp_path: Path) -> None:
    full().write(tmp_path / "new" / "w.json")
    assert_same(DomainWeights.read(tmp_path / "new" / "w.json"), full())
    full().write(str(tmp_path / "text"))
    assert_same(DomainWeights.read(str(tmp_path / "text")), full())


def test_a_file_is_readable_text_in_the_order_of_the_names(tmp_path: Path) -> None:
    full().write(tmp_path / "w.json")
    text = (tmp_path / "w.json").read_bytes().decode()
    assert "日本語" in text
    assert text.endswith("}\n")
    content = json.loads(text)
    for key in ("weights", "domains", "scores"):
        assert tuple(content[key]) == ODD_NAMES
    assert next(iter(content)) == "weights"


def test_facts_are_matched_by_name_whatever_their_order() -> None:
    domains = {"b": {"score": 0.2}, "a": {"score": 0.1, "windows": 4}}
    content = DomainWeights(("a", "b", "c"), np.array([0.5, 0.3, 0.2]), "m", domains=domains).to_dict(DATE)
    assert content["weights"] == {"a": 0.5, "b": 0.3, "c": 0.2}
    assert content["domains"] == {"a": {"score": 0.1, "windows": 4}, "b": {"score": 0.2}, "c": {}}
    assert content["scores"] == {"a": 0.1, "b": 0.2}
    assert DomainWeights.from_dict({"weights": {"b": 0.25, "a": 0.75}}).by_name() == {"a": 0.75, "b": 0.25}


def test_the_date_is_the_given_one_or_now() -> None:
    assert full().to_dict(DATE)["date"] == "2025-06-01T12:30:15+00:00"
    before = datetime.now(UTC).replace(microsecond=0)
    assert before <= datetime.fromisoformat(full().to_dict()["date"]) <= datetime.now(UTC)


def test_computed_weights_hold_plain_json_values_that_fit_the_schema() -> None:
    domains = {"a": np.eye(3, dtype=np.float16)[0], "b": np.eye(3)[1:], "c": [0.5, 0.5, 0.5]}
    for recipe in ("default", "released"):
        content = json.loads(compute_weights(domains, recipe=recipe).to_json())
        content["settings"] |= {"dataset": "x", "num_samples": 2}  # known to the pipeline alone
        jsonschema.validate(content, SCHEMA)
    assert all(type(share) is float for share in compute_weights(domains).by_name().values())


@pytest.mark.parametrize(
    ("keys", "listed"),
    [
        (DomainFacts, SCHEMA["properties"]["domains"]["additionalProperties"]),
        (Diagnostics, SCHEMA["properties"]["diagnostics"]),
    ],
)
def test_the_schema_lists_each_key_and_comments_name_the_functions_that_write_them(
    keys: type, listed: Mapping[str, Any]
) -> None:
    assert set(keys.__annotations__) == set(listed["properties"])
    definition = inspect.getsource(keys)
    described = re.findall(r"^    (\w+): [^#]+  # .+$", definition, flags=re.MULTILINE)
    assert described == list(keys.__annotations__)
    writers = re.findall(r"`chameleon\.([\w.]+)\.(\w+)`", definition)
    assert len(writers) > 5
    for module, function in writers:
        source = (ROOT / "chameleon" / f"{module.replace('.', '/')}.py").read_text()
        assert f"def {function}(" in source, f"{module} has no {function}"


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("place", ["settings", "diagnostics", "provenance", "domains"])
def test_no_file_holds_nan_or_infinity(tmp_path: Path, place: str, value: float) -> None:
    facts: dict[str, Any] = {place: {"日本語": {"score": value}}}
    weights = dataclasses.replace(full(), **facts)
    with pytest.raises(ValueError, match="not JSON compliant"):
        weights.write(tmp_path / "w.json")
    assert not list(tmp_path.iterdir())


def test_only_weights_must_be_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "w.json").write_text('{"weights": {"a": 1, "b": 0.0}}')
    plain = DomainWeights.read(tmp_path / "w.json")
    assert_same(plain, DomainWeights(("a", "b"), np.array([1.0, 0.0]), "unknown"))
    assert (plain.mode, plain.unit, plain.notices) == (None, UNIT, ())
    assert plain.weights.dtype == np.float64


@pytest.mark.parametrize("excess", [-5e-7, 0.0, 5e-7])
def test_sums_that_differ_from_one_by_rounding_are_accepted(excess: float) -> None:
    weights = np.array([0.5, 0.5 + excess])
    np.testing.assert_array_equal(DomainWeights(("a", "b"), weights, "m").weights, weights)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ([0.5, 0.4], "sum to 0.9$"),
        ([0.5, 0.500002], "sum to 1"),
        ([0.0, 0.0], "sum to 0$"),
        ([0.5, 0.5 + 1e-5], "sum to 1.00001$"),
    ],
)
def test_weights_that_are_not_shares_are_refused(weights: list[float], message: str) -> None:
    with pytest.raises(InputError, match=f"shares that sum to 1, these {message}"):
        DomainWeights(("a", "b"), np.array(weights), "m")


@pytest.mark.parametrize(
    ("weights", "message"),
    [([1.25, -0.25], "b is -0.25"), ([math.nan, 1.0], "a is nan"), ([0.5, math.inf], "b is inf"),
     ([math.inf, -math.inf], "a is inf")],
)  # fmt: skip
def test_a_weight_that_is_not_a_share_is_named(weights: list[float], message: str) -> None:
    with pytest.raises(InputError, match=f"each weight must be a share from 0 to 1, that of {message}$"):
        DomainWeights(("a", "b"), np.array(weights), "m")


def test_weights_are_compared_by_identity_and_have_a_hash() -> None:
    one, other = full(), full()
    assert one == one
    assert one != other
    assert len({one, other}) == 2


def test_facts_about_domains_without_a_weight_are_not_written() -> None:
    domains = {"a": {"score": 0.1}, "gone": {"score": 0.2}}
    content = DomainWeights(("a",), np.array([1.0]), "m", domains=domains).to_dict()
    assert content["scores"] == {"a": 0.1}
    assert content["domains"] == {"a": {"score": 0.1}}


def test_names_that_repeat_are_refused() -> None:
    with pytest.raises(InputError, match="named once, got a, b, a"):
        DomainWeights(("a", "b", "a"), np.array([0.5, 0.25, 0.25]), "m")


@pytest.mark.parametrize("shape", [(), (1,), (3,), (2, 1)])
def test_weights_that_do_not_fit_the_names_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match="2 domains have weights of shape") as caught:
        DomainWeights(("a", "b"), np.full(shape, 0.5), "m")
    assert str(caught.value).endswith(str(shape))


@pytest.mark.parametrize(
    "content", [{}, {"weights": None}, {"weights": [0.5, 0.5]}, {"weights": 1}, {"weight": {"a": 1}},
                {"weights": {"a": "1"}}, {"weights": {"a": True}}, {"weights": {"a": [1]}}]
)  # fmt: skip
def test_content_without_numbers_by_name_is_refused(content: Mapping[str, Any]) -> None:
    with pytest.raises(InputError, match='expected an object "weights" from domain names to numbers'):
        DomainWeights.from_dict(content)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "Expecting value"),
        (b"{", "is not a weights file"),
        (b"a,b\n0.5,0.5\n", "Expecting value"),
        (b"\xff\xfe\x00", "is not a weights file"),
        (b"[]", "expected a JSON object at the top"),
        (b"[1]", "expected a JSON object at the top"),
        (b"null", "expected a JSON object at the top"),
        (b'"text"', "expected a JSON object at the top"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"weights": {"a": 0.5, "a": 0.5}}', '"a" stands twice in one object'),
        (b'{"weights": {"a": 1}, "weights": {"b": 1}}', '"weights" stands twice in one object'),
        (b'{"weights": {"a": 1' + b"0" * 400 + b"}}", "one with hundreds of digits"),
        (b'{"weights": {"a": 1}, "format": "chameleon-weights/2"}', "format chameleon-weights/1, got cham"),
        (b'{"weights": {"a": 1}, "format": 7}', "format chameleon-weights/1, got 7"),
        (b'{"weights": {"a": 1}, "notices": null}', '"notices" to be a list of texts, got None'),
        (b'{"weights": {"a": 1}, "notices": "abc"}', "\"notices\" to be a list of texts, got 'abc'"),
        (b'{"weights": {"a": 1}, "domains": null}', '"domains" to be an object of an object for each'),
        (b'{"weights": {"a": 1}, "domains": {"a": 1}}', '"domains" to be an object of an object for each'),
        (b'{"weights": {"a": 1}, "domains": [1]}', '"domains" to be an object of an object for each'),
        (b'{"weights": {"a": 1}, "settings": []}', '"settings" to be an object, got []'),
        (b'{"weights": {"a": 1}, "provenance": 1}', '"provenance" to be an object, got 1'),
        (b'{"weights": {"a": 1}, "diagnostics": "x"}', '"diagnostics" to be an object'),
        (b'{"weights": {"a": 1}, "method": null}', '"method" to be a text, got None'),
        (b'{"weights": {"a": 1}, "mode": 1}', '"mode" to be a text or null, got 1'),
        (b'{"weights": {"a": 1}, "unit": 1}', '"unit" to be "share of tokens", got 1'),
        (b"{}", 'expected an object "weights"'),
        (b'{"weights": {"a": NaN, "b": 1}}', "that of a is nan"),
        (b'{"weights": {"a": Infinity}}', "that of a is inf"),
        (b'{"weights": {"a": 0.5, "b": 0.6}}', "sum to 1.1"),
    ],
)
def test_other_files_are_refused_by_name(tmp_path: Path, content: bytes, expected: str) -> None:
    path = tmp_path / "some file"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"some file is not a weights file: ") as caught:
        DomainWeights.read(path)
    assert expected in str(caught.value)


def test_files_that_cannot_be_read_are_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"cannot read the weights file .*none\.json: No such file"):
        DomainWeights.read(tmp_path / "none.json")
    with pytest.raises(InputError, match=f"cannot read the weights file {tmp_path}: Is a directory"):
        DomainWeights.read(tmp_path)


def test_settings_in_force_are_recorded() -> None:
    domains = {f"domain {i}": row for i, row in enumerate(np.eye(4))}
    assert compute_weights(domains).settings == pytest.approx({
        "recipe": "default", "kernel": "rbf", "rbf_sigma": math.sqrt(2), "rbf_sigma_from": "median distance",
        "lambda_reg": 0.125, "ridge": 0.5, "temperature": 5.0, "temperature_used": 5 * 4 / 7,
        "noise_taken_off": True,
    })  # fmt: skip
    given_all = compute_weights(domains, "finetune", rbf_sigma=2.0, lambda_reg=3.0, temperature=0.7).settings
    assert given_all == pytest.approx({
        "recipe": "default", "kernel": "rbf", "rbf_sigma": 2.0, "rbf_sigma_from": "given",
        "lambda_reg": 3.0, "ridge": 12.0, "temperature": 0.7, "temperature_used": 0.7 * 7 / 4,
        "noise_taken_off": True,
    })  # fmt: skip
    assert compute_weights(domains, "finetune", recipe="released").settings == pytest.approx({
        "recipe": "released", "kernel": "linear", "rbf_sigma": None, "rbf_sigma_from": None,
        "lambda_reg": 10.0, "ridge": 40.0, "temperature": 0.2, "temperature_used": 0.2,
        "noise_taken_off": False,
    })  # fmt: skip


@pytest.mark.parametrize(
    ("domains", "expected"),
    [
        ({}, "at least 2 domains, got 0"),
        ({"only one": [1, 2]}, "at least 2 domains, got 1: only one"),
        ({"a": [1, 2, 3], "b": [[1, 2]]}, "one width, got {'a': 3, 'b': 2}"),
        ({"a": [1, 2], "b": np.ones((2, 3, 4))}, r"domain b: .* got shape \(2, 3, 4\)"),
        ({"a": [1, 2], "b": np.ones((0, 2))}, r"domain b: .* got shape \(0, 2\)"),
        ({"a": 1.0, "b": 2.0}, r"domain a: .* got shape \(\)"),
        ({"a": [[1, 2], [3]], "b": [1, 2]}, "domain a: its embeddings must be an array of real numbers"),
        ({"a": [1, 2], "b": ["1", "2"]}, "domain b: its embeddings must be real numbers, got str"),
        ({"a": [1, 2], "b": [1j, 2]}, "domain b: its embeddings must be real numbers, got complex128"),
        ({"a": [1, 2], "b": [1.7e308, 1], "c": np.full((2, 2), 1.7e308)}, r"those in rows \[2\] are not"),
        ({"a": [], "b": [1, 2]}, r"domain a: .* got shape \(0,\)"),
        ({"a": [1, 2], "b": [[1, 2], [1, math.nan], [math.inf, 2]]}, r"domain b: .* window 1 .*\(2 of 3 win"),
        ({"a": [1, 2], "b": np.array([1, np.inf], dtype=np.float16)}, "domain b: .* window 0 is not finite"),
        ({"a": [1, 2], "b": [1, 2], "c": [1, 2]}, "have the same embedding"),
    ],
)
def test_embeddings_that_cannot_be_used_are_refused(
    domains: Mapping[str, npt.ArrayLike], expected: str
) -> None:
    with pytest.raises(InputError, match=expected):
        compute_weights(domains)


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ({"mode": "train"}, "mode must be one of pretrain, finetune, got 'train'"),
        ({"recipe": "best"}, "recipe must be one of default, released, got 'best'"),
        ({"kernel": "cosine"}, "kernel must be one of rbf, linear, got 'cosine'"),
        ({"kernel": ""}, "kernel must be one of rbf, linear, got ''"),
        ({"lambda_reg": 1.7e308}, r"lambda 1.7e\+308 is too large"),
        ({"temperature": 1.7e308, "mode": "finetune"}, "temperature must be a positive number, got inf"),
        ({"kernel": "linear", "rbf_sigma": 2.5}, "sigma of 2.5 was given, but the linear kernel"),
        ({"recipe": "released", "rbf_sigma": 2.5}, "sigma of 2.5 was given, but the linear kernel"),
        ({"rbf_sigma": 0.0}, "sigma must be a positive number, got 0.0"),
        ({"lambda_reg": 0.0}, "lambda must be a positive number, got 0.0"),
        ({"temperature": 0.0}, "temperature must be a positive number, got 0.0"),
    ],
)
def test_settings_out_of_range_are_refused(setting: Mapping[str, Any], expected: str) -> None:
    with pytest.raises(InputError, match=expected):
        compute_weights({"a": [1, 2], "b": [3, 4]}, **setting)
