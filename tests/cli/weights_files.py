"""Weights files that the command wrote, checked against their schema."""

import json
from pathlib import Path
from typing import Any

import jsonschema
from conftest import ROOT

SCHEMA = json.loads((ROOT / "docs" / "weights.schema.json").read_text())


def weights_of(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    jsonschema.validate(content, SCHEMA)
    return content
