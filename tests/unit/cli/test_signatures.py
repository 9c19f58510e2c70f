"""How a task's parameters and result are written for people and for programs."""

from __future__ import annotations

from aioqueue import Server
from aioqueue.cli.signatures import parameters_of, returns_of, signature_of


def test_signature_is_shown_as_it_is_written() -> None:
    server = Server("memory://")

    @server.task
    async def add(x: int, /, *rest: list[str], y: float | None = 1.5, **more: object) -> dict[str, int]:
        return {}

    def untyped(x, y="a"):  # type: ignore[no-untyped-def]  # that is what is shown
        return x

    assert signature_of(add) == (
        "(x: int, /, *rest: list[str], y: float | None = 1.5, **more: object) -> dict[str, int]"
    )
    assert signature_of(server.register_task("untyped", untyped)) == "(x, y='a')"


def test_parameters_and_result_are_data_for_programs() -> None:
    server = Server("memory://")

    @server.task
    async def add(x: int, *rest: list[str], y: float | None = 1.5, z=None) -> dict[str, int]:  # type: ignore[no-untyped-def]  # that is what is shown
        return {}

    assert parameters_of(add) == [
        {"name": "x", "kind": "positional or keyword", "type": "int", "required": True, "default": None},
        {
            "name": "rest",
            "kind": "variadic positional",
            "type": "list[str]",
            "required": False,
            "default": None,
        },
        {"name": "y", "kind": "keyword-only", "type": "float | None", "required": False, "default": "1.5"},
        {"name": "z", "kind": "keyword-only", "type": None, "required": False, "default": "None"},
    ]
    assert returns_of(add) == "dict[str, int]"
