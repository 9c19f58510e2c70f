"""TLS: with certificates on both sides, and what is said of each that is wrong."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
import trustme

from aioqueue.adapters.redis import connect
from aioqueue.errors import AioqueueError, BrokerUnavailableError, ConfigurationError
from aioqueue.ids import new_id
from tests.integration.redis.apparatus import Counted
from tests.integration.redis.conftest import binary
from tests.support.redis_server import HOST, RedisServer, free_port
from tests.support.topologies import ClusterNode, SentinelServer
from tests.support.waiting import eventually, within

pytestmark = pytest.mark.anyio

PAST = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)


@dataclass(frozen=True)
class Site:
    """A server with TLS, and files. port: for TLS."""

    server: RedisServer
    port: int
    folder: Path

    def url(self, *, host: str = "localhost", port: int = 0, **options: str) -> str:
        """Return a URL with files by their names; ``client`` is a certificate and its key."""
        client = options.pop("client", None)
        files = {name: str(self.folder / file) for name, file in options.items() if file.endswith(".pem")}
        files |= {name: word for name, word in options.items() if name not in files}
        if client is not None:
            files["ssl_certfile"] = str(self.folder / f"{client}.pem")
            files["ssl_keyfile"] = str(self.folder / f"{client}.key")
        query = urlencode({"namespace": new_id(), "timeout": "4", **files})
        return f"rediss://{host}:{port or self.port}/0?{query}"


def written(folder: Path, name: str, certificate: trustme.LeafCert) -> None:
    """Write a certificate with its key."""
    certificate.private_key_pem.write_to_path(folder / f"{name}.key")
    for number, pem in enumerate(certificate.cert_chain_pems):
        pem.write_to_path(folder / f"{name}.pem", append=number > 0)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of certificates."""
    folder, ours, other = tmp_path_factory.mktemp("tls"), trustme.CA(), trustme.CA()
    ours.cert_pem.write_to_path(folder / "ca.pem")
    other.cert_pem.write_to_path(folder / "other.pem")
    written(folder, "server", ours.issue_cert("localhost", HOST))
    written(folder, "elsewhere", ours.issue_cert("elsewhere.example"))
    written(folder, "client", ours.issue_cert("worker@example"))
    written(folder, "stranger", other.issue_cert("worker@example"))
    expired = PAST + datetime.timedelta(days=1)
    written(folder, "expired", ours.issue_cert("w@example", not_before=PAST, not_after=expired))
    return folder


def tls(folder: Path, port: int, name: str = "server", *, clients: str = "yes") -> list[str]:
    """Return the options of a server with TLS."""
    return [
        "--tls-port", str(port),
        "--tls-cert-file", str(folder / f"{name}.pem"),
        "--tls-key-file", str(folder / f"{name}.key"),
        "--tls-ca-cert-file", str(folder / "ca.pem"),
        "--tls-auth-clients", clients,
    ]  # fmt: skip


@pytest.fixture(scope="module")
def site(certificates: Path) -> Iterator[Site]:
    """A server that wants a certificate of its clients."""
    port = free_port()
    with RedisServer(binary("redis"), options=tls(certificates, port)) as server:
        yield Site(server, port, certificates)


async def refused(url: str) -> AioqueueError:
    """Return the error of opening *url*."""
    broker = connect(url).broker
    assert broker is not None
    with pytest.raises(AioqueueError) as caught:
        await within(broker.open(), deadline=5.0)
    return caught.value


async def runs(url: str) -> None:
    """Run one task at *url*."""
    counted = Counted(url)
    async with counted.server, counted.server.worker():
        (result,) = await counted.send(1)
        assert await within(result.get()) == 0


@pytest.mark.parametrize("host", ["localhost", HOST])
async def test_worker_runs_over_tls_with_a_certificate_of_its_own(site: Site, host: str) -> None:
    await runs(site.url(host=host, ssl_ca_certs="ca.pem", client="client"))


@pytest.mark.parametrize("options", [{"ssl_ca_certs": "other.pem"}, {}], ids=["of another", "none"])
async def test_ca_that_did_not_sign_is_named_with_its_option(site: Site, options: Any) -> None:
    error = await refused(site.url(client="client", **options))

    assert isinstance(error, ConfigurationError)
    assert (
        "no CA known here has signed the server's certificate: name the file of its CA by ssl_ca_certs="
        in (str(error))
    )
    assert f"localhost:{site.port}" in str(error)


@pytest.mark.parametrize(
    ("client", "said"),
    [
        (None, "a client certificate: name its files by ssl_certfile= and ssl_keyfile="),
        ("expired", "the client certificate has expired: have that of ssl_certfile= renewed"),
        ("stranger", "the server does not know the CA of the client certificate that ssl_certfile= names"),
    ],
)
async def test_client_certificate_that_is_refused_is_told_why(
    site: Site, client: str | None, said: str
) -> None:
    options: Any = {} if client is None else {"client": client}

    error = await refused(site.url(ssl_ca_certs="ca.pem", **options))

    # what the server says of it may be lost with the connection
    lost = "it may refuse the certificate of ssl_certfile=: expired, or of a CA it does not know"
    assert said in str(error) or (client is not None and lost in str(error))


