"""edgekit: put PaddlePaddle classification models on phones, boards and servers, with numbers to trust."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.2.0"

__all__ = ["EdgeKit", "__version__", "choose", "export", "import_model"]

if TYPE_CHECKING:
    from edgekit.api.choosing import choose
    from edgekit.api.making import export, import_model
    from edgekit.api.predicting import EdgeKit


def __getattr__(name: str) -> Any:
    # Lazy, so that `edgekit --help` and the workers never pay for the API's imports.
    if name == "EdgeKit":
        from edgekit.api.predicting import EdgeKit

        return EdgeKit
    if name == "choose":
        from edgekit.api.choosing import choose

        return choose
    if name in ("export", "import_model"):
        from edgekit.api import making

        return getattr(making, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
