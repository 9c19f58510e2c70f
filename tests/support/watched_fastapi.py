"""The FastAPI example, which also tells what its process holds."""

from __future__ import annotations

from collections.abc import Mapping

from examples.fastapi.app import app
from tests.support.watch import held

__all__ = ["app"]


@app.get("/held")
async def watched() -> Mapping[str, object]:
    return held()
