"""Clients of redis-py: for one server, for a service that sentinels watch, for a Cluster; what errors mean.

Only this file and redis.py import redis, in the functions that use it. A client here gives up soon and tries
nothing twice: who calls it tries again, after asking how far the sink is. That is what makes a failover
safe, since a replica that becomes the primary may lack the last writes.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

from streamer.errors import RedisError
from streamer.sinks.base import Kind, SinkError
from streamer.sinks.redis_url import RedisUrl, parse_redis_url, unchecked_tls

# What an ACL user needs besides: to find a Cluster's nodes; at the sentinels.
CLUSTER_COMMANDS = ("cluster|slots", "command")
SENTINEL_COMMANDS = ("sentinel|masters",)

CONNECT_TIMEOUT_S = 1.0
REPLY_TIMEOUT_S = 2.0
_FIRST_WITH_RETRY_OF_CLUSTER = 6  # redis-py's version in which a Cluster's `retry` is the Cluster's


def connect(url: str) -> Any:
    """A client that gives up soon and tries nothing twice. Raise RedisError for a URL that is none.

    Untyped, since redis-py types every reply as one that may be awaited. A Cluster is asked for its nodes at
    once, whose failures are raised as they are.
    """
    return opener(url)()


def opener(url: str) -> Callable[[], Any]:
    """What makes such a client, without connecting so far. Raise RedisError for a URL that is none."""
    import redis

    try:
        if unsafe := unchecked_tls(url):
            raise RedisError(f"the URL of Redis: {unsafe} leaves it open who answers: name the CA in tls_ca")
        place = parse_redis_url(url)
        pool = redis.ConnectionPool.from_url(place.server_url, **_limits(), **_tls(place))
        pool.make_connection()  # connects to nothing; refuses what it does not know
    except (TypeError, redis.RedisError):  # its text may hold a value
        raise RedisError(
            "the query of the URL of Redis (after its ?) holds what the client does not know: remove it"
        ) from None
    except ValueError as error:
        raise RedisError(
            "the URL of Redis is not understood: use redis://HOST:PORT/0, rediss://…, "
            "unix:///path/to/socket, redis+sentinel://HOST:PORT,HOST:PORT/SERVICE/0 or redis+cluster://HOST:PORT,HOST:PORT"
        ) from error
    openers = {"server": _server, "sentinel": _sentinel, "cluster": _cluster}
    return lambda: openers[place.topology](place)


def _limits() -> dict[str, Any]:
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    timeouts = {"socket_timeout": REPLY_TIMEOUT_S, "socket_connect_timeout": CONNECT_TIMEOUT_S}
    return {**timeouts, "retry": Retry(NoBackoff(), 0), "protocol": 2}


def _tls(place: RedisUrl) -> dict[str, Any]:
    """Whatever redis-py's version takes for granted, the name in the certificate is checked. A password of a
    key that is not given is empty: OpenSSL would ask the terminal for it, and wait."""
    return {"ssl_check_hostname": True, "ssl_password": ""} if place.tls else {}


def _server(place: RedisUrl) -> Any:
    import redis

    return redis.Redis.from_url(place.server_url, **_limits(), **_tls(place))


def _of_nodes(place: RedisUrl) -> dict[str, Any]:
    """What a connection to any of several hosts is made with: login, database, TLS."""
    from redis import connection

    parse: Any = connection.parse_url
    given = {**_tls(place), **parse(place.server_url), **_limits(), "ssl": place.tls}
    return {name: given[name] for name in given if name not in ("host", "port", "connection_class")}


def _sentinel(place: RedisUrl) -> Any:
    from redis.sentinel import Sentinel

    primary = _of_nodes(place)
    tls = {name: value for name, value in primary.items() if name.startswith("ssl")}
    login = {"username": place.sentinel_username, "password": place.sentinel_password}
    new: Any = Sentinel
    watchers = new(place.hosts, sentinel_kwargs={**_limits(), **tls, **login}, **primary)
    watchers.discover_master = partial(_primary, watchers)
    return watchers.master_for(place.service)


def _primary(watchers: Any, service: str) -> tuple[str, int]:
    """As redis-py's own, but that it says why where no sentinel names one. Raises MasterNotFoundError."""
    import redis
    from redis.sentinel import MasterNotFoundError

    refusals: list[redis.RedisError] = []
    for sentinel in watchers.sentinels:
        try:
            state = sentinel.sentinel_masters().get(service)
        except redis.RedisError as error:
            refusals.append(error)
            continue
        if state and watchers.check_master_state(state, service):
            return str(state["ip"]), int(state["port"])
    why = max(refusals, key=lambda error: _classified(error).kind != "down", default=None)
    raise MasterNotFoundError(f"they know of none named {service} that is up") from why


