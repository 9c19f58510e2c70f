"""Config: Settings from code, variables and a YAML file, in that order of strength.

Nothing is loaded for a file or a variable that is not there; an empty variable is none. A relative SQLite
path in a file is relative to that file. What is ignored is told once, by its name: its value may be a secret.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final, get_args

from pydantic import ValidationError

from aioqueue.errors import ConfigurationError
from aioqueue.machinery import KEYS, Fate
from aioqueue.models.origin import Kind, Origin
from aioqueue.models.retry import RetryPolicy
from aioqueue.models.settings import URLS, Settings
from aioqueue.settings_file import SettingsFile
from aioqueue.urls import anchored, redacted

_log = logging.getLogger("aioqueue.config")

PREFIX: Final = "AIOQUEUE_"
FILE: Final = "aioqueue.yaml"
_MARKS: Final = (FILE, "pyproject.toml")
_NAMES: Final = tuple(Settings.model_fields)
_VARIABLES: Final = tuple(f"{PREFIX}{name.upper()}" for name in _NAMES)
_OTHERS: Final = ("AIOQUEUE_TEST_URLS",)
_OF_COMMANDS: Final = (
    "app",
    *(
        f"worker_{option}"
        for option in (
            "exclude_queue",
            "processes",
            "burst",
            "max_tasks",
            "name",
            "log_level",
            "log_format",
            "loop",
            "no_scheduler",
            "reload",
            "reload_dir",
        )
    ),
)
"""What the command reads from variables; an option that is a setting has that one's, and no other."""
_OPTIONS: Final = {"worker_queue": "queues", "worker_shutdown_timeout": "grace"}
"""Options of the worker that are settings of another name, as one would write them as variables."""
_NONE: Final = frozenset({"none", "null"})
"""What a variable says for none, of a setting that may be none."""
_told: set[str] = set()


@dataclass(frozen=True, slots=True)
class Loaded:
    """The settings, and of each where it was said."""

    settings: Settings
    origins: Mapping[str, Origin]


def load(
    given: dict[str, Any], *, file: str | os.PathLike[str] | None = None, variables: bool = True
) -> Loaded:
    """Return the settings: *given* in code before AIOQUEUE_* variables before *file*.

    file: a YAML file; by default the nearest aioqueue.yaml upwards, if there is one. variables: False
    leaves them aside. Raises ConfigurationError, which tells all that is wrong, one a line.
    """
    path = Path(file) if file is not None else nearest(FILE)
    said = SettingsFile.read(path) if path is not None else SettingsFile(Path())
    from_variables = _variables() if variables else {}
    for warning in (*said.warnings, *(_strange_variables() if variables else ())):
        _tell(warning)
    values = {
        "broker": anchored(Settings.model_fields["broker"].default, str(home())),
        **said.values,
        **{name: value for name, (_, value) in from_variables.items()},
        **given,
    }
    origins = {
        **{name: Origin(Kind.DEFAULT, name) for name in _NAMES},
        **said.origins,
        **{name: Origin(Kind.VARIABLE, name, variable) for name, (variable, _) in from_variables.items()},
        **{name: Origin(Kind.CODE, name) for name in given},
    }
    try:
        settings = Settings.model_validate(values)
    except ValidationError as exc:
        raise _refusal([*said.problems, *_explained(exc, origins, said.places)]) from None
    if said.problems:
        raise _refusal(said.problems)
    return Loaded(settings, origins)


def by_variable(setting: str) -> Any:
    """Return what a variable says of one setting; None if none does, or what it says is wrong."""
    said = {name: value for name, (_, value) in _variables().items() if name == setting}
    try:
        return getattr(Settings.model_validate(said), setting) if said else None
    except ValidationError:
        return None


def home() -> Path:
    """Return the folder the default SQLite file lies in: the project's, else the current one."""
    marks = [found for mark in _MARKS if (found := nearest(mark)) is not None]
    return max(marks, key=lambda mark: len(mark.parts)).parent if marks else Path.cwd()


def nearest(name: str) -> Path | None:
    """Return the file *name* in the current folder or the nearest one above it."""
    here = Path.cwd()
    return next((folder / name for folder in (here, *here.parents) if (folder / name).is_file()), None)


