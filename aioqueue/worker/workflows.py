"""Workflows: what a node takes, and starting what a task has released or goes on as."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from hashlib import blake2s
from typing import Any, Final

from aioqueue import codec
from aioqueue.canvas import Plan
from aioqueue.layout import Stead
from aioqueue.models.signature import Signature
from aioqueue.models.state import ErrorInfo
from aioqueue.opener import Opener
from aioqueue.packing import Packer, digest_of
from aioqueue.protocols.flow import Node, Opening
from aioqueue.protocols.messages import Message
from aioqueue.stores import Stores
from aioqueue.worker.inputs import fault, taken

LONG: Final = 80
"""Characters of a workflow's id, which its nodes' ids begin with, up to which it says where it stands."""


def digested(id: str) -> str:
    """Return what stands for an id that is too long."""
    return blake2s(id.encode(), digest_size=16).hexdigest()


class Workflows:
    """Workflows of one pair of stores."""

    def __init__(self, stores: Stores, packer: Packer) -> None:
        self._opener = Opener(stores.submitter(), stores.backend, packer)
        self._backend = stores.backend
        self._clock = stores.clock

    async def take(self, source: str, streamed: bool) -> Any:
        """Return what a node takes, whole or as a stream. Raises InputGoneError, BackendUnavailableError."""
        return await taken(self._backend, source, streamed)

    async def fault(self, source: str) -> ErrorInfo:
        """Return the error that a node is called for. Raises InputGoneError, BackendUnavailableError."""
        return await fault(self._backend, source)

    async def instead(
        self, call: Signature, message: Message, of: Signature, error: ErrorInfo | None = None
    ) -> Opening | None:
        """Keep *call*, as which the task of *message* goes on; return how it is started. Safe to repeat.

        of: the call that the task is, whose callbacks are released when it has ended. error: what *call* is
        made for, which its first calls are told. A task without a record
        has nothing to go on with: *call* is started then, and nothing returned. Raises as a send does.
        """
        # another attempt at this may return something else
        name = f"{message.id}.{message.attempt}.{digest_of(call)}"
        # one that goes on again and again has no end of dots
        id = name if len(name) <= LONG else digested(name)
        if not message.tracked:
            callbacks = {
                "on_success": (*call.on_success, *of.on_success),
                "on_error": (*call.on_error, *of.on_error),
            }
            await self._opener.start(await self._compiled(call.model_copy(update=callbacks), id))
            return None
        plan = await self._compiled(call, id, Stead(message.id, of.on_success, of.on_error))
        if error is not None:
            plan = _told(plan, error)
        await self._opener.keep(plan)
        return self._opener.opening(plan)

    async def _compiled(self, call: Signature, id: str, stead: Stead | None = None) -> Plan:
        # a great one takes a while
        return await asyncio.to_thread(self._opener.compile, call, id=id, now=self._clock.time(), stead=stead)


def _told(plan: Plan, error: ErrorInfo) -> Plan:
    """Return *plan* with the error that its first calls are made for."""

    def told(node: Node) -> Node:
        message = node.message
        return replace(node, message=replace(message, body=codec.called_for(message.body, error)))

    first, count = plan.start.first, plan.start.count
    nodes = plan.nodes
    return replace(plan, nodes=(*nodes[:first], *map(told, plan.starting), *nodes[first + count :]))
