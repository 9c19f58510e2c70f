"""Advice: what redis-py says went wrong, and what to do about it.

TLS errors are known by OpenSSL's words for them, as the library hands on nothing else of them.
"""

from __future__ import annotations

from typing import Any, Final

from redis.exceptions import (
    AskError,
    AuthenticationError,
    ConnectionError,
    MovedError,
    NoPermissionError,
    ReadOnlyError,
    RedisError,
    TimeoutError,
)

from aioqueue.adapters.redis.hosts import Address

_GUIDE: Final = "docs/guides/on-redis.md has the ACL line"
_TLS: Final = {
    "hostname mismatch": "the certificate is for another name: connect by a name that it is for",
    "ip address mismatch": "the certificate is for another address: connect by a name that it is for",
    "certificate has expired": "the server's certificate, or its CA's, has expired: have it renewed",
    "certificate verify failed": (
        "no CA known here has signed the server's certificate: name the file of its CA by ssl_ca_certs="
    ),
    "alert certificate required": (
        "the server wants a client certificate: name its files by ssl_certfile= and ssl_keyfile="
    ),
    "alert certificate expired": "the client certificate has expired: have that of ssl_certfile= renewed",
    "alert unknown ca": "the server does not know the CA of the client certificate that ssl_certfile= names",
    "alert bad certificate": "the server refuses the client certificate that ssl_certfile= names",
    "alert unsupported certificate": "the server refuses the client certificate that ssl_certfile= names",
    "key values mismatch": "ssl_keyfile= is not the key of the certificate that ssl_certfile= names",
    "no certificate or crl found": "the file that ssl_ca_certs= names holds no certificate",
    "wrong version number": "what listens there speaks no TLS: write redis for rediss, or the port for TLS",
    "record layer failure": "what listens there speaks no TLS: write redis for rediss, or the port for TLS",
}
_LOST: Final = ("closed by server", "connection lost", "reset by peer", "broken pipe", "eof occurred")
_FORBIDDEN: Final = ("user executing the script can't", "no permissions")


def whither(exc: AskError) -> Address:
    """Return where one is sent by a node of a cluster."""
    found: Any = exc
    return Address(found.host, int(found.port))


def is_of_tls(exc: BaseException | None) -> bool:
    """Tell whether TLS was refused, here or there, for a reason that stays."""
    return isinstance(exc, ConnectionError) and _of_tls(str(exc)) is not None


def is_forbidden(exc: BaseException | None) -> bool:
    """Tell whether the user may not do it, also where a script was told so."""
    text = str(exc).lower()
    return isinstance(exc, NoPermissionError) or (
        isinstance(exc, RedisError) and any(words in text for words in _FORBIDDEN)
    )


def advice(exc: BaseException, shown: str) -> str:
    """Return what *exc* says of the server that is *shown* so, and what to do about it."""
    text = str(exc) or type(exc).__name__
    if isinstance(exc, AskError):
        verb = "is served by" if isinstance(exc, MovedError) else "is on its way to"
        text = f"slot {exc.slot_id} of the cluster {verb} {whither(exc)}"
    todo = _todo(exc, text, shown)
    return f"{text.rstrip('.')}; {todo}" if todo else text


def _todo(exc: BaseException, text: str, shown: str) -> str | None:
    scheme = shown.partition(":")[0]
    if is_forbidden(exc):
        return f"the user lacks a right that aioqueue needs: {_GUIDE}"
    match exc:
        case AuthenticationError():
            return (
                f"name the right user and password, as {scheme}://user:password@host,"
                " with special characters as %40 for @"
            )
        case MovedError() if "+" not in scheme:
            return f"this is a node of a cluster: write {scheme}+cluster://"
        case ReadOnlyError() if scheme in {"redis", "rediss"} and "," not in shown:
            return "this is a replica: name its master, or all hosts, or the sentinels that know it"
        case ConnectionError() | TimeoutError():
            return _of_tls(text) or _of_scheme(exc, text, scheme, "ssl_certfile=" in shown)
        case _:
            return None


def _of_tls(text: str) -> str | None:
    words = text.lower().replace("_", " ")
    return next((todo for said, todo in _TLS.items() if said in words), None)


def _of_scheme(exc: Exception, text: str, scheme: str, certified: bool) -> str | None:
    """Return what may be the matter where the other end has hung up, or has said nothing."""
    lost = any(words in text.lower() for words in _LOST)
    if scheme.startswith("rediss"):
        if isinstance(exc, TimeoutError) and text.startswith("no connection"):
            return "if nothing there speaks TLS, write redis for rediss, or the port for TLS"
        # what it said of a certificate may be lost with the connection
        if lost and certified:
            return "it may refuse the certificate of ssl_certfile=: expired, or of a CA it does not know"
        if lost:
            return "it may want a client certificate: name its files by ssl_certfile= and ssl_keyfile="
        return None
    if lost and scheme.startswith("redis"):
        return f"if it wants TLS, write {scheme.replace('redis', 'rediss', 1)}://"
    return None
