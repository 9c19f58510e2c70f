"""The command line by ``python -m aioqueue``.

A process that runs tasks with ``executor="process"`` imports this as well, and must not begin it anew.
"""

from aioqueue.cli import main

if __name__ == "__main__":
    main(prog_name="aioqueue")
