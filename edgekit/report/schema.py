"""Published JSON Schema of the result file."""

from __future__ import annotations

import inspect
from typing import Any

import msgspec

from edgekit.core.measurement import RESULT_SCHEMA_VERSION, Result

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def result_schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of what `bench` writes, with the version that documents name."""
    schema = msgspec.json.schema(Result)
    result = schema["$defs"]["Result"]
    result["properties"]["schema_version"] = {"const": RESULT_SCHEMA_VERSION}
    result["required"].insert(0, "schema_version")
    for record in schema["$defs"].values():
        if "description" in record:
            record["description"] = inspect.cleandoc(record["description"])  # as Python 3.13 has it
    return {"$schema": DIALECT, "title": "Result file of edgekit bench", **schema}


def encode_schema() -> bytes:
    """Encode the schema as in `docs/result.schema.json`."""
    return msgspec.json.format(msgspec.json.encode(result_schema()), indent=2) + b"\n"
