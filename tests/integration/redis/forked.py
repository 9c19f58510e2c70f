"""A process that forks with an open adapter: ``python forked.py <url>``; both halves use it, and say so."""

from __future__ import annotations

import asyncio
import os
import sys
import warnings

from aioqueue import Server, Signature


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


async def send(server: Server, who: str) -> None:
    """Send a task, and see that it stands."""
    result = await server.send(Signature[None](name="work"))
    state = await result.state()
    say(f"{who} {state.id == result.id} {state.state.value}")


async def use(server: Server, who: str) -> None:
    """Open it, and send."""
    async with server:
        await send(server, who)


async def main(server: Server) -> None:
    async with server:
        await send(server, "before")
        pid = os.fork()
        if pid == 0:
            # the loop is the parent's, and is left as it is
            try:
                _child(server)
            finally:
                os._exit(0)
        await asyncio.to_thread(os.waitpid, pid, 0)
        await send(server, "parent")


def _child(server: Server) -> None:
    asyncio._set_running_loop(None)
    asyncio.run(use(server, "child"))


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main_server = Server(sys.argv[1])
    asyncio.run(main(main_server))
    asyncio.run(use(main_server, "second loop"))
