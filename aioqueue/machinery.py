"""Machinery: the keys of machinery's own YAML file, and what becomes of each of them.

Pure data: ``settings_file`` obeys it, the guide shows it. A value among a key's *empty* ones says
there what we do anyway, so that the key is as good as absent; so is every key without a value.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Fate(StrEnum):
    """What becomes of a key that has a value. WARNED: ignored, and told once."""

    READ = "read"
    IGNORED = "ignored"
    WARNED = "warned"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Key:
    """One key, a dot between section and name. ours: the settings it is read as.

    says: what we do instead, or what to write. empty: values with which it says nothing.
    """

    name: str
    fate: Fate
    says: str
    ours: tuple[str, ...] = ()
    empty: tuple[object, ...] = ()


@dataclass(frozen=True, slots=True)
class Form:
    """A way to write a URL that means something else here. pattern: what such a URL begins with."""

    pattern: str
    says: str


_POOL: Final = "a process needs one connection for all its calls"
_TIMEOUT: Final = "write `?timeout=<seconds>` at the end of the URL; it is 5 s without"
_SENTINEL: Final = (
    "name the sentinels in the URL: `redis+sentinel://host1,host2/<master_name>`, with a password of theirs"
    " as `?sentinel_password=<password>`"
)
_CLUSTER: Final = "name nodes of the cluster in the URL: `redis+cluster://host1,host2`"
_SEVERAL: Final = (
    "write `redis+cluster://host1,host2`, or `redis+sentinel://host1,host2/<master_name>` where they are"
    " sentinels"
)
_OWN_EXCHANGE: Final = "aioqueue names and binds its own exchanges and queues"
_NO_DYNAMO: Final = "aioqueue keeps no results in DynamoDB: leave it out and name another `backend`"

KEYS: Final = (
    Key("broker", Fate.READ, "`broker`", ("broker",)),
    Key("default_queue", Fate.READ, "`queue`", ("queue",), ("",)),
    Key("result_backend", Fate.READ, "`backend`", ("backend",), ("",)),
    Key(
        "results_expire_in",
        Fate.READ,
        "`result_ttl` and `failure_ttl`, counted from the end of the task",
        ("result_ttl", "failure_ttl"),
        (0,),
    ),
    Key("lock", Fate.IGNORED, "what must happen once is decided by the store itself"),
    Key(
        "multiple_broker_separator",
        Fate.REFUSED,
        "a broker is one URL: leave it out and name one address, of a proxy perhaps",
        empty=("",),
    ),
    Key(
        "no_unix_signals",
        Fate.WARNED,
        "only `worker.run()` and the command handle signals; `async with server.worker():` does not",
        empty=(False,),
    ),
    Key(
        "tlsconfig",
        Fate.REFUSED,
        "write `rediss://`, and what TLS needs at the end of the URL, as `?ssl_ca_certs=<file>`",
        empty=({},),
    ),
    Key("redis.max_idle", Fate.IGNORED, _POOL),
    Key("redis.max_active", Fate.IGNORED, _POOL),
    Key("redis.max_idle_timeout", Fate.IGNORED, _POOL),
    Key("redis.wait", Fate.IGNORED, _POOL),
    Key("redis.read_timeout", Fate.WARNED, _TIMEOUT, empty=(15,)),
    Key("redis.write_timeout", Fate.WARNED, _TIMEOUT, empty=(15,)),
    Key("redis.connect_timeout", Fate.WARNED, _TIMEOUT, empty=(15,)),
    Key("redis.normal_tasks_poll_period", Fate.IGNORED, "a worker is woken and does not poll"),
    Key("redis.delayed_tasks_poll_period", Fate.IGNORED, "a worker is woken when a task is due"),
    Key(
        "redis.delayed_tasks_key",
        Fate.IGNORED,
        "each queue has keys of its own, so that it may even be the name of the queue",
    ),
    Key(
        "redis.client_name", Fate.WARNED, "connections have no name; workers are listed by `aioqueue status`"
    ),
    Key("redis.master_name", Fate.REFUSED, _SENTINEL, empty=("",)),
    Key("redis.sentinel_password", Fate.REFUSED, _SENTINEL, empty=("",)),
    Key("redis.cluster_mode", Fate.REFUSED, _CLUSTER, empty=(False,)),
    Key("redis.cluster_enabled", Fate.REFUSED, _CLUSTER, empty=(False,)),
    Key("amqp.exchange", Fate.IGNORED, _OWN_EXCHANGE),
    Key(
        "amqp.exchange_type",
        Fate.REFUSED,
        "a task goes to the queue its call names: leave it out, and send once for each queue",
        empty=("", "direct"),
    ),
    Key("amqp.binding_key", Fate.IGNORED, _OWN_EXCHANGE),
    Key(
        "amqp.queue_declare_args",
        Fate.REFUSED,
        "leave it out; `max_queue` bounds a queue, and priorities need no argument",
        empty=({},),
    ),
    Key(
        "amqp.queue_binding_args",
        Fate.REFUSED,
        "leave it out: a task goes to the queue its call names",
        empty=({},),
    ),
    Key(
        "amqp.prefetch_count",
        Fate.WARNED,
        "a worker takes as many as it has slots for: `concurrency`",
        empty=(3,),
    ),
    Key("amqp.auto_delete", Fate.WARNED, "queues stay when the last worker leaves", empty=(False,)),
    Key("amqp.delayed_queue", Fate.IGNORED, "what is delayed needs no queue that you name"),
    Key("sqs.receive_wait_time_seconds", Fate.IGNORED, "how long it waits for tasks is the store's affair"),
    Key(
        "sqs.receive_visibility_timeout",
        Fate.IGNORED,
        "a task is kept for as long as its worker shows signs of life, however long it runs",
    ),
    Key("sqs.visibility_hearth_beat", Fate.IGNORED, "signs of life are always given"),
    Key("dynamodb.task_states_table", Fate.REFUSED, _NO_DYNAMO, empty=("", "task_states")),
    Key("dynamodb.group_metas_table", Fate.REFUSED, _NO_DYNAMO, empty=("", "group_metas")),
    Key("mongodb.database", Fate.REFUSED, "leave it out: what a store needs stands in its URL", empty=("",)),
    Key(
        "gcppubsub.max_extension",
        Fate.REFUSED,
        "aioqueue does not speak to Pub/Sub: leave it out and name another `broker`",
        empty=("", 0),
    ),
)

FORMS: Final = (
    Form(
        r"eager$", "write `memory://<name>`, and run a worker beside your code: `async with server.worker():`"
    ),
    Form(r"null$", "leave it out, and write `ignore_result=True` on the tasks whose results nobody wants"),
    Form(
        r"redis\+socket:",
        "write `unix:///run/redis.sock?db=0`, with a password `unix://:password@/run/redis.sock`",
    ),
    Form(r"rediss?://([^/]*@)?[^/?@]*,[^@]*$", _SEVERAL),
    Form(r"rediss?://[^/?:@]+@", "a password alone has a colon before it: write `redis://:password@host`"),
)

BY_NAME: Final = {key.name: key for key in KEYS}
SECTIONS: Final = frozenset(key.name.partition(".")[0] for key in KEYS if "." in key.name)
