"""SettingsFile: what a YAML file says, each value with its line; machinery's own file too.

What the values are is for the Settings to judge. A message names keys and lines and never a value,
which may be a secret.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from aioqueue.errors import ConfigurationError
from aioqueue.machinery import BY_NAME, FORMS, SECTIONS, Fate
from aioqueue.models.origin import Kind, Origin
from aioqueue.models.settings import URLS
from aioqueue.urls import anchored


@dataclass(frozen=True, slots=True)
class Entry:
    """A key and its value; a dot stands between the section and the name of a key of machinery's.

    inner: the lines of the keys within the value.
    """

    name: str
    value: Any
    line: int
    inner: dict[str, int]


@dataclass(frozen=True, slots=True)
class SettingsFile:
    """values: by setting, and by names that are none. problems: what is wrong with the keys.

    places: where the keys within a setting stand, by both with a dot between. warnings: the keys that are
    ignored though they said something.
    """

    path: Path
    values: dict[str, Any] = field(default_factory=dict[str, Any])
    origins: dict[str, Origin] = field(default_factory=dict[str, Origin])
    places: dict[str, str] = field(default_factory=dict[str, str])
    problems: list[str] = field(default_factory=list[str])
    warnings: list[str] = field(default_factory=list[str])

    @classmethod
    def read(cls, path: Path) -> SettingsFile:
        """Return what *path* says. Raises ConfigurationError if it cannot be read."""
        file = cls(path)
        entries = list(_entries(path))
        for entry in entries:
            file._take(entry)
        if any(_theirs(entry.name) for entry in entries):
            file._check_urls()
        return file

    def _take(self, entry: Entry) -> None:
        if entry.name in SECTIONS and entry.value is None:
            return
        if not _theirs(entry.name):
            self._set(entry.name, entry)
            return
        key = BY_NAME[entry.name]
        if entry.value is None or entry.value in key.empty:
            return
        at = f"{self.path}:{entry.line}"
        match key.fate:
            case Fate.READ:
                for name in key.ours:
                    self._set(name, entry)
            case Fate.IGNORED:
                pass
            case Fate.WARNED:
                self.warnings.append(f"{at}: {entry.name!r} is ignored: {key.says}")
            case Fate.REFUSED:
                self.problems.append(f"{at}: {entry.name!r} is refused: {key.says}")

    def _set(self, name: str, entry: Entry) -> None:
        place = f"{self.path}:{entry.line}"
        if (before := self.origins.get(name)) is not None:
            self.problems.append(
                f"{place}: {entry.name!r} says again what {before} says; leave out one of them"
            )
            return
        # a relative file lies beside the one that names it
        beside = name in URLS and isinstance(entry.value, str)
        self.values[name] = anchored(entry.value, str(self.path.parent)) if beside else entry.value
        self.origins[name] = Origin(Kind.FILE, entry.name, place)
        self.places.update({f"{name}.{key}": f"{self.path}:{line}" for key, line in entry.inner.items()})

    def _check_urls(self) -> None:
        """Find the URLs that mean something else to machinery, in a file of machinery's."""
        for name in URLS:
            if (origin := self.origins.get(name)) is None:
                continue
            for form in FORMS:
                if re.match(form.pattern, str(self.values[name])):
                    self.problems.append(f"{origin.prefix}setting {origin.written!r}: {form.says}")


_QUOTED: Final = re.compile(r"'(?![<\\])[^']{2,}'")
"""What a YAML parser quotes of a file, as an alias or a tag, and not of its own words."""


def _theirs(name: str) -> bool:
    return name in BY_NAME and BY_NAME[name].ours != (name,)


def _entries(path: Path) -> Iterator[Entry]:
    """Yield what stands in the file, from top to bottom. Raises ConfigurationError."""
    import yaml  # type: ignore[import-untyped]  # noqa: PLC0415 - only those pay for it who have a file

    try:
        data = path.read_bytes()
    except OSError as exc:
        raise ConfigurationError(f"there is no file {path} to read: {exc.strerror}") from None
    try:
        loader: Any = yaml.SafeLoader(data)
        for key, value in _pairs(path, loader.get_single_node()):
            section = key.value in SECTIONS and isinstance(value, yaml.MappingNode)
            for name, node in _pairs(path, value) if section else [(key, value)]:
                written = f"{key.value}.{name.value}" if section else str(name.value)
                line = name.start_mark.line + 1
                inner = {str(key.value): key.start_mark.line + 1 for key, _ in _inner(node)}
                yield Entry(written, _value(loader, node, f"{path}:{line}: setting {written!r}"), line, inner)
    except yaml.MarkedYAMLError as exc:
        mark: Any = exc.problem_mark or exc.context_mark
        said = _QUOTED.sub("'…'", ", ".join(filter(None, (exc.context, exc.problem))))
        raise ConfigurationError(f"{path}: line {mark.line + 1}, column {mark.column + 1}: {said}") from None
    except yaml.reader.ReaderError as exc:
        raise ConfigurationError(f"{path}: {_place(data, exc)}: {exc.reason}") from None


def _pairs(path: Path, node: Any) -> list[tuple[Any, Any]]:
    """Return the keys of a mapping and their values; none of an empty file."""
    if node is None:
        return []
    if node.id != "mapping" or any(key.id != "scalar" for key, _ in node.value):
        raise ConfigurationError(
            f"{path}:{node.start_mark.line + 1}: holds no settings; write a line 'name: value' for each"
        )
    pairs: list[tuple[Any, Any]] = node.value
    return pairs


def _inner(node: Any) -> list[tuple[Any, Any]]:
    """Return the keys of a value that is a mapping, and their values."""
    pairs: list[tuple[Any, Any]] = node.value if node.id == "mapping" else []
    return pairs


def _value(loader: Any, node: Any, named: str) -> Any:
    try:
        return loader.construct_object(node, deep=True)
    except ValueError:
        # as of a day that no month has
        raise ConfigurationError(f"{named}: is no such value; is it a text that wants quotes?") from None


def _place(data: bytes, exc: Any) -> str:
    # a character is counted among characters, a byte that is none among bytes
    before = data.decode()[: exc.position].encode() if exc.encoding == "unicode" else data[: exc.position]
    line, last = before.count(b"\n") + 1, before.rpartition(b"\n")[2]
    return f"line {line}, column {len(last) + 1}"
