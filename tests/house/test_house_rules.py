"""The house rules that no linter knows, and a proof that each of them can be broken.

A rule takes one module and yields a line for each finding; EXAMPLES breaks every rule.
"""

from __future__ import annotations

import ast
import io
import re
import subprocess
import tokenize
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILE_LINES, FUNCTION_LINES, PARAMETERS = 400, 50, 8

MAY_CATCH_ALL = {
    "aioqueue/adapters/redis/listener.py",  # whatever ends a connection, the next one is to be tried
    "aioqueue/adapters/redis/pipe.py",  # whatever ends a connection, those who wait for it are told
    "aioqueue/cli/apps.py",  # imports the user's module
    "aioqueue/results.py",  # makes the user's exceptions
    "aioqueue/worker/committer.py",  # an ending no store can take must not stop the others
    "aioqueue/worker/echo.py",  # calls the user's log handlers
    "aioqueue/worker/executor.py",  # calls user code
    "aioqueue/worker/heart.py",  # a heart that ends in silence leaves a worker without a lease
    "aioqueue/worker/outcome.py",  # calls the __str__ of the user's exceptions
    "aioqueue/worker/worker.py",  # watches over the worker's duties
}
# What changes how a program logs.
LOG_SET_UP = {
    *("basicConfig", "dictConfig", "fileConfig", "captureWarnings", "setLogRecordFactory", "setLoggerClass"),
    *("setLevel", "setFormatter", "addHandler", "removeHandler", "addFilter", "removeFilter", "addLevelName"),
}

# Files of task bodies that stand for work; elsewhere only a decorated task may sleep.
MAY_SLEEP: set[str] = set()
SLEEPS = {"sleep", "time.sleep", "asyncio.sleep", "anyio.sleep"}

EXCUSE = re.compile(r"\b((type|pyright):\s*ignore|noqa)\b", re.IGNORECASE)
CODED = re.compile(
    r"\b((type|pyright):\s*ignore\[[\w\s,-]+\]|noqa:\s*[A-Z]+[0-9]+([,\s]+[A-Z]+[0-9]+)*)", re.IGNORECASE
)
OPEN = re.compile(r"\b(TODO|FIXME|XXX)\b(?!: \w)")
# Put together here, so that this file does not hold what it looks for.
NAME = "aio" + "queue"
STRANGER = re.compile(
    rf"\b(pip3?|pipx|uv)\s+(install|add)\s+(-\S+\s+)*[\"'`]?{NAME}(?!-tasks\b)|\b{NAME}\[", re.IGNORECASE
)

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Module:
    """One Python file; *path* is relative to the repository."""

    path: str
    text: str

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text)

    @cached_property
    def nodes(self) -> list[ast.AST]:
        return list(ast.walk(self.tree))

    @property
    def functions(self) -> Iterator[Function]:
        return (node for node in self.nodes if isinstance(node, Function))

    @property
    def calls(self) -> Iterator[ast.Call]:
        return (node for node in self.nodes if isinstance(node, ast.Call))

    def comments(self, having: re.Pattern[str]) -> Iterator[tuple[str, str]]:
        """Where each comment with *having* in it stands, and its text."""
        # few texts have it anywhere, and to take one apart takes long
        if not having.search(self.text):
            return
        for token in tokenize.generate_tokens(io.StringIO(self.text).readline):
            if token.type == tokenize.COMMENT and having.search(token.string):
                yield f"{self.path}:{token.start[0]}", token.string

    def at(self, node: ast.stmt | ast.expr | ast.excepthandler) -> str:
        return f"{self.path}:{node.lineno}"


