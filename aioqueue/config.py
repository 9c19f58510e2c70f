"""Config: Settings from code, variables and a YAML file, in that order of strength.

pydantic-settings is loaded only when there is a file or a variable to read. A relative SQLite
path in a file is relative to that file. A variable that is no setting is told once, by its name:
its value may be a secret.
"""

from __future__ import annotations

import logging
import os
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from aioqueue.errors import ConfigurationError
from aioqueue.models.settings import Settings
from aioqueue.urls import anchored

_log = logging.getLogger("aioqueue.config")

PREFIX: Final = "AIOQUEUE_"
FILE: Final = "aioqueue.yaml"
_MARKS: Final = (FILE, "pyproject.toml")
_SETTINGS: Final = tuple(f"{PREFIX}{name.upper()}" for name in Settings.model_fields)
_OTHERS: Final = ("AIOQUEUE_TEST_URLS",)
_OF_COMMANDS: Final = tuple(
    f"{PREFIX}{verb}_" for verb in ("WORKER", "SEND", "RESULT", "WORKFLOW", "STATUS", "VERSION")
)
_told: set[str] = set()


def load(given: dict[str, Any], *, file: str | os.PathLike[str] | None = None) -> Settings:
    """Return the settings: *given* in code before AIOQUEUE_* variables before *file*.

    file: a YAML file; by default the nearest aioqueue.yaml upwards, if there is one.
    Raises ConfigurationError naming the key and where it stands.
    """
    _warn_of_unknown_variables()
    path = Path(file) if file is not None else nearest(FILE)
    from_file, from_variables = _read_sources(path)
    folder = path.parent if path is not None else home()
    if "broker" in from_file:
        from_file["broker"] = anchored(str(from_file["broker"]), str(folder))
    if from_file.get("backend"):
        from_file["backend"] = anchored(str(from_file["backend"]), str(folder))
    values = {**from_file, **from_variables, **given}
    if "broker" not in values:
        values["broker"] = anchored(Settings.model_fields["broker"].default, str(home()))
    try:
        return Settings.model_validate(values)
    except ValidationError as exc:
        raise ConfigurationError(_explained(exc, path if set(from_file) else None)) from None


def home() -> Path:
    """Return the folder the default SQLite file lies in: the project's, else the current one."""
    marks = [found for mark in _MARKS if (found := nearest(mark)) is not None]
    return max(marks, key=lambda mark: len(mark.parts)).parent if marks else Path.cwd()


def nearest(name: str) -> Path | None:
    """Return the file *name* in the current folder or the nearest one above it."""
    here = Path.cwd()
    return next((folder / name for folder in (here, *here.parents) if (folder / name).is_file()), None)


def _warn_of_unknown_variables() -> None:
    for name in sorted(os.environ):
        known = name.upper() in (*_SETTINGS, *_OTHERS) or name.startswith(_OF_COMMANDS)
        if known or name in _told or not name.startswith(PREFIX):
            continue
        _told.add(name)
        bare = [setting.removeprefix(PREFIX) for setting in _SETTINGS]
        near = get_close_matches(name.removeprefix(PREFIX).upper(), bare, cutoff=0.5)
        _log.warning(
            "the variable %s is no setting and is ignored; %s %s",
            name,
            "did you mean" if near else "there are",
            ", ".join(f"{PREFIX}{setting}" for setting in near or bare),
        )


def _read_sources(path: Path | None) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what the file and what the variables say."""
    if path is None and not any(name.startswith(PREFIX) for name in os.environ):
        return {}, {}
    import yaml  # type: ignore[import-untyped]  # noqa: PLC0415 - 300 ms that only those pay who have a file or a variable
    from pydantic_settings import (  # noqa: PLC0415 - see above
        BaseSettings,
        EnvSettingsSource,
        SettingsConfigDict,
        YamlConfigSettingsSource,
    )

    class Sources(Settings, BaseSettings):
        model_config = SettingsConfigDict(env_prefix=PREFIX)

    if path is not None and not path.is_file():
        raise ConfigurationError(f"there is no file {path}")
    try:
        data = YamlConfigSettingsSource(Sources, yaml_file=path).yaml_data if path is not None else {}
    except yaml.YAMLError as exc:
        raise ConfigurationError(f"{path}: {exc}") from None
    except (ValueError, TypeError):
        raise ConfigurationError(f"{path}: holds no settings; write a line 'name: value' for each") from None
    return {str(key): value for key, value in data.items()}, EnvSettingsSource(Sources)()


def _explained(exc: ValidationError, path: Path | None) -> str:
    error = exc.errors(include_url=False)[0]
    key = ".".join(str(part) for part in error["loc"])
    where = f"{path}: " if path is not None else ""
    if error["type"] == "extra_forbidden":
        return f"{where}there is no setting {key!r}; there are {', '.join(Settings.model_fields)}"
    return f"{where}setting {key!r}: {error['msg']} (got {error['input']!r})"
