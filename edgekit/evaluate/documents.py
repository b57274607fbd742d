"""Documents that `edgekit eval` wrote, read again as the types of their tasks."""

from __future__ import annotations

import msgspec

from edgekit.core.spec import CLASSIFICATION
from edgekit.tasks.registry import find_task
from edgekit.tasks.truth.evaluation import Evaluation


class _OfTask(msgspec.Struct):
    list_sha256: str
    task: str = CLASSIFICATION


def read_evaluation(content: bytes) -> Evaluation | None:
    """Return the document of eval in `content`; None for anything else and for another schema version.

    Raises:
        InputError: No installed package has the document's task.
    """
    try:
        form = find_task(msgspec.json.decode(content, type=_OfTask).task).evaluation()
        document = None if form is None else msgspec.json.decode(content, type=form)
    except (msgspec.DecodeError, ValueError):
        return None
    return document if document is not None and document.schema_version == document.version else None
