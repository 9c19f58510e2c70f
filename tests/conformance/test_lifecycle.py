"""Opening and closing: any number of times, each part for itself."""

from __future__ import annotations

import pytest

from aioqueue.ids import new_id
from aioqueue.models.state import State
from aioqueue.protocols.adapter import Adapter
from aioqueue.protocols.backend import Backend
from aioqueue.protocols.broker import Broker
from aioqueue.protocols.messages import Ending, Record, Settlement
from tests.support.stores import Place, backend_of, broker_of, lacks, store_of
from tests.support.waiting import lent, message, one, within

pytestmark = pytest.mark.anyio


async def works(broker: Broker, queue: str) -> bool:
    """Publish, take and settle."""
    await broker.publish([message(queue)])
    async with broker.consume([queue], prefetch=1, lease=600, worker="w") as consumer:
        return list(await consumer.settle([Settlement(await one(consumer))])) == [True]


async def keeps(backend: Backend, queue: str) -> bool:
    """Claim, commit and show."""
    delivery = lent(message(queue))
    await backend.claim([delivery], owner="owner", worker="w")
    await backend.commit([Ending(delivery, State.SUCCESS, value=b"1")], owner="owner")
    (record,) = await backend.get([delivery.message.id])
    return record is not None and record.value == b"1"


async def test_adapter_shows_its_url_without_credentials(adapter: Adapter, site: Place) -> None:
    assert adapter.url.partition("://")[0] == site.url.partition("://")[0]
    assert "@" not in adapter.url


async def test_close_may_be_called_again(site: Place) -> None:
    async with site.opened() as adapter:
        for part in (broker_of(adapter), backend_of(adapter)):
            await within(part.close())
            await within(part.close())


async def test_close_may_be_called_before_open(site: Place) -> None:
    adapter = site.connect()

    await within(broker_of(adapter).close())
    await within(backend_of(adapter).close())


async def test_open_may_be_called_again(site: Place, queue: str) -> None:
    async with site.opened() as adapter:
        broker, backend = broker_of(adapter), backend_of(adapter)
        await broker.open()
        await backend.open()

        assert await works(broker, queue)
        assert await keeps(backend, queue)


async def test_one_close_ends_what_was_opened_twice(site: Place, queue: str) -> None:
    async with site.opened() as adapter:
        broker, backend = broker_of(adapter), backend_of(adapter)
        await broker.open()
        await broker.close()
        await broker.open()

        assert await works(broker, queue)
        assert await keeps(backend, queue)


async def test_adapter_may_be_opened_again(site: Place, queue: str) -> None:
    async with site.opened() as adapter:
        broker, backend = broker_of(adapter), backend_of(adapter)
        for _ in range(3):
            await broker.close()
            await backend.close()
            await broker.open()
            await backend.open()

        assert await works(broker, queue)
        assert await keeps(backend, queue)


async def test_closing_one_part_leaves_the_other_open(site: Place, queue: str) -> None:
    async with site.opened() as adapter:
        broker, backend = broker_of(adapter), backend_of(adapter)
        await broker.close()
        kept = await keeps(backend, queue)
        await broker.open()
        await backend.close()
        worked = await works(broker, queue)

    assert (kept, worked) == (True, True)


async def test_closing_one_adapter_leaves_another_open(site: Place, queue: str) -> None:
    async with site.opened() as adapter:
        async with site.opened():
            pass

        assert await works(broker_of(adapter), queue)
        assert await keeps(backend_of(adapter), queue)


async def test_two_adapters_share_one_store(site: Place, queue: str) -> None:
    sent = message(queue)
    async with site.opened() as first, site.opened() as second:
        async with broker_of(second).consume([queue], prefetch=1, lease=600, worker="w") as consumer:
            await broker_of(first).publish([sent])
            await backend_of(first).put([Record(sent.id, "add", queue)])

            assert (await one(consumer)).message == sent
            assert await backend_of(second).get([sent.id]) == [Record(sent.id, "add", queue)]


async def test_what_was_accepted_outlives_the_adapter(site: Place, queue: str) -> None:
    sent, key = message(queue), new_id()
    async with site.opened() as adapter:
        if not broker_of(adapter).capabilities.durable:
            lacks("keeps nothing past its process")
        await broker_of(adapter).publish([sent])
        await backend_of(adapter).put([Record(sent.id, "add", queue)])
        await store_of(adapter).put(key, b"1")

    async with site.opened() as adapter:
        async with broker_of(adapter).consume([queue], prefetch=1, lease=600, worker="w") as consumer:
            assert (await one(consumer)).message == sent
        assert await backend_of(adapter).get([sent.id]) == [Record(sent.id, "add", queue)]
        assert await store_of(adapter).get(key) == b"1"


async def test_broker_and_backend_name_themselves(broker: Broker, backend: Backend, site: Place) -> None:
    assert broker.capabilities.name
    assert backend.capabilities.name
    assert broker.capabilities.recovery > 0
