"""The aiohttp example, which also tells what its process holds; run as it runs itself."""

from __future__ import annotations

from aiohttp import web

from examples.aiohttp.app import main, service
from tests.support.watch import held


async def watched(request: web.Request) -> web.Response:
    return web.json_response(held())


if __name__ == "__main__":
    app = service()
    app.router.add_get("/held", watched)
    main(app)
