"""Scripts: each file says what it takes, and takes what it says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from aioqueue.adapters import redis as package
from aioqueue.adapters.redis.scripts import header, script, uses
from tests.support import redis_server
from tests.support.stores import missing

FOLDER = Path(package.__file__).parent / "lua"
SCRIPTS = sorted(FOLDER.glob("*.lua"))
LIBRARY = sorted((FOLDER / "lib").glob("*.lua"))
LISTED = re.compile(r"^(KEYS|ARGV)\[(\d+)\]\s+\S+\s+\S", re.MULTILINE)
CALL = re.compile(r"redis\.p?call\(\s*'(\w+)'(?:,\s*'([A-Z]+)')?(?:,\s*([^,)]+))?")
KEYLESS = {"TIME", "INFO", "PUBLISH"}
DEFINED = re.compile(r"(?:local )?function (\w+)|^local (\w+(?:, \w+)*) =", re.MULTILINE)


def body(path: Path) -> str:
    """Return a file's text without its header and comments."""
    text = path.read_text("utf-8")
    return re.sub(r"--[^\n]*", "", text.partition("]]\n")[2])


@pytest.mark.parametrize("path", [*SCRIPTS, *LIBRARY], ids=lambda path: path.stem)
def test_header_names_the_file(path: Path) -> None:
    assert header(path.read_text("utf-8")).startswith(f"{path.stem}: ")


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_header_lists_keys_and_arguments_in_order(path: Path) -> None:
    listed = [(kind, int(number)) for kind, number in LISTED.findall(header(path.read_text("utf-8")))]
    arguments = [number for kind, number in listed if kind == "ARGV"]

    assert listed == [("KEYS", 1), *(("ARGV", number) for number in range(1, len(arguments) + 1))]


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_header_lists_what_is_read(path: Path) -> None:
    listed = {
        int(number) for kind, number in LISTED.findall(header(path.read_text("utf-8"))) if kind == "ARGV"
    }
    text = body(path)
    read = {int(number) for number in re.findall(r"ARGV\[(\d+)\]", text)}
    # the last one may be a list, which is read from its index on
    many = {int(first) for first in re.findall(r"(?:for \w+ =|\bat =|, at =.*?,) (\d+), #ARGV", text)}
    rest = max(listed, default=0)

    assert read | many <= listed
    assert listed - read - many <= {rest}
    assert "KEYS[" not in text


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_header_says_what_is_returned(path: Path) -> None:
    said = header(path.read_text("utf-8"))

    assert len(re.findall(r"^Returns ", said, re.MULTILINE)) == 1
    returns_value = re.search(r"^return ", body(path), re.MULTILINE) is not None
    assert returns_value is ("Returns nothing" not in said)


def defined(name: str) -> set[str]:
    """Return the names a file of the library defines at its top level."""
    found = DEFINED.findall((FOLDER / "lib" / f"{name}.lua").read_text("utf-8"))
    return {name.strip() for groups in found for each in groups for name in each.split(",") if name.strip()}


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_what_is_used_exists_and_is_wanted(path: Path) -> None:
    used = uses(path.read_text("utf-8"))
    assert set(used) <= {part.stem for part in LIBRARY}
    assert used[0] == "base"
    assert len(used) == len(set(used))

    text = body(path)
    for position, name in enumerate(used):
        later = [text, *(body(FOLDER / "lib" / f"{other}.lua") for other in used[position + 1 :])]
        words = set(re.findall(r"\w+", " ".join(later)))
        assert defined(name) & words or name == "base", f"{path.stem} does not want {name}"


def test_every_file_of_the_library_is_used() -> None:
    used = {name for path in SCRIPTS for name in uses(path.read_text("utf-8"))}

    assert used == {path.stem for path in LIBRARY}


@pytest.mark.parametrize("path", [*SCRIPTS, *LIBRARY], ids=lambda path: path.stem)
def test_every_key_is_made_from_the_prefix(path: Path) -> None:
    text = body(path)
    for command, _, key in CALL.findall(text):
        if command in KEYLESS:
            continue
        assert _is_prefixed(key.strip(), text), f"{path.stem}: {command} {key}"


def _is_prefixed(key: str, text: str) -> bool:
    """Tell whether *key*, or what stands for it in the file, begins with the prefix."""
    if re.match(r"P \.\. |(record_key|stream_key|message_key)\(", key):
        return True
    # what a function is handed its callers have made so
    makes = r"(?:[^\n,]+ and )?(?:P \.\. |record_key|stream_key|message_key|part\()"
    assigned = re.search(rf"\b{re.escape(key)}\b(?:, \w+)* = {makes}", text) or re.search(
        rf"\w+, {re.escape(key)} = [^\n]*, {makes}", text
    )
    handed = re.search(rf"function \w+\((?:\w+, )*{re.escape(key)}\b", text)
    field = re.fullmatch(r"e\.(stream|key)", key)
    group = key == "'w'"
    listed = re.fullmatch(r"unpack\((\w+)", key)
    gathered = listed and re.search(rf"{listed[1]}\[#{listed[1]} \+ 1\] = {makes}", text)
    return bool(assigned or handed or field or group or gathered)


def test_unknown_header_is_an_error() -> None:
    with pytest.raises(ValueError, match="begins with its header"):
        header("return 1")


def test_script_without_uses_uses_nothing() -> None:
    assert uses("--[[\nx: y.\n]]\n") == []


@pytest.mark.parametrize("kind", ["redis", "valkey"])
def test_digest_is_the_servers(kind: redis_server.Name) -> None:
    try:
        server = redis_server.shared(kind)
    except LookupError as exc:
        missing(kind, exc)

    for path in SCRIPTS:
        code = script(path.stem)
        answer = server.command("SCRIPT", "LOAD", code.text)
        assert (answer.decode() if isinstance(answer, bytes) else answer) == code.digest


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_script_is_sent_without_its_headers(path: Path) -> None:
    assert "--[[" not in script(path.stem).text


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_what_stands_apart_is_asked_for_there(path: Path) -> None:
    apart = re.search(r"^Apart (.+)$", header(path.read_text("utf-8")), re.MULTILINE)
    at_once = re.search(r"^Uses (.+)$", header(path.read_text("utf-8")), re.MULTILINE)
    names = {name for lib in apart[1].split(", ") for name in defined(lib)} if apart else set[str]()
    own = {name for lib in at_once[1].split(", ") for name in defined(lib)} if at_once else set[str]()

    bare = [name for name in names - own if re.search(rf"(?<![\w.]){name}\(", body(path))]

    assert bare == []


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_no_two_functions_of_a_script_have_one_name(path: Path) -> None:
    """The later one would stand for the other too."""
    files = [path, *(FOLDER / "lib" / f"{name}.lua" for name in uses(path.read_text("utf-8")))]
    names = [
        name for file in files for name in re.findall(r"^local function (\w+)", file.read_text("utf-8"), re.M)
    ]

    assert len(names) == len(set(names))