def _variables() -> dict[str, tuple[str, Any]]:
    """Return by setting which variable sets it, and the value."""
    names = {name.lower(): name for name, text in os.environ.items() if text and name.upper() in _VARIABLES}
    if not names:
        return {}
    from pydantic_settings import (  # noqa: PLC0415 - 300 ms that only those pay who have a variable
        BaseSettings,
        EnvSettingsSource,
        SettingsConfigDict,
    )

    class Variables(Settings, BaseSettings):
        model_config = SettingsConfigDict(env_prefix=PREFIX, env_ignore_empty=True)

    class Source(EnvSettingsSource):
        def decode_complex_value(self, field_name: str, field: Any, value: Any) -> Any:
            # a list may have commas, and what is no JSON is for the Settings to refuse
            try:
                decoded = json.loads(value)
            except ValueError:
                return value
            # as nothing a null would be no word at all
            return value if decoded is None else decoded

    values = Source(Variables)()
    return {
        name: (names[f"{PREFIX}{name}".lower()], None if _is_none(name, value) else value)
        for name, value in values.items()
    }


def _is_none(name: str, value: Any) -> bool:
    may_be = type(None) in get_args(Settings.model_fields[name].annotation)
    return may_be and isinstance(value, str) and value.strip().lower() in _NONE


def _strange_variables() -> Iterator[str]:
    known = {*_VARIABLES, *_OTHERS, *(f"{PREFIX}{name.upper()}" for name in _OF_COMMANDS)}
    for name, text in sorted(os.environ.items()):
        if not text or name.upper() in known or not name.startswith(PREFIX):
            continue
        near = _meant(name.removeprefix(PREFIX).lower())
        listed = ", ".join(f"{PREFIX}{each.upper()}" for each in near or (*_NAMES, *_OF_COMMANDS))
        advice = f"did you mean {listed}" if near else f"there are {listed}"
        yield f"the variable {name} is no setting and is ignored; {advice}"


def _meant(name: str) -> list[str]:
    """Return what a variable that sets nothing may stand for, nearest first."""
    if name in _OPTIONS:
        return [_OPTIONS[name]]
    names = (*_NAMES, *_OF_COMMANDS)
    # with the verb before it: the option is a setting, and has that one's variable
    tails = [each for each in names if name.endswith(f"_{each}")]
    return sorted(tails, key=len)[-1:] or get_close_matches(name, names)


def _tell(warning: str) -> None:
    if warning not in _told:
        _told.add(warning)
        _log.warning("%s", warning)


def _refusal(problems: list[str]) -> ConfigurationError:
    return ConfigurationError("\n".join(dict.fromkeys(problems)))


def _explained(
    exc: ValidationError, origins: Mapping[str, Origin], places: Mapping[str, str]
) -> Iterator[str]:
    """Yield what is wrong, without what may be a secret. places: of keys within settings, in the file."""
    for error in exc.errors(include_url=False):
        outer, *inner = map(str, error["loc"])
        origin = origins[outer]
        if inner and origin.kind is Kind.FILE:
            origin = replace(origin, place=places.get(f"{outer}.{inner[0]}", origin.place))
        name, got = redacted(".".join([origin.written, *inner])), repr(error["input"])
        if inner and error["type"] == "extra_forbidden":
            yield f"{origin.prefix}there is no {name!r}; there are {', '.join(RetryPolicy.model_fields)}"
        elif error["type"] == "extra_forbidden":
            yield f"{origin.prefix}there is no setting {name!r}; {_advice(name)}"
        elif origin.written in URLS or "//" in got:
            # a URL that got astray hides more than its place for a password
            yield f"{origin.prefix}setting {name!r}: {error['msg']}"
        else:
            yield f"{origin.prefix}setting {name!r}: {error['msg']} (got {redacted(got)})"


def _advice(name: str) -> str:
    """Return which name a misspelled one may stand for, else all that there are."""
    theirs = [key.name for key in KEYS if key.fate is not Fate.REFUSED and key.name not in _NAMES]
    near = get_close_matches(name, [*_NAMES, *theirs], n=1)
    return f"did you mean {near[0]!r}?" if near else f"there are {', '.join(_NAMES)}"
