"""Opener: starts workflows. They are compiled, kept page by page, and opened once all of it is kept."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from aioqueue import codec
from aioqueue.canvas import Plan, compiled
from aioqueue.errors import SignatureError
from aioqueue.layout import Stead
from aioqueue.models.signature import Signature
from aioqueue.models.workflow import WRITERS
from aioqueue.packing import Packer, digest_of, require_releasable
from aioqueue.protocols.backend import Backend
from aioqueue.protocols.finisher import Submitter
from aioqueue.protocols.flow import PAGE, Opening, Page
from aioqueue.protocols.messages import Message
from aioqueue.uniqueness import require_plain


class TakenError(SignatureError):
    """The id of a workflow belongs to something else."""


class Opener:
    """Starts workflows: they are compiled, kept page by page, and opened once all of it is kept."""

    def __init__(self, submitter: Submitter, backend: Backend, packer: Packer) -> None:
        self._submitter = submitter
        self._backend = backend
        self._packer = packer

    def compile(
        self,
        call: Signature[Any],
        *,
        id: str,
        now: float,
        stead: Stead | None = None,
        ahead: bool = False,
    ) -> Plan:
        """Return *call* as it is kept under *id*.

        stead: the task that goes on as it. ahead: look at what it releases later as well.
        Raises SignatureError, PayloadTooLargeError.
        """

        def pack(part: Signature, node: str, source: str | None) -> Message:
            require_plain(part)
            if ahead:
                require_releasable(part, node)
            # what comes after it needs its value, whoever ignores it
            kept = part.model_copy(update={"ignore_result": False}) if part.ignore_result else part
            return self._packer.message(kept, id=node, now=now, takes_from=source)

        plan = compiled(call, id=id, pack=pack, stead=stead)
        if call.result_ttl is not None:
            plan = replace(plan, ttl=call.result_ttl)
        # an id that somebody has chosen may come again, and with something else
        return plan if call.id is None else replace(plan, digest=digest_of(call))

    async def keep(self, plan: Plan, *, concurrency: int = WRITERS) -> None:
        """Keep a plan, at most *concurrency* pages of it at a time; safe to repeat.

        Raises UnavailableError, QueueFullError, TakenError.
        """
        left = deque(pages(plan))
        foreign: list[str] = []

        async def write() -> None:
            while left:
                try:
                    foreign.extend(await self._backend.plan(left.popleft()))
                except BaseException:
                    left.clear()
                    raise

        # whoever fails, the others are waited for
        ended = await asyncio.gather(
            *[write() for _ in range(min(concurrency, len(left)))], return_exceptions=True
        )
        for error in ended:
            if error is not None:
                raise error
        if foreign:
            raise TakenError(
                f"id={plan.id!r}: another workflow has it, or a task has {foreign[0]!r}, as a node of this "
                "one is called; choose another id"
            )

    def opening(self, plan: Plan) -> Opening:
        """Return how a plan that is kept is started."""
        outline = codec.encode_value(plan.outline)
        return Opening(plan.id, plan.start, plan.full, plan.result, plan.root, outline, plan.ttl)

    async def start(self, plan: Plan, *, concurrency: int = WRITERS) -> bool:
        """Keep a plan and start it, once all of it is kept; False if it was before. Safe to repeat.

        Raises as ``keep``.
        """
        await self.keep(plan, concurrency=concurrency)
        return await self._submitter.open_workflow(self.opening(plan))


def pages(plan: Plan) -> Iterator[Page]:
    """Return *plan* in pages."""
    longest = max(len(plan.nodes), len(plan.joins), len(plan.scopes))
    for first in range(0, longest, PAGE):
        part = slice(first, first + PAGE)
        yield Page(plan.nodes[part], plan.joins[part], plan.scopes[part], plan.digest)