async def test_certificate_of_another_host_is_refused_unless_that_is_wanted(certificates: Path) -> None:
    port = free_port()
    options = tls(certificates, port, "elsewhere", clients="no")
    with RedisServer(binary("redis"), options=options) as server:
        site = Site(server, port, certificates)

        error = await refused(site.url(ssl_ca_certs="ca.pem"))
        await runs(site.url(ssl_ca_certs="ca.pem", ssl_check_hostname="false"))
        await runs(site.url(ssl_cert_reqs="none"))

    assert isinstance(error, ConfigurationError)
    assert "connect by a name that it is for" in str(error)


async def test_plain_words_to_a_port_for_tls_are_told_of(site: Site) -> None:
    error = await refused(f"redis://localhost:{site.port}")

    assert isinstance(error, BrokerUnavailableError)
    assert "if it wants TLS, write rediss://" in str(error)


async def test_tls_to_a_port_without_it_is_told_of(site: Site) -> None:
    error = await refused(site.url(port=site.server.port, ssl_ca_certs="ca.pem", client="client"))

    assert isinstance(error, BrokerUnavailableError)
    assert "if nothing there speaks TLS, write redis for rediss, or the port for TLS" in str(error)


@pytest.mark.parametrize("option", ["ssl_ca_certs", "ssl_certfile", "ssl_keyfile"])
async def test_file_that_is_not_there_is_named(site: Site, option: str) -> None:
    good: Any = {"ssl_ca_certs": "ca.pem", "ssl_certfile": "client.pem", "ssl_keyfile": "client.pem"}

    error = await refused(site.url(**{**good, option: "nowhere.pem"}))

    assert isinstance(error, ConfigurationError)
    assert f"the file {site.folder}/nowhere.pem of {option}= cannot be read" in str(error)


async def test_key_of_another_certificate_is_told_of(site: Site) -> None:
    key = str(site.folder / "stranger.key")

    error = await refused(site.url(ssl_ca_certs="ca.pem", ssl_certfile="client.pem", ssl_keyfile=key))

    assert "ssl_keyfile= is not the key of the certificate that ssl_certfile= names" in str(error)


async def test_certificate_that_is_renewed_is_read_by_the_next_connection(site: Site, tmp_path: Path) -> None:
    for suffix in ("pem", "key"):
        (tmp_path / f"mine.{suffix}").write_bytes((site.folder / f"client.{suffix}").read_bytes())
    mine = {"ssl_certfile": str(tmp_path / "mine.pem"), "ssl_keyfile": str(tmp_path / "mine.key")}
    url = site.url(ssl_ca_certs="ca.pem") + "&" + urlencode(mine)
    counted = Counted(url)

    async with counted.server:
        for suffix in ("pem", "key"):
            (tmp_path / f"mine.{suffix}").write_bytes((site.folder / f"expired.{suffix}").read_bytes())
        site.server.command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        with pytest.raises(BrokerUnavailableError, match=r"has expired|may refuse"):
            await counted.send(1)
        for suffix in ("pem", "key"):
            (tmp_path / f"mine.{suffix}").write_bytes((site.folder / f"client.{suffix}").read_bytes())

        assert len(await counted.send(1)) == 1


async def test_sentinels_and_servers_are_spoken_to_over_tls(certificates: Path) -> None:
    """The sentinels have no plain port to be found by, and name the master's port for TLS."""
    port = free_port()
    with RedisServer(binary("redis"), options=tls(certificates, port)) as server:
        watch = free_port()
        options = [
            "tls-replication yes",
            f"tls-port {watch}",
            *(
                f"{name.removeprefix('--')} {value}"
                for name, value in zip(*[iter(tls(certificates, watch)[2:])] * 2, strict=True)
            ),
        ]
        with SentinelServer(binary("redis"), port, options=options) as sentinel:
            await eventually(lambda: sentinel.command("SENTINEL", "MASTER", "mymaster")[9] == b"master")
            files = Site(server, port, certificates).url(ssl_ca_certs="ca.pem", client="client")
            query = files.partition("?")[2]

            await runs(f"rediss+sentinel://localhost:{watch}/mymaster?{query}")


async def test_nodes_of_a_cluster_are_spoken_to_over_tls(certificates: Path) -> None:
    """The node names its port for TLS, as the nodes speak TLS among themselves."""
    port = free_port()
    options = [*tls(certificates, port), "--tls-cluster", "yes"]
    with ClusterNode(binary("redis"), options=options) as node:
        node.command("CLUSTER", "ADDSLOTSRANGE", 0, 16_383)
        await eventually(lambda: node.is_well)
        query = Site(node, port, certificates).url(ssl_ca_certs="ca.pem", client="client").partition("?")[2]
        stranger = Site(node, port, certificates).url(ssl_ca_certs="other.pem", client="client")

        await runs(f"rediss+cluster://localhost:{port}?{query}")
        error = await refused(f"rediss+cluster://localhost:{port}?{stranger.partition('?')[2]}")

    assert isinstance(error, ConfigurationError)
    assert "no CA known here has signed the server's certificate" in str(error)
