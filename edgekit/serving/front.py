"""Routes for people beside the protocol: a page at `/`, the list of models, and answers to a picture."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
from mlserver.errors import InferenceError
from mlserver.handlers import DataPlane
from mlserver.registry import MultiModelRegistry
from mlserver.types import InferenceResponse
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from edgekit.errors import InputError
from edgekit.serving.forms import read_files
from edgekit.serving.wire import infer_pictures

PAGE = Path(__file__).parent / "front.html"


class Front:
    """Routes for people.

    Args:
        data_plane: MLServer's inference.
        registry: MLServer's models.
    """

    def __init__(self, data_plane: DataPlane, registry: MultiModelRegistry) -> None:
        self._data_plane = data_plane
        self._registry = registry
        text = PAGE.read_text(encoding="utf-8")
        (script,) = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        self._page = text
        self._policy = (
            "default-src 'none'; style-src 'unsafe-inline'; img-src data: blob:; connect-src 'self'; "
            f"script-src 'sha256-{digest}'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
        )

    def routes(self) -> list[Route]:
        """Return the routes of the page, of its list of models, and of `classify`."""
        return [
            Route("/", self.page, methods=["GET"]),
            Route("/v2/docs", self.page, methods=["GET"]),
            Route("/v2/models", self.models, methods=["GET"]),
            Route("/v2/models/{model_name}/classify", self.classify, methods=["POST"]),
        ]

    async def page(self, request: Request) -> Response:
        headers = {"Content-Security-Policy": self._policy, "X-Content-Type-Options": "nosniff"}
        return Response(self._page, media_type="text/html", headers=headers)

    async def models(self, request: Request) -> Response:
        """List the models with their inputs and outputs, as the protocol's metadata has them."""
        found = []
        for model in await self._registry.get_models():
            metadata = await self._data_plane.model_metadata(model.name)
            found.append({**metadata.model_dump(exclude_none=True), "ready": model.ready})
        return _json({"models": found})

    async def classify(self, request: Request) -> Response:
        """Answer pictures: a list with an object for each, by the names of the model's outputs.

        The query `outputs=NAME,NAME` asks for these outputs alone.
        """
        try:
            files = read_files(await request.body(), request.headers.get("content-type", ""))
        except InputError as error:
            raise InferenceError(error.message) from error
        wanted = [name for name in request.query_params.get("outputs", "").split(",") if name]
        name = request.path_params["model_name"]
        answer = await infer_pictures(self._data_plane, [content for _, content in files], name, wanted)
        rows = [{"filename": filename} for filename, _ in files]
        return _json([{**row, **own} for row, own in zip(rows, _rows(answer, len(rows)), strict=True)])


def _rows(answer: InferenceResponse, count: int) -> list[dict[str, Any]]:
    """Return the outputs picture by picture, without the places that fill shorter answers up."""
    rows: list[dict[str, Any]] = [{} for _ in range(count)]
    for output in answer.outputs:
        values = getattr(output.data, "root", output.data)
        flat = values if isinstance(values, list) else values.reshape(-1).tolist()
        nested = _nested([one.decode() if isinstance(one, bytes) else one for one in flat], output.shape)
        for row, own in zip(rows, nested, strict=True):
            row[output.name] = own
    for row in rows:
        most = row.pop("counts", None)
        for name, own in row.items():
            if most is not None and name != "label_map":
                row[name] = own[:most]
            elif name == "attributes":
                row[name] = [one for one in own if one]
    return rows


def _nested(flat: Sequence[Any], shape: Sequence[int]) -> list[Any]:
    """Return values in C order as nested lists of this shape."""
    if len(shape) == 1:
        return list(flat)
    size = len(flat) // shape[0] if shape[0] else 0
    return [_nested(flat[start * size : (start + 1) * size], shape[1:]) for start in range(shape[0])]


def _json(document: object) -> Response:
    return Response(msgspec.json.encode(document), media_type="application/json")
