"""The tasks: what a worker can run. Start one here with ``aioqueue worker tasks:server``."""

from pathlib import Path

from aioqueue import Server

server = Server.from_config(Path(__file__).with_name("config.yml"))


async def total(numbers: list[int]) -> int:
    return sum(numbers)


server.register_task("sum", total)
