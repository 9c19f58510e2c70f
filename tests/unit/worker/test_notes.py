"""Notes: what a run tells is written in batches; values wait, progress is replaced, and a refusal ends it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, cast

import pytest

from aioqueue.errors import BackendUnavailableError, PayloadTooLargeError, SignatureError
from aioqueue.protocols import log
from aioqueue.protocols.backend import Backend
from aioqueue.protocols.log import Note
from aioqueue.protocols.messages import Message
from aioqueue.worker import notes as room
from aioqueue.worker.notes import Notes
from tests.support.waiting import eventually, within

pytestmark = pytest.mark.anyio


class Pad:
    """A backend that keeps notes, and answers when it is let."""

    def __init__(self) -> None:
        self.batches: list[tuple[int, list[Note]]] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.answer: bool | Exception = True

    async def note(self, id: str, notes: Sequence[Note], *, first: int, attempt: int, owner: str) -> bool:
        await self.gate.wait()
        if isinstance(self.answer, Exception):
            raise self.answer
        if self.answer:
            self.batches.append((first, list(notes)))
        return self.answer

    @property
    def data(self) -> list[bytes]:
        return [note.data for _, batch in self.batches for note in batch]


@pytest.fixture
def pad() -> Pad:
    return Pad()


@pytest.fixture
def notes(pad: Pad) -> Notes:
    return Notes(cast("Backend", pad), "owner", Message("t", "rows", "default", b""), 1_000)


def same(value: object) -> Any:
    return value


async def test_batches_say_how_many_were_written_before(pad: Pad, notes: Notes) -> None:
    for number in range(3):
        await notes.value(number, same)
    await within(notes.written())
    await notes.value(3, same)
    await within(notes.written())

    assert [first for first, _ in pad.batches] == [0, 3]
    assert pad.data == [b"0", b"1", b"2", b"3"]


async def test_values_wait_for_a_store_that_is_slow(pad: Pad, notes: Notes) -> None:
    pad.gate.clear()
    told = 0

    async def tell() -> None:
        nonlocal told
        for number in range(2_000):
            await notes.value(number, same)
            told += 1

    telling = asyncio.create_task(tell())
    await eventually(lambda: told >= 199)
    assert told < 500
    pad.gate.set()
    await within(telling)
    await within(notes.written())

    assert pad.data == [b"%d" % number for number in range(2_000)]


async def test_progress_takes_the_place_of_what_has_not_left(pad: Pad, notes: Notes) -> None:
    pad.gate.clear()
    notes.progress(b"gone")
    await asyncio.sleep(0)
    await notes.value(1, same)
    for number in range(100):
        notes.progress(b"p%d" % number)
    pad.gate.set()
    await within(notes.written())

    assert pad.data == [b"gone", b"1", b"p99"]


async def test_store_that_is_away_is_asked_again(pad: Pad, notes: Notes) -> None:
    pad.answer = BackendUnavailableError("away")
    await notes.value(1, same)
    writing = asyncio.create_task(notes.written())
    await asyncio.sleep(0)
    pad.answer = True
    await within(writing)

    assert pad.data == [b"1"]


async def test_run_that_is_not_ours_any_more_goes_on_unheard(pad: Pad, notes: Notes) -> None:
    pad.answer = False
    for number in range(1_000):
        await within(notes.value(number, same))
    notes.progress(b"p")
    await within(notes.written())

    assert pad.data == []


async def test_fault_of_the_store_is_met_by_who_tells_on(pad: Pad, notes: Notes) -> None:
    pad.answer = RuntimeError("broken")
    await notes.value(1, same)
    with pytest.raises(RuntimeError, match="broken"):
        await within(notes.written())
    await notes.leave(write=True)


async def test_value_that_cannot_be_told_is_a_refusal(
    pad: Pad, notes: Notes, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(value: object) -> Any:
        raise SignatureError("no int")

    with pytest.raises(SignatureError) as refused:
        await notes.value("x", refuse)
    assert notes.refusal is refused.value

    with pytest.raises(PayloadTooLargeError, match="max_payload is 1000"):
        await notes.value("x" * 1_000, same)

    monkeypatch.setattr(room, "LOG_VALUES", 3)
    await notes.value(1, same)
    await notes.value(2, same)
    with pytest.raises(PayloadTooLargeError, match="4 values"):
        await notes.value(3, same)
    await within(notes.written())
    assert log.LOG_VALUES == 100_000


async def test_what_was_told_is_written_when_the_run_has_failed(pad: Pad, notes: Notes) -> None:
    await notes.value(1, same)
    await within(notes.leave(write=True))

    assert pad.data == [b"1"]


async def test_who_leaves_waits_only_for_a_moment(pad: Pad, notes: Notes) -> None:
    pad.gate.clear()
    await notes.value(1, same)
    await within(notes.leave(write=True))

    assert pad.data == []


async def test_progress_that_was_replaced_takes_up_no_room(pad: Pad, notes: Notes) -> None:
    pad.gate.clear()
    for number in range(2_000):
        notes.progress(b"%d " % number + b"x" * 1_000)

    pad.gate.set()
    await within(notes.value(1, same))
    await within(notes.written())

    assert pad.data[-1] == b"1"
