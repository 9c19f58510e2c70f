"""A FastAPI service that starts tasks, tells how they stand, and awaits their values.

From the top of the checkout, with fastapi and uvicorn installed, a worker and the service, each in a
terminal of its own:

    aioqueue worker examples.fastapi.tasks:server
    uvicorn examples.fastapi.app:app

and in a third one:

    curl -i --json '{"numbers": [1, 2, 3]}' localhost:8000/sums
    curl localhost:8000/sums/ID
    curl 'localhost:8000/sums/ID/value?timeout=5'

Tasks are kept in a SQLite file; with AIOQUEUE_BROKER=redis://localhost for both they are kept in Redis.
"""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Query, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel

from aioqueue import Server, State
from aioqueue.errors import (
    QueueFullError,
    ResultNotFoundError,
    ResultTimeoutError,
    TaskError,
    UnavailableError,
)
from examples.fastapi.tasks import server, total


class Sum(BaseModel):
    """What is to be added up."""

    numbers: list[int]


class Started(BaseModel):
    """A sum that a worker will run."""

    id: str


class Standing(BaseModel):
    """How a sum stands."""

    id: str
    state: State
    attempt: int


class Value(BaseModel):
    """What a sum came to."""

    id: str
    value: int


class Problem(BaseModel):
    """Why there is no such answer."""

    error: str
    message: str


STATUS: dict[type[Exception], int] = {
    ResultNotFoundError: 404,
    TaskError: 502,
    QueueFullError: 503,
    UnavailableError: 503,
    ResultTimeoutError: 504,
}
"""What is answered for each error. 504: ask again, the task goes on."""

PROBLEMS: dict[int | str, dict[str, Any]] = {status: {"model": Problem} for status in STATUS.values()}


async def problem(request: Request, error: Exception) -> JSONResponse:
    status = next(status for kind, status in STATUS.items() if isinstance(error, kind))
    name = error.type if isinstance(error, TaskError) else type(error).__name__
    return JSONResponse(Problem(error=name, message=str(error)).model_dump(), status)


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncGenerator[None]:
    async with server:
        yield


async def opened() -> Server:
    return server


Opened = Annotated[Server, Depends(opened)]
app = FastAPI(title="Sums", lifespan=lifespan, exception_handlers=dict.fromkeys(STATUS, problem))


@app.post("/sums", status_code=202, responses={503: PROBLEMS[503]})
async def start(wanted: Sum, server: Opened, response: Response) -> Started:
    result = await server.send(total.s(wanted.numbers))
    response.headers["Location"] = app.url_path_for("state", id=result.id)
    return Started(id=result.id)


@app.get("/sums/{id}", responses={404: PROBLEMS[404], 503: PROBLEMS[503]})
async def state(id: str, server: Opened) -> Standing:
    found = await server.result(id).state()
    return Standing(id=id, state=found.state, attempt=found.attempt)


@app.get("/sums/{id}/value", responses=PROBLEMS)
async def value(id: str, server: Opened, timeout: Annotated[float, Query(gt=0, le=30)] = 10) -> Value:
    return Value(id=id, value=await server.result(id, returns=int).get(timeout=timeout))
