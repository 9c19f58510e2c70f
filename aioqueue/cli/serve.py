"""The worker process: load the app, say what starts, run until told to stop, and leave in time.

Threads cannot be interrupted: where one still runs the user's code after the worker has given its
task back, the process leaves without waiting for it.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from importlib.util import find_spec
from types import FrameType
from typing import Final, Never, cast

from aioqueue.cli import apps, known, logs
from aioqueue.cli.banner import banner
from aioqueue.cli.reload import reloading
from aioqueue.cli.worker import Flags, Loop
from aioqueue.errors import ConfigurationError, MissingExtraError, UnavailableError
from aioqueue.server import Server
from aioqueue.weights import plain, weighed
from aioqueue.worker import Worker
from aioqueue.worker.birth import bury
from aioqueue.worker.supervisor import BURIAL, Supervisor, orphaned

_log = logging.getLogger("aioqueue.worker")

_LINGER: Final = 0.2
"""Seconds that tasks and threads get to end after the worker."""

_HEALTH: Final = 3.0
"""Seconds the store gets to say how it is."""


def serve(flags: Flags) -> None:
    """Run one worker, or supervise several, and exit."""
    quit_at_signals()
    logs.configure(flags.log_level, flags.log_format)
    if flags.supervised_by is not None and not flags.announce:
        # what is ignored of file and variables was told by the parent, or by the first of its children
        logging.getLogger("aioqueue.config").setLevel(logging.ERROR)
    if flags.reload and flags.supervised_by is None:
        sys.exit(asyncio.run(reloading(flags)))
    server = apps.shared(apps.load(flags.app))
    worker = server.worker(
        queues=served(server, flags),
        strict=flags.strict or None,
        concurrency=flags.concurrency,
        max_tasks=flags.max_tasks,
        name=flags.name,
        grace=flags.shutdown_timeout,
        scheduler=not flags.no_scheduler,
        birth=flags.birth,
    )
    loop, make_loop = _loop(flags.loop)
    if flags.supervised_by is None or flags.announce:
        health = asyncio.run(_health(server))
        said = banner(server, worker.options, processes=flags.processes, loop=loop, health=health)
        if flags.log_format == "json":
            _log.info("launching a worker", extra={logs.DATA: said.data})
        else:
            print(said.text, file=sys.stderr, flush=True)
    if flags.processes > 1:
        sys.exit(asyncio.run(_supervise(flags, server, worker)))
    with asyncio.Runner(loop_factory=make_loop) as runner:
        if flags.bury:
            runner.run(_bury(server, flags.bury))
        runner.run(_work(worker, flags))


def served(server: Server, flags: Flags) -> tuple[str, ...] | None:
    """Return the queues to serve, with their weights, None where the settings say.

    Raises ConfigurationError if none is left.
    """
    if not flags.excluded:
        return flags.queues or None
    specs = flags.queues or server.settings.queues or tuple(map(plain, known.of_app(server)))
    try:
        names = [weighed([spec])[0][0] for spec in specs]
    except ValueError as exc:
        raise ConfigurationError(f"--queue: {exc}") from None
    told = flags.supervised_by is None or flags.announce
    if told and (unknown := [name for name in flags.excluded if name not in names]):
        _log.warning(
            "--exclude-queue: no queue %s is known; there are %s", ", ".join(unknown), ", ".join(names)
        )
    left = tuple(spec for spec, name in zip(specs, names, strict=True) if name not in flags.excluded)
    if not left:
        raise ConfigurationError(
            f"--exclude-queue leaves none of the queues {', '.join(names)}; name others with --queue"
        )
    return left


async def _health(server: Server) -> Sequence[str]:
    """Return what the store says of itself; one that is away is waited for by the worker, not here.

    Raises ConfigurationError.
    """

    async def ask() -> Sequence[str]:
        async with server:
            return await server.stores.broker.health()

    asking = asyncio.create_task(ask(), name="health")
    if not (await asyncio.wait({asking}, timeout=_HEALTH))[0]:
        asking.cancel()
        # what it closes may not answer either, and is left at the end of the loop
        await asyncio.wait({asking}, timeout=_LINGER)
        return [f"cannot be reached: no answer within {_HEALTH:g} s"]
    try:
        return asking.result()
    except UnavailableError as exc:
        return [f"cannot be reached: {exc}"]


async def _supervise(flags: Flags, server: Server, worker: Worker) -> int:
    """Run several worker processes; *worker*, which is not run, has read the settings."""
    options = worker.options

    def command(number: int, birth: str) -> list[str]:
        return flags.child(f"{options.name}.{number}", os.getpid(), birth).argv()

    async def buried(birth: str) -> bool:
        async with server:
            return await bury(server.stores, birth)

    supervisor = Supervisor(
        command, processes=flags.processes, grace=options.grace, burst=flags.burst, buried=buried
    )
    return await supervisor.run()


async def _bury(server: Server, births: Sequence[str]) -> None:
    """Bury those that were here before, as far as they had no time to leave, and the store answers."""
    try:
        async with asyncio.timeout(BURIAL), server:
            for birth in births:
                await bury(server.stores, birth)
    except (UnavailableError, TimeoutError) as exc:
        why = str(exc) or "the store does not answer"
        _log.error("what the process before held runs only when its lease has lapsed: %s", why)


async def _work(worker: Worker, flags: Flags) -> None:
    over = asyncio.Event()
    watching = asyncio.create_task(_watch(worker, flags.supervised_by, over), name="watch-supervisor")
    try:
        await worker.run(until_idle=flags.burst)
    finally:
        over.set()
        await watching
    _log.info("worker %s has ended; tasks done: %d", worker.options.name, worker.done)
    if not await _all_ended() or worker.busy_threads:
        _log.warning("what does not end is left: the process exits without it")
        _leave()


async def _watch(worker: Worker, supervisor: int | None, over: asyncio.Event) -> None:
    """Stop *worker* when the process *supervisor* is no longer there."""
    if supervisor is not None and await orphaned(supervisor, over):
        _log.error("the supervisor is gone, so worker %s stops", worker.options.name)
        await worker.stop()


async def _all_ended() -> bool:
    """Cancel what is left on the loop; False if it, or a thread it waits for, does not end in time."""
    loop = asyncio.get_running_loop()
    left = asyncio.all_tasks() - {asyncio.current_task()}
    for task in left:
        task.cancel()
    threads = loop.create_task(loop.shutdown_default_executor(), name="shutdown-threads")
    _, late = await asyncio.wait([*left, threads], timeout=_LINGER)
    return not late


def _leave() -> Never:
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


def _loop(name: Loop) -> tuple[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Return the loop that is used and what makes it. Raises MissingExtraError."""
    there = find_spec("uvloop") is not None
    if name == "uvloop" and not there:
        raise MissingExtraError("uvloop", "uvloop")
    if name == "asyncio" or not there:
        return "asyncio", asyncio.new_event_loop
    return "uvloop", cast(Callable[[], asyncio.AbstractEventLoop], import_module("uvloop").new_event_loop)


def quit_at_signals() -> None:
    """Let a stop be one before the worker runs, and after, too: it ends with 0."""

    def leave(_number: int, _frame: FrameType | None) -> None:
        sys.exit(0)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, leave)
