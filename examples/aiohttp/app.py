"""An aiohttp service that starts tasks, tells how they stand, and awaits their values.

From the top of the checkout, with aiohttp installed, a worker and the service, each in a terminal of
its own:

    aioqueue worker examples.aiohttp.tasks:server
    python -m examples.aiohttp.app

and in a third one:

    curl -i --json '{"numbers": [1, 2, 3]}' localhost:8080/sums
    curl localhost:8080/sums/ID
    curl 'localhost:8080/sums/ID/value?timeout=5'

Tasks are kept in a SQLite file; with AIOQUEUE_BROKER=redis://localhost for both they are kept in Redis.
PORT names another port.
"""

import os
from collections.abc import AsyncIterator

from aiohttp import web
from aiohttp.typedefs import Handler
from pydantic import BaseModel, Field, ValidationError

from aioqueue import Server
from aioqueue.errors import (
    QueueFullError,
    ResultNotFoundError,
    ResultTimeoutError,
    TaskError,
    UnavailableError,
)
from examples.aiohttp.tasks import server, total

SERVER = web.AppKey("SERVER", Server)
STATUS: dict[type[Exception], int] = {
    ValidationError: 422,
    ResultNotFoundError: 404,
    TaskError: 502,
    QueueFullError: 503,
    UnavailableError: 503,
    ResultTimeoutError: 504,
}
"""What is answered for each error. 504: ask again, the task goes on."""


class Sum(BaseModel):
    """What is to be added up."""

    numbers: list[int]


class Wait(BaseModel):
    """How long a value is waited for, in seconds."""

    timeout: float = Field(10, gt=0, le=30)


async def opened(app: web.Application) -> AsyncIterator[None]:
    async with server:
        app[SERVER] = server
        yield


@web.middleware
async def problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except tuple(STATUS) as error:
        status = next(status for kind, status in STATUS.items() if isinstance(error, kind))
        name = error.type if isinstance(error, TaskError) else type(error).__name__
        return web.json_response({"error": name, "message": str(error)}, status=status)


async def start(request: web.Request) -> web.Response:
    wanted = Sum.model_validate_json(await request.read())
    result = await request.app[SERVER].send(total.s(wanted.numbers))
    location = request.app.router["state"].url_for(id=result.id)
    return web.json_response({"id": result.id}, status=202, headers={"Location": str(location)})


async def state(request: web.Request) -> web.Response:
    found = await request.app[SERVER].result(request.match_info["id"]).state()
    return web.json_response({"id": found.id, "state": found.state, "attempt": found.attempt})


async def value(request: web.Request) -> web.Response:
    id, wait = request.match_info["id"], Wait.model_validate(dict(request.query))
    found = await request.app[SERVER].result(id, returns=int).get(timeout=wait.timeout)
    return web.json_response({"id": id, "value": found})


def service() -> web.Application:
    app = web.Application(middlewares=[problems])
    app.cleanup_ctx.append(opened)
    app.router.add_post("/sums", start)
    app.router.add_get("/sums/{id}", state, name="state")
    app.router.add_get("/sums/{id}/value", value)
    return app


def main(app: web.Application) -> None:
    # so that a client that goes away ends its wait
    web.run_app(app, host="127.0.0.1", port=int(os.environ.get("PORT", "8080")), handler_cancellation=True)


if __name__ == "__main__":
    main(service())
