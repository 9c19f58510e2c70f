"""Apps: the Server that a command line names, found by import or made of URLs.

A module that cannot be found is told in one line; a fault within the user's module is shown with
its traceback, as nobody else could say where it is.
"""

from __future__ import annotations

import inspect
import os
import sys
import traceback
from collections.abc import Callable
from importlib import import_module
from types import ModuleType
from typing import cast

import click

from aioqueue.cli import logs
from aioqueue.cli.group import MISUSED, tell
from aioqueue.cli.options import shown
from aioqueue.errors import (
    AioqueueError,
    BackendUnavailableError,
    BrokerUnavailableError,
    ConfigurationError,
    UnavailableError,
)
from aioqueue.server import Server
from aioqueue.urls import file_of


def server_of(app: str | None, broker: str | None, backend: str | None) -> Server:
    """Return the Server of *app*, else one of these URLs, else that of the settings, to ask its stores.

    Raises ConfigurationError, and UnavailableError where the file of a store is not there.
    """
    server = shared(named(app, broker, backend))
    there(server.stores.urls[0], BrokerUnavailableError)
    there(server.stores.urls[1], BackendUnavailableError)
    return server


def named(app: str | None, broker: str | None, backend: str | None) -> Server:
    """Return the Server of *app*, else one of these URLs, else that of the settings.

    A broker that is named alone keeps results too: in another store, that a variable or a file names,
    are those of other tasks. Raises ConfigurationError.
    """
    if app is None:
        return Server(broker, backend=broker if backend is None else backend)
    if broker is not None or backend is not None:
        raise ConfigurationError("--app names its own stores; leave out --broker and --backend")
    return load(app)


def queue_of(server: Server, name: str) -> str:
    """Return where calls of a registered task go that name no queue."""
    return server.registered(name).get("queue") or server.settings.queue_of(name)


def there(url: str, unavailable: type[UnavailableError]) -> None:
    """Raise *unavailable* if *url* is of a file that is not there: to open it would make it."""
    file = file_of(url)
    if file is not None and not file.exists():
        raise unavailable(
            f"{shown(url)}: there is no file {file}; is the path right? The first send, or a worker, makes it"
        )


def load(app: str) -> Server:
    """Return the Server of ``module:attribute`` or ``module:factory()``. Raises ConfigurationError."""
    here = os.getcwd()
    if here not in sys.path:
        sys.path.insert(0, here)
    name, _, attribute = app.partition(":")
    module = _imported(name, app)
    if not attribute:
        raise ConfigurationError(f"{app!r} names no Server: write module:attribute; {_servers(module)}")
    found: object = module
    for part in attribute.removesuffix("()").split("."):
        if not hasattr(found, part):
            raise ConfigurationError(f"there is no {attribute!r} in the module {name!r}; {_servers(module)}")
        found = getattr(found, part)
    made = _made(found, app)
    if not isinstance(made, Server):
        raise ConfigurationError(f"{app!r} is no Server but {_kind(made)}; {_servers(module)}")
    return made


def shared(server: Server) -> Server:
    """Return *server*. Raises ConfigurationError if its stores are of one process only."""
    stores = server.stores
    roles = (
        ("broker", stores.broker.capabilities, stores.urls[0]),
        ("backend", stores.backend.capabilities, stores.urls[1]),
    )
    for role, capabilities, url in roles:
        if not capabilities.shared:
            raise ConfigurationError(
                f"the {role} {shown(url)} lives within one process, and this is another one; name a "
                "store that processes share, as sqlite:///tasks.db, or run the worker beside your code: "
                "async with server.worker()"
            )
    return server


def _imported(name: str, app: str) -> ModuleType:
    if name.endswith(".py") or not all(part.isidentifier() for part in name.split(".")):
        raise ConfigurationError(f"{name!r} in {app!r} is no module's name: write package.module:attribute")
    try:
        return import_module(name)
    except ModuleNotFoundError as exc:
        if exc.name is not None and f"{name}.".startswith(f"{exc.name}."):
            raise ConfigurationError(
                f"there is no module {exc.name!r}, looked for in {os.getcwd()} and on the import path"
            ) from None
        _show(exc, f"the module {name!r} cannot be imported")
    except AioqueueError:
        # it says what is wrong, and what to write instead
        raise
    except Exception as exc:  # noqa: BLE001 - the user's module, which may do anything
        _show(exc, f"the module {name!r} cannot be imported")
    raise click.exceptions.Exit(MISUSED)


def _show(exc: Exception, said: str) -> None:
    # from the user's first line on: what imports it is ours
    trace = exc.__traceback__
    while trace is not None and _ours(trace.tb_frame.f_code.co_filename) and trace.tb_next is not None:
        trace = trace.tb_next
    if not logs.in_json():
        traceback.print_exception(exc.with_traceback(trace))
    tell(said, exc.with_traceback(trace))


def _ours(file: str) -> bool:
    return file in {__file__, sys.modules["importlib"].__file__} or file.startswith("<frozen importlib")


def _made(found: object, app: str) -> object:
    # a task can be called too, and is no factory
    if not inspect.isroutine(found):
        return found
    if inspect.iscoroutinefunction(found):
        raise ConfigurationError(f"{app!r} is an async function; a factory returns the Server at once")
    try:
        return cast(Callable[[], object], found)()
    except AioqueueError:
        raise
    except Exception as exc:  # noqa: BLE001 - the user's function, which may do anything
        _show(exc, f"{app!r} makes no Server")
    raise click.exceptions.Exit(MISUSED)


def _kind(found: object) -> str:
    return f"the class {found.__name__}" if isinstance(found, type) else f"of type {type(found).__name__}"


def _servers(module: ModuleType) -> str:
    names = [name for name, value in vars(module).items() if isinstance(value, Server)]
    if not names:
        return f"the module {module.__name__!r} holds no Server"
    return "there is " + ", ".join(f"{module.__name__}:{name}" for name in names)
