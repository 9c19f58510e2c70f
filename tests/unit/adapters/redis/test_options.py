"""Options: every rule of a Redis URL, and what is said of the one that is broken."""

from __future__ import annotations

import pytest

from aioqueue.adapters.redis import connect
from aioqueue.adapters.redis.options import Options, parse
from aioqueue.errors import ConfigurationError
from aioqueue.testing import VirtualClock


def test_plain_url_has_defaults() -> None:
    options = parse("redis://localhost:6379/0")

    assert options == Options("redis://localhost:6379/0", "redis://localhost:6379/0", "default", 5.0)
    assert options.prefix == "aq:{default}:"


def test_own_options_are_taken_out_of_the_url() -> None:
    options = parse("rediss://h/2?namespace=shop-1&timeout=0.5&ssl_cert_reqs=none")

    assert options.url == "rediss://h/2?ssl_cert_reqs=none"
    assert (options.namespace, options.timeout) == ("shop-1", 0.5)
    assert options.prefix == "aq:{shop-1}:"


@pytest.mark.parametrize(
    "url",
    [
        "redis://h",
        "redis://h:1",
        "rediss://h:1/3?ssl_ca_certs=%2Fca.pem",
        "redis://[::1]:6379/0",
        "redis://h/0/",
    ],
)
def test_url_of_a_server_is_accepted(url: str) -> None:
    assert parse(url).url == url


@pytest.mark.parametrize("query", ["", "db=3"])
def test_url_of_a_socket_keeps_its_slashes(query: str) -> None:
    plain = "unix:///run/redis.sock" + (f"?{query}" if query else "")
    options = parse(f"{plain}{'&' if query else '?'}namespace=shop")

    assert options.url == plain
    assert options.shown.startswith("unix:///run/redis.sock?")


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://me:secret@h:1/0", "redis://h:1/0"),
        ("redis://:secret@h/0", "redis://h/0"),
        ("redis://:sec@ret@h/0", "redis://h/0"),
        ("unix://me:secret@/run/redis.sock", "unix:///run/redis.sock"),
    ],
)
def test_credentials_are_for_the_server_alone(url: str, shown: str) -> None:
    options = parse(url)

    assert options.url == url
    assert options.shown == shown


def test_credentials_in_the_query_are_no_option_and_are_not_repeated() -> None:
    with pytest.raises(ConfigurationError) as caught:
        parse("redis://h?password=sesame")

    assert "'password'" in str(caught.value)
    assert "sesame" not in str(caught.value)


def test_password_of_a_key_is_for_the_library_alone() -> None:
    options = parse("rediss://h?ssl_keyfile_password=sesame")

    assert "sesame" in options.url
    assert "sesame" not in options.shown


@pytest.mark.parametrize("name", ["", "a{b", "a}b", "a:b", "a b", "größe", "*" * 200])
def test_namespace_that_is_no_name_is_refused(name: str) -> None:
    with pytest.raises(ConfigurationError, match="cannot be a namespace; take letters, digits and -"):
        parse(f"redis://h?namespace={name}")


@pytest.mark.parametrize("seconds", ["", "0", "-1", "nan", "inf", "soon"])
def test_timeout_that_is_no_time_is_refused(seconds: str) -> None:
    with pytest.raises(ConfigurationError, match=f"timeout is a number of seconds above 0, not '{seconds}'"):
        parse(f"redis://h?timeout={seconds}")


def test_unknown_option_is_named_with_those_there_are() -> None:
    with pytest.raises(ConfigurationError) as caught:
        parse("redis://me:secret@h?max_connections=3")

    said = str(caught.value)
    assert said.startswith("redis://h?max_connections=***: there is no option 'max_connections'; there are ")
    assert "namespace=<name>, timeout=<seconds>, db=, ssl_ca_certs=" in said


@pytest.mark.parametrize("path", ["shop", "0/1", "-1"])
def test_path_that_is_no_number_is_refused(path: str) -> None:
    with pytest.raises(ConfigurationError, match=f"the number of a database, and not '{path}'"):
        parse(f"redis://h/{path}")


def test_number_of_a_database_that_is_none_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"^redis://h\?db=shop: "):
        parse("redis://h?db=shop")


def test_port_that_is_no_number_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="redis://h:port"):
        parse("redis://h:port/0")


def test_socket_without_a_path_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"comes after two slashes: unix:///run/redis\.sock"):
        parse("unix://")


def test_clock_of_the_program_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="Redis tells the time itself; leave clock= out"):
        connect("redis://localhost", clock=VirtualClock())


def test_adapter_shows_no_credentials() -> None:
    assert connect("redis://me:secret@h/0?namespace=n").url == "redis://h/0?namespace=n"
