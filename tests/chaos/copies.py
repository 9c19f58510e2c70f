"""Copies of the package with changes in its text: counters that the store keeps itself, and mutants.

A worker started in a copy's folder runs the copy. A change that no longer finds its place fails, so
that no mutant passes for the original.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from aioqueue.adapters.redis import scripts
from tests.support.processes import ROOT

ADAPTER = "aioqueue/adapters/redis"
PACKAGE = "aioqueue"


@dataclass(frozen=True, slots=True)
class Change:
    """*old* becomes *new* wherever it stands in a file; '' stands for a new file."""

    file: str
    old: str
    new: str


COUNTED: tuple[Change, ...] = (
    Change(
        "lua/finish.lua",
        "    -- whose it is stands there already\n",
        "    redis.call('HINCRBY', P .. 'commits', id, 1)\n    -- whose it is stands there already\n",
    ),
    Change(
        "lua/lib/ending.lua",
        "  if e.tracked == '1' then\n    write_record(e, record, f)",
        "  if FINAL[e.state] then\n    redis.call('HINCRBY', P .. 'commits', e.id, 1)\n  end\n"
        "  if e.tracked == '1' then\n    write_record(e, record, f)",
    ),
    Change(
        "lua/lib/ending.lua",
        "  elseif not verdict then\n",
        "  elseif not verdict then\n    redis.call('HINCRBY', P .. 'told', 'refused', 1)\n",
    ),
    Change(
        "lua/reap.lua",
        "if moved < 100 then\n",
        "redis.call('HINCRBY', P .. 'told', why, moved)\nif moved < 100 then\n",
    ),
    Change(
        "lua/judge.lua",
        "  if lease <= tonumber(ARGV[1])",
        "  if lease <= tonumber(ARGV[1]) then\n    redis.call('HINCRBY', P .. 'told', 'judged', 1)\n  end\n"
        "  if lease <= tonumber(ARGV[1])",
    ),
)
"""Keeps in ``commits`` how often each task ended for good, in the step that ends it, and in ``told`` how
many ends were refused, how many messages a reaper handed on, and how often somebody was judged."""

DECIDED: tuple[Change, ...] = (
    Change(
        "lua/lib/flow.lua",
        "  redis.call('HSET', record_key(id), 's', state, 'f', text(NOW))\n",
        "  redis.call('HSET', record_key(id), 's', state, 'f', text(NOW))\n"
        "  redis.call('HINCRBY', P .. 'commits', id, 1)\n",
    ),
)
"""Counts there what ends by the end of others: a task that went on as a workflow, and one that is barred."""

COUNTERS = ("commits", "told")

DOOMED: tuple[Change, ...] = (
    Change(
        "core.py",
        "    async def _once(self, name: str, args: Sequence[Value]) -> Any:\n",
        "    async def _once(self, name: str, args: Sequence[Value]) -> Any:\n"
        "        reply = await self._asked(name, args)\n"
        "        if name in os.environ.get('DOOM', '').split():\n"
        "            os.kill(os.getpid(), 9)\n"
        "        return reply\n\n"
        "    async def _asked(self, name: str, args: Sequence[Value]) -> Any:\n",
    ),
)
"""A process dies by SIGKILL as soon as a script that DOOM names has answered."""

LISTENING = (Change("consumer.py", "_BLOCK: Final = 5.0", "_BLOCK: Final = 30.0"),)
"""A blocking read outlasts a short lease, as it does where a process is stopped just before it asks."""


def copied(folder: Path, changes: Sequence[Change], *, of: str = ADAPTER) -> Path:
    """Copy the package into *folder*, which is new, and change it; return the folder.

    of: where the changed files are, from the root of the repository.
    """
    shutil.copytree(ROOT / "aioqueue", folder / "aioqueue")
    for change in changes:
        file = folder / of / change.file
        if not change.old:
            file.write_text(change.new)
            continue
        text = file.read_text()
        assert change.old in text, f"{change.file} has no {change.old!r}"
        file.write_text(text.replace(change.old, change.new))
    return folder


def environment(folder: Path) -> dict[str, str]:
    """Return what a process needs that is started in a copy's folder: it finds the copy first."""
    return {"PYTHONPATH": os.pathsep.join((str(folder), str(ROOT)))}


@contextmanager
def sending(folder: Path) -> Generator[None]:
    """Have this process use a copy's scripts too."""
    patch: Any
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scripts, "_FOLDER", folder / ADAPTER / "lua")
        scripts.script.cache_clear()
        try:
            yield
        finally:
            scripts.script.cache_clear()
