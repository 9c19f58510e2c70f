"""What a worker says of itself."""

from __future__ import annotations

from dataclasses import replace

from aioqueue import Server
from aioqueue.cli.banner import banner


def test_credentials_are_left_out() -> None:
    server = Server("memory://")
    urls = ("redis://user:secret@host:6379/0", "amqp://user:secret@host/vhost")
    server.stores = replace(server.stores, urls=urls)
    said = banner(server, server.worker().options, processes=1, loop="asyncio")

    assert said.broker == "redis://host:6379/0"
    assert said.backend == "amqp://host/vhost"
    assert "secret" not in said.text
    assert "secret" not in str(said.data)


def test_app_without_tasks_is_told() -> None:
    server = Server("memory://")

    assert "none is registered" in banner(server, server.worker().options, processes=1, loop="asyncio").text


def test_store_that_is_lost_with_its_process_is_noted() -> None:
    server = Server("memory://")

    assert banner(server, server.worker().options, processes=1, loop="asyncio").notes == (
        "memory: what it holds is lost with it",
    )
