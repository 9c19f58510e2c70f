"""Flow: what scripts return of workflows, and what a workflow goes on with."""

from __future__ import annotations

import pytest

from aioqueue.adapters.redis.core import Access, Core
from aioqueue.adapters.redis.flow import came_to, fault, members, messages, plan
from aioqueue.adapters.redis.options import parse
from aioqueue.codec import decode_error
from aioqueue.errors import BackendUnavailableError
from aioqueue.models.state import State
from aioqueue.protocols.flow import Join, Kind, Member, Members, Node, Opening, Page, Range, Scope
from aioqueue.protocols.messages import Ending, Message
from tests.support.waiting import lent, message

pytestmark = pytest.mark.anyio


def access() -> Access:
    """Return an access that is not open."""
    return Access(Core(parse("redis://localhost")), BackendUnavailableError)


def test_message_is_read_back_to_the_last_digit() -> None:
    row = (b"wf.1", b"add", b"q", b"2 1 9 1 1700000001000 124 12.5 1700000000.9999999 0.1234567", b"\x00 x")

    assert messages([row]) == [
        Message("wf.1", "add", "q", b"\x00 x", 2, 1, 9, 1700000000.9999999, 0.1234567, True, 12.5)
    ]


def test_message_without_eta_has_none() -> None:
    (read,) = messages([(b"wf.open.200", b"aioqueue.open", b"q", b"1 0 3 0 0 0 0.0 - 0.0", b"200 5")])

    assert (read.eta, read.tracked, read.priority) == (None, False, 3)


def test_members_are_read_by_their_kinds() -> None:
    assert members([4, 0, b"v1", None, b"e{}", b"jwf.7"]) == Members(
        4, False, (Member(Kind.VALUE, b"1"), None, Member(Kind.ERROR, b"{}"), Member(Kind.JOIN, b"wf.7"))
    )
    assert members([1, 1]) == Members(1, True, ())


def test_join_that_is_not_there_has_no_members() -> None:
    assert members([]) is None


@pytest.mark.parametrize(
    ("state", "kind"),
    [
        (State.FAILURE, "TaskFailedError"),
        (State.CANCELLED, "TaskCancelledError"),
        (State.EXPIRED, "TaskExpiredError"),
    ],
)
def test_workflow_goes_on_with_an_error_where_none_was_said(state: State, kind: str) -> None:
    delivery = lent(message("q", id="wf.1"))

    said = decode_error(fault(Ending(delivery, state)))
    assert (said.type, said.message, said.task_id) == (kind, f"add ended {state}", "wf.1")
    assert fault(Ending(delivery, state, error=b"{}")) == b"{}"


@pytest.mark.parametrize("state", [State.SUCCESS, State.RETRY])
def test_what_is_no_failure_has_no_error(state: State) -> None:
    assert fault(Ending(lent(message("q")), state)) == b""


def test_task_that_goes_on_comes_to_its_opening() -> None:
    opening = Opening("wf.1", Range(0, 3), ("wf.1.4", "wf.1.5"), "wf.1.6", "wf.1.7", b"[]")

    assert came_to(Ending(lent(message("q")), State.STARTED, opening=opening)) == (
        "wf.1\nwf.1.7\nwf.1.6\n0 3 3600000 wf.1.4 wf.1.5",
        b"[]",
    )
    assert came_to(Ending(lent(message("q")), State.SUCCESS, value=b"1")) == (b"1", b"")


@pytest.mark.parametrize(
    "page",
    [
        Page(nodes=(Node(message("q", id="plain")),)),
        Page(joins=(Join("wf.x", 1),)),
        Page(scopes=(Scope("wf.007"),)),
    ],
)
async def test_part_that_has_no_number_is_refused(page: Page) -> None:
    with pytest.raises(ValueError, match=r"is not <workflow>\.<number>"):
        await plan(access(), page)


async def test_page_of_nothing_asks_for_nothing() -> None:
    await plan(access(), Page())
