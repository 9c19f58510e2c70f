"""Tasks in processes of their own: what they log is heard, and what they start disturbs nobody."""

from __future__ import annotations

import logging
import os
import subprocess
from multiprocessing import get_context

import pytest

from aioqueue import Server
from aioqueue.logs import Attempt, attempt_of
from tests.support.waiting import within


def noisy() -> str:
    """Start a program that reads, writes, and writes more than a pipe holds; fork, and log, badly too."""
    subprocess.run(["sh", "-c", "cat; echo told; head -c 2000000 /dev/zero >&2"], check=True)
    log = logging.getLogger("their.code")
    with get_context("fork").Pool(2) as pool:
        assert pool.map(abs, [-1, 2]) == [1, 2]
    log.info("they say %s", "this", extra={"order": 7})
    log.info("%d of them", "many")
    try:
        _ = 1 / 0
    except ZeroDivisionError:
        log.exception("no luck")
    return "done"


async def test_what_a_process_task_logs_is_heard_and_what_its_programs_write_disturbs_nobody(
    caplog: pytest.LogCaptureFixture,
) -> None:
    server = Server("memory://process-tasks")
    task = server.register_task("noisy", noisy, executor="process")
    with caplog.at_level(logging.INFO):
        async with server, server.worker():
            result = await task.send()
            assert await within(result.get(), deadline=60) == "done"

    said, wrong, failed = (record for record in caplog.records if record.name == "their.code")
    attempt = Attempt(result.id, "noisy", "default", 1)
    assert (said.getMessage(), attempt_of(said), vars(said)["order"]) == ("they say this", attempt, 7)
    assert wrong.getMessage().startswith("'%d of them' cannot be logged: TypeError: ")
    assert (failed.getMessage(), attempt_of(failed)) == ("no luck", attempt)
    assert str(failed.exc_text).endswith("ZeroDivisionError: division by zero")
    assert said.process != os.getpid()
