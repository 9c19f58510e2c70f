"""The client: sends a call by name, without the task's code, and awaits its result."""

import asyncio
import os
from pathlib import Path

from aioqueue import Server, Signature


async def main() -> None:
    print(f"client pid {os.getpid()}")
    async with Server.from_config(Path(__file__).with_name("config.yml")) as server:
        result = await server.send(Signature(name="sum", args=[[1, 2, 3, 4, 5, 6, 7, 8, 9, 10]]))
        print(f"sent sum[{result.id}]")
        print(f"the sum of 1 to 10 is {await result.get(timeout=30)}")


if __name__ == "__main__":
    asyncio.run(main())
