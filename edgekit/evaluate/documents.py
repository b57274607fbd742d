"""Documents that `edgekit eval` writes, one type a kind of task, read again."""

from __future__ import annotations

import msgspec

from edgekit.evaluate.boxes import BOX_EVAL_SCHEMA_VERSION, BoxEvalResult
from edgekit.evaluate.label_maps import LABEL_MAP_EVAL_SCHEMA_VERSION, LabelMapEvalResult
from edgekit.evaluate.tally import EVAL_SCHEMA_VERSION, EvalResult

EvalDocument = EvalResult | BoxEvalResult | LabelMapEvalResult

VERSIONS: dict[type[EvalDocument], int] = {
    EvalResult: EVAL_SCHEMA_VERSION,
    BoxEvalResult: BOX_EVAL_SCHEMA_VERSION,
    LabelMapEvalResult: LABEL_MAP_EVAL_SCHEMA_VERSION,
}


def read_evaluation(content: bytes) -> EvalDocument | None:
    """Return the document of eval in `content`; None for anything else and for another schema version."""
    for form, version in VERSIONS.items():
        try:
            document = msgspec.json.decode(content, type=form)
        except (msgspec.DecodeError, ValueError):
            continue
        return document if document.schema_version == version else None
    return None
