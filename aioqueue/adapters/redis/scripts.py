"""Scripts: the Lua files, one a transition, read once and sent by their digest.

A header names each key and argument; ``Uses a, b`` in it puts ``lib/a.lua`` and ``lib/b.lua`` before. What
``Apart c, d`` names is the table ``apart`` of the functions of ``lib/c.lua`` and ``lib/d.lua``, which are
made when one is first asked for: a script makes its functions anew in each call, and most calls need few.
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
_APART: Final = re.compile(r"^Apart (.+)$", re.MULTILINE)
_FUNCTION: Final = re.compile(r"^local function (\w+)", re.MULTILINE)
_LATER: Final = """local apart = setmetatable({}, { __index = function(made, name)
setmetatable(made, nil)
%s
%s
return made[name]
end })
"""


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
    """Return the names of the files in ``lib`` that a script uses, at once or apart, in order."""
    return [*_named(_USES, source), *_named(_APART, source)]


def _named(line: re.Pattern[str], source: str) -> list[str]:
    found = line.search(header(source))
    return [] if found is None else [name.strip() for name in found[1].split(",")]


@cache
def script(name: str) -> Script:
    """Return the script of that name, with all that it uses."""
    source = _FOLDER.joinpath(f"{name}.lua").read_text("utf-8")
    parts = _libraries(_named(_USES, source))
    if later := "\n".join(_libraries(_named(_APART, source))):
        made = "\n".join(f"made.{name} = {name}" for name in _FUNCTION.findall(later))
        parts.append(_LATER % (later, made))
    text = "\n".join([*parts, _HEADER.sub("", source)])
    return Script(text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())


def _libraries(names: list[str]) -> list[str]:
    return [_HEADER.sub("", _FOLDER.joinpath("lib", f"{name}.lua").read_text("utf-8")) for name in names]