def _cluster(place: RedisUrl) -> Any:
    """One that asks the given nodes for the others anew after each failure: they, not what was once found,
    say which nodes there are, and a refusal takes no longer than they do."""
    import redis
    from redis import cluster

    given = {name: value for name, value in _of_nodes(place).items() if name != "db"}
    if int(redis.__version__.partition(".")[0]) < _FIRST_WITH_RETRY_OF_CLUSTER:
        given["cluster_error_retry_attempts"] = 0
    new_node: Any = cluster.ClusterNode
    nodes = [new_node(host, port) for host, port in place.hosts]
    return cluster.RedisCluster(startup_nodes=nodes, dynamic_startup_nodes=False, **given)


class Script:
    """A Lua script by its digest; sent to the node of its first key where that does not know it."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._digest = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()

    def run(self, client: Any, keys: Sequence[str], arguments: Sequence[str | int]) -> Any:
        import redis

        try:
            return client.evalsha(self._digest, len(keys), *keys, *arguments)
        except redis.exceptions.NoScriptError:
            client.execute_command("SCRIPT LOAD", self._text, **at_key(client, keys[0]))
            return client.evalsha(self._digest, len(keys), *keys, *arguments)


def at_key(client: Any, key: str) -> dict[str, Any]:
    """What sends a command without a key of its own to where `key` is."""
    return {"target_nodes": client.get_node_from_key(key)} if is_cluster(client) else {}


def is_cluster(client: Any) -> bool:
    return hasattr(client, "get_node_from_key")


def read_streams(client: Any, cursors: Mapping[str, str], count: int, block_ms: int | None) -> list[Any]:
    """XREAD; of a Cluster's streams one by one and without waiting, since they lie in different slots."""
    if not is_cluster(client):
        streams: dict[Any, Any] = dict(cursors)
        return client.xread(streams, count=count, block=block_ms) or []
    found: list[Any] = []
    for key, after in cursors.items():
        words = ("XREAD", "COUNT", count, "STREAMS", key, after)
        found += client.execute_command(*words, **at_key(client, key)) or []
    return found


@contextmanager
def failures() -> Iterator[None]:
    """Turn redis-py's errors into SinkError by class."""
    import redis

    try:
        yield
    except (redis.RedisError, redis.exceptions.RedisClusterException) as error:
        raise _classified(error) from error
    except OSError as error:
        raise SinkError("down", f"Redis is not reached: {error}") from error


@contextmanager
def failures_for_people() -> Iterator[None]:
    try:
        with failures():
            yield
    except SinkError as error:
        raise RedisError(str(error)) from error


def _classified(error: Exception) -> SinkError:
    import redis
    from redis.sentinel import MasterNotFoundError

    if isinstance(error, redis.exceptions.RedisClusterException):
        why = error.__cause__ or error.__context__  # why no node could be asked, where that was it
        if isinstance(why, redis.RedisError | redis.exceptions.RedisClusterException):
            inner = _classified(why)
            if inner.kind != "auth" or "tls_" in str(inner):
                return inner
            needs = " ".join(f"+{command}" for command in CLUSTER_COMMANDS)
            return SinkError("auth", f"{inner}: in a Cluster it needs {needs} too")
    text = " ".join(str(error).split())
    if isinstance(error, MasterNotFoundError):
        return _no_primary(error)
    kind, said = _of_topology(error, text) or _of_text(error, text[:200])
    return SinkError(kind, said)


