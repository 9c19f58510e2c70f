"""Scripts: the Lua files, one a transition, read once and sent by their digest.

A header names each key and argument; ``Uses a, b`` in it puts ``lib/a.lua`` and ``lib/b.lua`` before.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Final

_FOLDER: Final = files("aioqueue.adapters.redis").joinpath("lua")
_HEADER: Final = re.compile(r"\A--\[\[\n(.*?)\]\]\n", re.DOTALL)
_USES: Final = re.compile(r"^Uses (.+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Script:
    """A script as it is sent, and its digest."""

    text: str
    digest: str


def header(source: str) -> str:
    """Return what a file's header says. Raises ValueError if it has none."""
    found = _HEADER.match(source)
    if found is None:
        raise ValueError("a script begins with its header")
    return found[1]


def uses(source: str) -> list[str]:
    """Return the names of the files in ``lib`` that a script uses, in order."""
    found = _USES.search(header(source))
    return [] if found is None else [name.strip() for name in found[1].split(",")]


@cache
def script(name: str) -> Script:
    """Return the script of that name, with all that it uses."""
    source = _FOLDER.joinpath(f"{name}.lua").read_text("utf-8")
    parts = [*(_FOLDER.joinpath("lib", f"{part}.lua").read_text("utf-8") for part in uses(source)), source]
    text = "\n".join(_HEADER.sub("", part) for part in parts)
    return Script(text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())