@cache
def texts() -> dict[str, str]:
    """Every text file that is, or is about to be, in the repository."""
    command = ["git", "-c", "safe.directory=*", "ls-files", "-z", "-c", "-o", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    found = {}
    for path in filter(None, sorted(set(listed.split("\0")))):
        try:
            found[path] = (ROOT / path).read_text(encoding="utf-8")
        except (UnicodeDecodeError, FileNotFoundError, IsADirectoryError):
            continue
    return found


@cache
def modules() -> list[Module]:
    return [Module(path, text) for path, text in texts().items() if path.endswith(".py")]


def file_is_short(module: Module) -> Iterator[str]:
    lines = len(module.text.splitlines())
    if lines > FILE_LINES:
        yield f"{module.path} has {lines} lines; split it by duty"


def function_is_short(module: Module) -> Iterator[str]:
    for node in module.functions:
        lines = (node.end_lineno or node.lineno) - node.lineno + 1
        if lines > FUNCTION_LINES:
            yield f"{module.at(node)} {node.name} has {lines} lines"


def parameters_are_few(module: Module) -> Iterator[str]:
    for node in module.functions:
        plain = [arg.arg for arg in [*node.args.posonlyargs, *node.args.args]]
        if plain and plain[0] in {"self", "cls"}:
            del plain[0]
        count = len(plain) + sum(map(bool, (node.args.vararg, node.args.kwonlyargs, node.args.kwarg)))
        if count > PARAMETERS:
            yield f"{module.at(node)} {node.name} takes {count} parameters; make them a model"


def module_says_what_it_is(module: Module) -> Iterator[str]:
    if not ast.get_docstring(module.tree):
        yield f"{module.path} has no docstring"


def only_the_cli_prints(module: Module) -> Iterator[str]:
    for node in module.calls:
        if isinstance(node.func, ast.Name) and node.func.id == "print" and "/cli/" not in module.path:
            yield f"{module.at(node)} prints; log instead"


def names_of(node: ast.expr | None) -> set[str]:
    """The dotted names in what an except clause or a call lists; none at all is a bare except."""
    if node is None:
        return {"BaseException"}
    parts = node.elts if isinstance(node, ast.Tuple) else [node]
    return {ast.unparse(part) for part in parts}


def nothing_is_swallowed(module: Module) -> Iterator[str]:
    if module.path in MAY_CATCH_ALL:
        return
    for node in module.nodes:
        if isinstance(node, ast.ExceptHandler):
            last = node.body[-1]
            raised_again = isinstance(last, ast.Raise) and last.exc is None
            caught = names_of(node.type) - ({"BaseException"} if raised_again else set())
            where = module.at(node)
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in {"suppress", "contextlib.suppress"}:
            caught = set[str]().union(*map(names_of, node.args))
            where = module.at(node)
        else:
            continue
        if caught & {"Exception", "BaseException"}:
            yield f"{where} catches everything; name what can be handled"


def excuse_has_code_and_reason(module: Module) -> Iterator[str]:
    for where, comment in module.comments(EXCUSE):
        rest = CODED.sub("", comment)
        if EXCUSE.search(rest):
            yield f"{where} excuses all errors; name the code"
        elif rest != comment and not re.search(r"\w{2}", rest):
            yield f"{where} gives no reason for its excuse"


def todo_has_reason(module: Module) -> Iterator[str]:
    for where, _ in module.comments(OPEN):
        yield f"{where} leaves something open without ': reason'"


def sleep_waits_for_nothing(module: Module) -> Iterator[str]:
    """Task bodies may sleep, because there it stands for work."""
    if module.path in MAY_SLEEP or "sleep" not in module.text:
        return
    work = {
        inner
        for node in module.functions
        if any(re.search(r"\b(task|periodic)(\(|$)", ast.unparse(mark)) for mark in node.decorator_list)
        for inner in ast.walk(node)
    }
    for node in module.calls:
        if node in work or ast.unparse(node.func) not in SLEEPS:
            continue
        match node.args:
            case [ast.Constant(value=int() | float() as seconds), *_] if seconds > 0:
                yield f"{module.at(node)} sleeps; wait for the thing itself"


def only_the_cli_configures_logging(module: Module) -> Iterator[str]:
    # echo: in a process that the worker has started for a task
    if "/cli/" in module.path or module.path == "aioqueue/worker/echo.py":
        return
    called = [node.func for node in module.calls]
    given = [target for node in module.nodes if isinstance(node, ast.Assign) for target in node.targets]
    for nodes, names in ((called, LOG_SET_UP), (given, {"propagate", "handlers"})):
        for each in nodes:
            if isinstance(each, ast.Attribute) and each.attr in names:
                yield f"{module.at(each)} configures logging, which is the program's to do"


Rule = Callable[[Module], Iterator[str]]
RULES: dict[Rule, str] = {
    file_is_short: "aioqueue/",
    function_is_short: "aioqueue/",
    parameters_are_few: "aioqueue/",
    module_says_what_it_is: "aioqueue/",
    only_the_cli_prints: "aioqueue/",
    only_the_cli_configures_logging: "aioqueue/",
    nothing_is_swallowed: "aioqueue/",
    excuse_has_code_and_reason: "",
    todo_has_reason: "",
    sleep_waits_for_nothing: "tests/",
}
EXAMPLES: list[tuple[Rule, str]] = [
    (file_is_short, "x = 1\n" * (FILE_LINES + 1)),
    (function_is_short, "def f():\n" + "    x = 1\n" * FUNCTION_LINES),
    (parameters_are_few, "def f(a, b, c, d, e, f, g, h, *, i): ..."),
    (parameters_are_few, "class C:\n    async def f(self, a, b, c, d, e, f, /, g, *h, **i): ..."),
    (module_says_what_it_is, "# words\n"),
    (only_the_cli_prints, "print(1)"),
    (only_the_cli_configures_logging, "logging.basicConfig(level=10)"),
    (only_the_cli_configures_logging, "logging.getLogger('aioqueue').addHandler(handler)"),
    (only_the_cli_configures_logging, "_log.setLevel('DEBUG')"),
    (only_the_cli_configures_logging, "logging.config.dictConfig({})"),
    (only_the_cli_configures_logging, "_log.propagate = False"),
    (nothing_is_swallowed, "try: f()\nexcept: pass"),
    (nothing_is_swallowed, "try: f()\nexcept Exception: raise"),
    (nothing_is_swallowed, "try: f()\nexcept (OSError, BaseException) as exc: raise exc"),
    (nothing_is_swallowed, "with contextlib.suppress(OSError, Exception): f()"),
    (excuse_has_code_and_reason, "x = 1  # type: ignore"),
    (excuse_has_code_and_reason, "x = 1  # noqa  # because"),
    (excuse_has_code_and_reason, "x = 1  # pyright: ignore[reportPrivateUsage]"),
    (excuse_has_code_and_reason, "x = 1  # type: ignore[misc]  # noqa: E501, F401"),
    (todo_has_reason, "x = 1  # TODO mend"),
    (sleep_waits_for_nothing, "async def test(): await asyncio.sleep(0.1)"),
    (sleep_waits_for_nothing, "def test(): time.sleep(1)"),
]
LAWFUL: list[tuple[Rule, str]] = [
    (parameters_are_few, "class C:\n    def f(self, a, b, c, d, e, f, g, *, h, i, j): ..."),
    (nothing_is_swallowed, "try: f()\nexcept BaseException:\n    undo()\n    raise"),
    (excuse_has_code_and_reason, "x = 1  # type: ignore[misc]  # the stub is wrong"),
    (excuse_has_code_and_reason, "x = 1  # noqa: BLE001  # user code is called"),
    (todo_has_reason, "x = 1  # TODO: the service cannot say it yet"),
    (sleep_waits_for_nothing, "@server.task(queue='q')\nasync def work(): await asyncio.sleep(1)"),
    (sleep_waits_for_nothing, "async def test(): await asyncio.sleep(0)"),
]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_rule_is_kept(rule: Rule) -> None:
    inspected = [module for module in modules() if module.path.startswith(RULES[rule])]
    findings = [finding for module in inspected for finding in rule(module)]

    assert inspected
    assert findings == [], "\n".join(findings)


@pytest.mark.parametrize(("rule", "source"), EXAMPLES)
def test_rule_finds_what_breaks_it(rule: Rule, source: str) -> None:
    assert list(rule(Module("aioqueue/example.py", source))) != []


@pytest.mark.parametrize(("rule", "source"), LAWFUL)
def test_rule_lets_pass_what_keeps_it(rule: Rule, source: str) -> None:
    assert list(rule(Module("aioqueue/example.py", source))) == []


def test_every_rule_has_an_example() -> None:
    assert {rule for rule, _ in EXAMPLES} == set(RULES)


def test_no_file_names_the_strangers_distribution() -> None:
    """The bare name on the package index belongs to another project: installing it would run its code."""
    found = [f"{path}: {match[0]}" for path, text in texts().items() for match in STRANGER.finditer(text)]

    assert found == [], "\n".join(found)


@pytest.mark.parametrize("text", [f"pip install {NAME}", f"uv add -U '{NAME}>1'", f'"{NAME}[amqp]"'])
def test_a_strangers_name_is_found(text: str) -> None:
    assert STRANGER.search(text)
    assert not STRANGER.search(text.replace(NAME, f"{NAME}-tasks"))
