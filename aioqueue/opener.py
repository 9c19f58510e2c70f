"""Opener: starts workflows. They are compiled, kept page by page, and opened once all of it is kept."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from typing import Any

from aioqueue import codec
from aioqueue.canvas import Plan, compiled
from aioqueue.errors import QueueFullError, SignatureError, UnavailableError
from aioqueue.ids import new_id
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

    async def keep(self, plan: Plan, *, concurrency: int = WRITERS) -> str:
        """Keep a plan, at most *concurrency* pages of it at a time; safe to repeat.

        Returns the name under which that may be taken back, as it is here if it is refused. Raises
        UnavailableError, QueueFullError, TakenError.
        """
        keeper = new_id() if plan.digest else ""
        try:
            await self._keep(plan, keeper, concurrency)
        except (QueueFullError, TakenError):
            await self.retract(plan, keeper)
            raise
        return keeper

    async def retract(self, plan: Plan, keeper: str) -> None:
        """Take back what was kept of a plan that will not be opened; if it cannot be, it lapses as one whose
        sender has died."""
        if plan.digest:
            with suppress(UnavailableError):
                await self._backend.retract(plan.id, keeper)

    async def _keep(self, plan: Plan, keeper: str, concurrency: int) -> None:
        left = deque(pages(plan, keeper))
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


def pages(plan: Plan, keeper: str = "") -> Iterator[Page]:
    """Return *plan* in pages, as a *keeper* keeps them."""
    longest = max(len(plan.nodes), len(plan.joins), len(plan.scopes))
    for first in range(0, longest, PAGE):
        part = slice(first, first + PAGE)
        yield Page(plan.nodes[part], plan.joins[part], plan.scopes[part], plan.digest, keeper)
