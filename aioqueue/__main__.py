"""The command line by ``python -m aioqueue``."""

from aioqueue.cli import main

main(prog_name="aioqueue")
