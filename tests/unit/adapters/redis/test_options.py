"""Options: every rule of a Redis URL, and what is said of the one that is broken."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from redis.asyncio.connection import parse_url

from aioqueue import urls
from aioqueue.adapters.redis import connect
from aioqueue.adapters.redis.hosts import Address
from aioqueue.adapters.redis.options import Kind, Options, parse
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


def test_several_hosts_are_those_of_one_master() -> None:
    options = parse("redis://u:p@a:1,b,[::1]:3/2?namespace=n")

    assert options.kind is Kind.HOSTS
    assert options.hosts == (Address("a", 1), Address("b", 6379), Address("::1", 3))
    assert options.at(options.hosts[1]) == "redis://u:p@b:6379/2"
    assert options.at(options.hosts[2]) == "redis://u:p@[::1]:3/2"
    assert options.shown == "redis://a:1,b,[::1]:3/2?namespace=n"


def test_sentinels_know_a_master_by_its_name_and_have_users_of_their_own() -> None:
    options = parse(
        "rediss+sentinel://u:p%40@h1,h2:2/my%20master/4?timeout=1&ssl_ca_certs=/ca.pem"
        "&sentinel_username=s%3A&sentinel_password=%2Ft"
    )

    assert (options.kind, options.master) == (Kind.SENTINEL, "my master")
    assert options.hosts == (Address("h1", 26379), Address("h2", 2))
    assert options.at(Address("m", 6380)) == "rediss://u:p%40@m:6380/4?ssl_ca_certs=%2Fca.pem"
    assert options.sentinel_at(options.hosts[1]) == "rediss://s%3A:%2Ft@h2:2?ssl_ca_certs=%2Fca.pem"
    assert "%2Ft" not in options.shown
    assert "p%40" not in options.shown
    assert "p%40" not in repr(options)


def test_password_of_sentinels_needs_no_user() -> None:
    options = parse("redis+sentinel://h1/m?sentinel_password=t")

    assert options.sentinel_at(options.hosts[0]) == "redis://:t@h1:26379"
    assert options.at(Address("m", 1)) == "redis://m:1"


def test_cluster_is_known_by_any_of_its_nodes() -> None:
    options = parse("redis+cluster://u:p@n1:7000,n2:7001?namespace=n")

    assert options.kind is Kind.CLUSTER
    assert options.hosts == (Address("n1", 7000), Address("n2", 7001))
    assert options.at(options.hosts[1]) == "redis://u:p@n2:7001"


def test_one_host_may_be_a_cluster_or_a_sentinel() -> None:
    assert parse("redis+cluster://h").hosts == (Address("h", 6379),)
    assert parse("redis+sentinel://h/m").hosts == (Address("h", 26379),)


def test_socket_has_two_names() -> None:
    assert parse("redis+unix:///run/redis.sock?db=1").url == "unix:///run/redis.sock?db=1"


def test_every_character_of_a_password_reaches_the_library() -> None:
    secret = "".join(map(chr, range(33, 127))) + "ü€ \n"
    quoted = quote(secret, safe="")

    for url in (
        f"redis://u:{quoted}@h/0",
        f"redis://{quoted}:{quoted}@a,b/0",
        f"redis+cluster://:{quoted}@a",
        f"unix://:{quoted}@/run/redis.sock",
    ):
        options = parse(url)
        plain = options.at(options.hosts[0]) if options.hosts else options.url

        assert parse_url(plain)["password"] == secret
        assert quoted not in options.shown
    named = parse(f"redis+sentinel://a/m?sentinel_username={quoted}&sentinel_password={quoted}")
    found = parse_url(named.sentinel_at(named.hosts[0]))
    assert (found["username"], found["password"]) == (secret, secret)


def test_password_of_a_key_has_the_name_that_the_library_has_for_it() -> None:
    assert dict(parse_url(parse("rediss://h?ssl_keyfile_password=p").url))["ssl_password"] == "p"


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("redis://a,b:port", "'b:port' is no host and port; write host:port"),
        ("redis://a,,b", "'' is no host and port"),
        ("redis+cluster://a:70000", "'a:70000' is no host and port"),
        ("redis+sentinel://a,b", "comes the name they know the master by: redis+sentinel://h1:26379"),
        ("redis+sentinel://a/m/x", "the number of a database, and not 'x'"),
        ("redis+cluster://a/1", "a cluster has the database 0 alone; take a namespace instead"),
        ("redis+cluster://a?db=1", "a cluster has the database 0 alone"),
        ("redis://h?sentinel_password=x", "there is no option 'sentinel_password'"),
        ("redis://h?ssl_ca_certs=/ca.pem", "ssl_ca_certs is for TLS, which is rediss://"),
        ("redis+cluster://h?ssl_ca_certs=/ca.pem", r"ssl_ca_certs is for TLS, which is rediss\+cluster://"),
        ("unix://run/redis.sock", "comes after two slashes: unix:///run/redis.sock"),
    ],
)
def test_url_of_several_servers_that_makes_no_sense_is_told_what_is_wrong(url: str, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said.replace("redis+s", r"redis\+s")):
        parse(url)


@pytest.mark.parametrize(
    "way", ["redis+sentinel://h/m", "rediss+cluster://h", "redis://a,b", "redis+unix:///s"]
)
def test_url_is_one_of_an_adapter(way: str) -> None:
    assert urls.connect(way).url == way
