"""Tasks that are sent by the clock, and a schedule that is added, paused and removed while workers run.

From the top of the checkout, a worker and the script, each in a terminal of its own:

    aioqueue worker examples.periodic.reports:server
    python -m examples.periodic.reports

Tasks are kept in a SQLite file; with AIOQUEUE_BROKER=redis://localhost for both they are kept in Redis.
"""

import asyncio
from datetime import timedelta

from aioqueue import Server, chord, current, group

server = Server(queue="reports")


@server.task
async def count(shop: int) -> int:
    return shop * 10


@server.periodic(timedelta(seconds=1), overlap="skip")
@server.task
async def tick() -> str:
    return f"the slot at {current().headers['aioqueue-slot']}"


@server.task
async def report(counts: list[int]) -> str:
    return f"{sum(counts)} sold in {len(counts)} shops"


server.schedule(
    "daily-report",
    "30 7 * * 1-5",
    chord(group(count.s(shop) for shop in range(3)), report.p()),
    tz="Europe/London",
    misfire="once",
)


async def main() -> None:
    async with server:
        (first,) = await server.schedules.next("daily-report")
        print(f"the daily report comes next at {first:%H:%M} in {first.tzinfo}")
        print(f"and now as well: {await (await server.schedules.trigger('daily-report')).get(timeout=30)}")

        await server.schedules.add("shop-7", "@hourly", count.s(7))
        await server.schedules.pause("tick")
        for schedule in await server.schedules.list():
            state = "paused" if schedule.paused else "on"
            print(f"{schedule.name}: {schedule.when}, sends {schedule.task}, {state}")
        await server.schedules.resume("tick")
        await server.schedules.remove("shop-7")


if __name__ == "__main__":
    asyncio.run(main())