def _no_primary(error: Exception) -> SinkError:
    """Of the sentinels' reasons, the one that a person can do most about."""
    if not isinstance(error.__cause__, Exception):
        return SinkError("down", f"no primary behind the sentinels: {error}; check the service in the url")
    why = _classified(error.__cause__)
    needs = " ".join(f"+{command}" for command in SENTINEL_COMMANDS)
    at = f"; at the sentinels it is sentinel_password, and {needs}" if why.kind == "auth" else ""
    return SinkError(why.kind, f"no sentinel names the primary: {why}{at}")


def _of_topology(error: Exception, text: str) -> tuple[Kind, str] | None:
    """A URL that says something else than what is there, and a Cluster that is not whole."""
    from redis.exceptions import AskError, ClusterDownError, TryAgainError

    if "unknown command" in text and "SENTINEL" in text.upper():
        return "refused", "what answers is no sentinel: give redis+sentinel:// the addresses of the sentinels"
    if isinstance(error, AskError):  # MOVED is one
        return "refused", "this Redis is a node of a Cluster: let the sink's url begin with redis+cluster://"
    if "luster mode is not enabled" in text or "cluster support disabled" in text:
        return "refused", "this Redis is no Cluster: let the sink's url begin with redis:// or rediss://"
    if isinstance(error, ClusterDownError | TryAgainError) or "not covered" in text:
        return "down", f"the Cluster does not serve all its slots: {text[:200]}"
    return None


def _of_text(error: Exception, text: str) -> tuple[Kind, str]:
    import redis

    refused = (redis.AuthenticationError, redis.exceptions.NoPermissionError)
    said_no = text.startswith(("NOAUTH", "WRONGPASS", "NOPERM", "The user executing the script"))
    if isinstance(error, refused) or said_no or "unauthenticated" in text:
        return "auth", f"Redis refuses the user or password: {text}; mend the sink's url or the ACL"
    if isinstance(error, redis.exceptions.OutOfMemoryError) or text.startswith("OOM"):
        return "full", "Redis is out of memory: raise its maxmemory or lower the sink's stream_max_len"
    if isinstance(error, redis.exceptions.ReadOnlyError) or text.startswith("READONLY"):
        return "readonly", "this Redis is a read-only replica: let the sink's url name the primary"
    if text.startswith("WRONGTYPE"):
        return "wrong_type", f"a key of ours holds something else: {text}; remove or rename it"
    if text.startswith(("MISCONF", "NOREPLICAS")):
        return "full", f"Redis cannot write: {text}"
    if said := _of_tls(text):
        return said
    if isinstance(error, redis.ConnectionError | redis.TimeoutError):
        return "down", f"Redis is not reached: {text}"
    return "refused", f"Redis refuses: {text}"


def _of_tls(text: str) -> tuple[Kind, str] | None:
    if "CERTIFICATE_VERIFY_FAILED" in text:
        return "auth", f"Redis's certificate is not trusted: {_reason(text)}; mend it, or tls_ca"
    if "alert" in text and "SSL" in text.upper():
        return "auth", f"Redis refuses our certificate: {_reason(text)}; mend tls_cert and tls_key"
    if "_ssl.c" in text:
        files = "tls_cert and tls_key with its password, if it wants a certificate of ours"
        return "down", f"Redis is not reached over TLS: {_reason(text)}; check it, and {files}"
    return None


def _reason(text: str) -> str:
    """What OpenSSL said, without where in its source."""
    match = re.search(r"\[SSL: \w+\] (.*?)(?: \(_ssl\.c:\d+\))?\.?$", text)
    return match[1] if match else text
