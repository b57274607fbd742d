"""Write docs/result.schema.json after a change of the result file's records."""

from __future__ import annotations

from pathlib import Path

from edgekit._files import write_atomic
from edgekit.report.schema import encode_schema

write_atomic(Path(__file__).parent.parent / "docs" / "result.schema.json", encode_schema())
