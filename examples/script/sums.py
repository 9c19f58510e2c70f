"""A script that sends calls, awaits their values, and says what has failed.

From the top of the checkout, a worker and the script, each in a terminal of its own:

    aioqueue worker examples.script.sums:server
    python -m examples.script.sums

Tasks are kept in a SQLite file; with AIOQUEUE_BROKER=redis://localhost for both they are kept in Redis.
"""

import asyncio

from aioqueue import AsyncResult, Server
from aioqueue.errors import ResultTimeoutError, TaskError

server = Server(queue="sums")


@server.task
async def total(numbers: list[int]) -> int:
    await asyncio.sleep(0.1)  # stands for work
    if not numbers:
        raise ValueError("there is nothing to add up")
    return sum(numbers)


async def tell(numbers: list[int], result: AsyncResult[int]) -> None:
    try:
        print(f"the sum of {numbers} is {await result.get(timeout=10)}")
    except TaskError as error:
        print(f"the sum of {numbers} has failed: {error}")
    except ResultTimeoutError:
        print(f"the sum of {numbers} takes longer; it goes on as {result.id}")


async def main() -> None:
    lists = [[1, 2, 3], [10, 20], []]
    async with server:
        results = await server.send_many(total.s(numbers) for numbers in lists)
        await asyncio.gather(*map(tell, lists, results))


if __name__ == "__main__":
    asyncio.run(main())
