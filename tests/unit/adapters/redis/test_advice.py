"""Advice: each fault that a person can mend says how."""

from __future__ import annotations

import pytest
from redis.exceptions import (
    AskError,
    AuthenticationError,
    ConnectionError,
    MovedError,
    NoPermissionError,
    ReadOnlyError,
    ResponseError,
    TimeoutError,
)

from aioqueue.adapters.redis.advice import advice, is_forbidden, is_of_tls
from aioqueue.adapters.redis.faults import SetUpError, is_elsewhere, is_set_up, is_short

PLAIN, TLS = "redis://h:1/0", "rediss://h:1/0"
CERTIFIED = f"{TLS}?ssl_certfile=/c.pem"


@pytest.mark.parametrize(
    ("said", "todo"),
    [
        (
            "[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: self-signed certificate",
            "by ssl_ca_certs=",
        ),
        (
            "[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: Hostname mismatch, certificate",
            "by a name",
        ),
        (
            "certificate verify failed: IP address mismatch, certificate is not valid for '127.0.0.1'",
            "by a name",
        ),
        (
            "certificate verify failed: certificate has expired",
            "the server's certificate, or its CA's, has expired",
        ),
        (
            "[SSL: TLSV13_ALERT_CERTIFICATE_REQUIRED] tlsv13 alert certificate required",
            "wants a client certificate",
        ),
        ("[SSL: SSLV3_ALERT_CERTIFICATE_EXPIRED]", "the client certificate has expired"),
        (
            "[SSL: TLSV1_ALERT_UNKNOWN_CA] tlsv1 alert unknown ca",
            "does not know the CA of the client certificate",
        ),
        ("[SSL: WRONG_VERSION_NUMBER] wrong version number", "speaks no TLS: write redis for rediss"),
        ("[X509: KEY_VALUES_MISMATCH] key values mismatch", "ssl_keyfile= is not the key"),
    ],
)
def test_refusal_of_tls_stays_and_says_what_to_do(said: str, todo: str) -> None:
    error = ConnectionError(f"Error 1 connecting to h:1. {said} (_ssl.c:1006).")

    assert todo in advice(error, TLS)
    assert is_of_tls(error)
    assert is_set_up(error)
    assert not is_short(error)


@pytest.mark.parametrize(
    ("shown", "todo"),
    [
        (PLAIN, "if it wants TLS, write rediss://"),
        ("redis+cluster://h", "if it wants TLS, write rediss+cluster://"),
        (TLS, "it may want a client certificate"),
        (CERTIFIED, "it may refuse the certificate of ssl_certfile="),
    ],
)
def test_lost_connection_says_what_may_be_the_matter(shown: str, todo: str) -> None:
    error = ConnectionError("Connection closed by server.")

    assert advice(error, shown).startswith(f"Connection closed by server; {todo}")
    assert is_short(error)


def test_refused_connection_needs_no_advice() -> None:
    error = ConnectionError("Error 111 connecting to h:1. Connection refused.")

    assert advice(error, PLAIN) == "Error 111 connecting to h:1. Connection refused."


def test_silence_where_tls_was_spoken_may_be_a_plain_port() -> None:
    assert "write redis for rediss" in advice(TimeoutError("no connection within 5 s"), TLS)
    assert advice(TimeoutError("no connection within 5 s"), PLAIN) == "no connection within 5 s"
    assert advice(TimeoutError("no answer within 5 s"), TLS) == "no answer within 5 s"


def test_wrong_password_says_how_one_is_written() -> None:
    said = advice(AuthenticationError("WRONGPASS invalid username-password pair"), "rediss+sentinel://h/m")

    assert "rediss+sentinel://user:password@host" in said


@pytest.mark.parametrize(
    "error",
    [
        NoPermissionError("this user has no permissions to run the 'evalsha' command"),
        ResponseError("ERR The user executing the script can't run this command or subcommand script: 5f"),
        ResponseError("NOPERM The user executing the script can't access at least one of the keys"),
        ConnectionError("node h:1: this user has no permissions to run the 'cluster' command"),
    ],
)
def test_missing_right_is_told_with_where_they_are_listed(error: Exception) -> None:
    assert is_forbidden(error)
    assert is_set_up(error)
    assert "docs/guides/on-redis.md has the ACL line" in advice(error, PLAIN)


def test_node_of_a_cluster_is_told_as_one() -> None:
    moved = MovedError("1234 10.0.0.7:7001")

    assert advice(moved, PLAIN) == (
        "slot 1234 of the cluster is served by 10.0.0.7:7001; this is a node of a cluster: write redis+cluster://"
    )
    assert advice(moved, "redis+cluster://h") == "slot 1234 of the cluster is served by 10.0.0.7:7001"
    assert advice(AskError("1234 h:2"), PLAIN) == "slot 1234 of the cluster is on its way to h:2"


def test_replica_is_told_as_one() -> None:
    error = ReadOnlyError("You can't write against a read only replica.")

    assert "name its master" in advice(error, PLAIN)
    assert "name its master" not in advice(error, "redis+sentinel://h/m")


def test_only_what_is_elsewhere_is_looked_for() -> None:
    assert is_elsewhere(MovedError("1 h:1"))
    assert is_elsewhere(ReadOnlyError("x"))
    assert is_elsewhere(
        ResponseError("READONLY You can't write against a read only replica. script: 5f, on @1.")
    )
    assert not is_elsewhere(AskError("1 h:1"))
    assert is_short(AskError("1 h:1"))
    assert not is_short(SetUpError("h is no node of a cluster"))
