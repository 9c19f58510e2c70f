"""A FastAPI service that streams what a task tells to a browser, by server-sent events.

From the top of the checkout, with fastapi and uvicorn installed, a worker and the service, each in a
terminal of its own:

    aioqueue worker examples.fastapi_sse.tasks:server
    uvicorn examples.fastapi_sse.app:app

Then open http://localhost:8000, or in a third one:

    curl -i --json '{"text": "one two three"}' localhost:8000/texts
    curl -N localhost:8000/texts/ID/events

A browser that loses the connection asks again with the id of the last event it got, and misses none. Tasks
are kept in a SQLite file; with AIOQUEUE_BROKER=redis://localhost for both they are kept in Redis.
"""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

from fastapi import FastAPI, Header, HTTPException, Response
from fastapi.responses import HTMLResponse, StreamingResponse
from pydantic import BaseModel

from aioqueue import StreamResult
from aioqueue.errors import ResultNotFoundError
from examples.fastapi_sse.tasks import server, words

PAGE = """<!doctype html>
<title>Words</title>
<form><input name="text" value="one two three four five" size="40"> <button>Start</button></form>
<progress value="0"></progress> <span id="state"></span>
<ol></ol>
<script>
const [form, bar, list] = ["form", "progress", "ol"].map(name => document.querySelector(name));
form.onsubmit = async submitted => {
  submitted.preventDefault();
  const answer = await fetch("/texts", {
    method: "POST",
    headers: {"Content-Type": "application/json"},
    body: JSON.stringify({text: form.text.value}),
  });
  const source = new EventSource(answer.headers.get("Location"));
  source.addEventListener("state", told => {
    const event = JSON.parse(told.data);
    document.querySelector("#state").textContent = event.state;
    if (event.state === "STARTED") list.replaceChildren();  // a run begins the stream anew
    if (["SUCCESS", "FAILURE", "CANCELLED", "EXPIRED"].includes(event.state)) source.close();
  });
  source.addEventListener("progress", told => {
    const event = JSON.parse(told.data);
    bar.max = event.total;
    bar.value = event.done;
  });
  source.addEventListener("value", told => {
    const item = document.createElement("li");
    item.textContent = JSON.parse(told.data).value;
    list.append(item);
  });
};
</script>
"""


class Text(BaseModel):
    """What is to be told word by word."""

    text: str


class Started(BaseModel):
    """A task that a worker will run."""

    id: str


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncGenerator[None]:
    async with server:
        yield


app = FastAPI(title="Words", lifespan=lifespan)


@app.get("/", response_class=HTMLResponse)
async def page() -> str:
    return PAGE


@app.post("/texts", status_code=202)
async def start(wanted: Text, response: Response) -> Started:
    result = await words.send(wanted.text)
    response.headers["Location"] = app.url_path_for("events", id=result.id)
    return Started(id=result.id)


@app.get("/texts/{id}/events")
async def events(id: str, last_event_id: Annotated[str | None, Header()] = None) -> StreamingResponse:
    result = words.result(id)
    try:
        await result.state()
    except ResultNotFoundError as exc:
        raise HTTPException(404, str(exc)) from None
    return StreamingResponse(
        sent(result, last_event_id), media_type="text/event-stream", headers={"Cache-Control": "no-cache"}
    )


async def sent(result: StreamResult[str], after: str | None) -> AsyncIterator[str]:
    async for event in result.events(after=after):
        # a traceback is nothing for a browser
        data = event.model_dump_json(exclude={"error": {"traceback"}})
        yield f"id: {event.id}\nevent: {event.kind}\ndata: {data}\n\n"
