"""The command line: one verb a file, each loaded when it is called.

Only click is imported before a verb runs: help must not pay for pydantic, a store's client or rich.
"""

from aioqueue.cli.group import main

__all__ = ["main"]
