"""Every schema that a test of this folder writes is one by the published JSON Schema."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

import pyrec_infer as pi

PUBLISHED = Path(__file__).resolve().parents[2] / "docs" / "schema.json"


# Of a module each: what is of the session stays after the tests of this folder.
@pytest.fixture(scope="module", autouse=True)
def written_schemas_are_valid() -> Iterator[None]:
    try:
        import jsonschema
    except ImportError:
        yield
        return
    if not PUBLISHED.is_file():
        yield
        return
    validator = jsonschema.Draft202012Validator(json.loads(PUBLISHED.read_text(encoding="utf-8")))
    write = pi.Schema.to_json

    def checked(schema: pi.Schema) -> str:
        text = write(schema)
        validator.validate(json.loads(text))
        return text

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pi.Schema, "to_json", checked)
        yield
