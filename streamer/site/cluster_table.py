"""The cluster's table, read over gRPC from the head (Ray's GCS) with the messages that Ray itself brings.

`import ray` takes 47 MB and connecting as a driver a process of 100 MB and more; these messages and a channel
take 20. They are found in Ray's folder, and loaded without Ray's own start. Ray's version is pinned by the
extra `cluster`, and `tests/site` reads a real head with them.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
import time
import types
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from streamer.errors import SiteError
from streamer.site.cluster import CAPACITY, MILLI, Box, NotReached, Placing, Table
from streamer.site.settings import NODE_LABEL

HOW_TO_INSTALL = "Ray is not installed here: pip install 'streamer[cluster]'"
NAMESPACE = "streamer"
TIMEOUT_S = 2.0  # for the head to answer
MAX_MESSAGE = 64 << 20  # bytes of the table: 10,000 cameras take about 4 MB
DRAINED_FOR_S = 10 * 365 * 86_400  # a drain ends with the box's next start
_PROTOCOL = "streamer_ray_protocol"
_ALIVE = 0  # GcsNodeInfo.GcsNodeState


def protocol(module: str) -> Any:
    """One of Ray's generated modules, such as "gcs_service_pb2". Raises SiteError where Ray is missing."""
    if _PROTOCOL not in sys.modules:
        package = types.ModuleType(_PROTOCOL)
        package.__path__ = [str(_folder())]
        sys.modules[_PROTOCOL] = package
    try:
        return importlib.import_module(f"{_PROTOCOL}.{module}")
    except ImportError as error:
        raise SiteError(f"{HOW_TO_INSTALL} (its messages cannot be loaded: {error})") from error


def _folder() -> Path:
    spec = importlib.util.find_spec("ray")
    if spec is None or not spec.submodule_search_locations:
        raise SiteError(HOW_TO_INSTALL)
    return Path(next(iter(spec.submodule_search_locations))) / "core" / "generated"


class GcsTable:
    """A Cluster. `head` is HOST:PORT; with `tls` = (ca, certificate, key) as PEM it is spoken to over TLS."""

    def __init__(self, head: str, token: str = "", tls: tuple[bytes, bytes, bytes] | None = None) -> None:
        self._messages, stubs = protocol("gcs_service_pb2"), protocol("gcs_service_pb2_grpc")
        self._draining_messages = protocol("autoscaler_pb2")
        channel = _channel(head, tls)
        self._head = head
        self._metadata = (("authorization", f"Bearer {token}"),) if token else ()
        self._channel = channel
        self._placings = stubs.PlacementGroupInfoGcsServiceStub(channel)
        self._boxes = stubs.NodeInfoGcsServiceStub(channel)
        self._resources = stubs.NodeResourceInfoGcsServiceStub(channel)
        self._drains = protocol("autoscaler_pb2_grpc").AutoscalerStateServiceStub(channel)

    def table(self) -> Table:
        messages = self._messages
        boxes = self._ask(self._boxes.GetAllNodeInfo, messages.GetAllNodeInfoRequest())
        free = self._ask(self._resources.GetAllAvailableResources, messages.GetAllAvailableResourcesRequest())
        drains = self._ask(self._resources.GetDrainingNodes, messages.GetDrainingNodesRequest())
        placings = self._ask(self._placings.GetAllPlacementGroup, messages.GetAllPlacementGroupRequest())
        left = {each.node_id: dict(each.resources_available) for each in free.resources_list}
        draining = {each.node_id for each in drains.draining_nodes}
        infos = sorted(boxes.node_info_list, key=lambda info: int(info.start_time_ms))
        return Table(
            tuple(_box(info, left.get(info.node_id, {}), info.node_id in draining) for info in infos),
            tuple(_placings(placings.placement_group_table_data)),
        )

    def drain(self, box_id: str) -> None:
        messages = self._draining_messages
        request = messages.DrainNodeRequest(
            node_id=bytes.fromhex(box_id),
            reason=messages.DRAIN_NODE_REASON_PREEMPTION,
            reason_message="streamer site drain",
            deadline_timestamp_ms=int((time.time() + DRAINED_FOR_S) * 1000),
        )
        answer = self._ask(self._drains.DrainNode, request)
        if not answer.is_accepted:
            raise SiteError(f"the box is not drained: {answer.rejection_reason_message or 'it is refused'}")

    def close(self) -> None:
        self._channel.close()

    def _ask(self, call: Any, request: Any) -> Any:
        import grpc

        try:
            return call(request, metadata=self._metadata, timeout=TIMEOUT_S)
        except grpc.RpcError as error:
            raise refusal(self._head, error) from error


def refusal(head: str, error: Any) -> SiteError:
    """What an error of gRPC means, and what to do about it."""
    code, said = error.code().name, " ".join(str(error.details()).split())[:200]
    if code in ("UNAUTHENTICATED", "PERMISSION_DENIED"):
        return SiteError(
            f"the head at {head} refuses this box's token: join the site again with a new invitation"
        )
    if "certificate" in said.lower() or "handshake" in said.lower() or "SSL" in said:
        return NotReached(
            f"no TLS with the head at {head}: join the site again with a new invitation ({said})"
        )
    return NotReached(f"the head at {head} is not reached: is `streamer site agent` running there? ({said})")


def _channel(head: str, tls: tuple[bytes, bytes, bytes] | None) -> Any:
    try:
        import grpc
    except ImportError as error:
        raise SiteError(HOW_TO_INSTALL) from error
    # Each try is bounded, or a head that was away for an hour would be asked again only minutes later.
    options = [
        ("grpc.max_receive_message_length", MAX_MESSAGE),
        ("grpc.initial_reconnect_backoff_ms", 200),
        ("grpc.max_reconnect_backoff_ms", 1000),
        ("grpc.use_local_subchannel_pool", 1),
        ("grpc.enable_http_proxy", 0),
    ]
    if tls is None:
        return grpc.insecure_channel(head, options)
    ca, certificate, key = tls
    return grpc.secure_channel(head, grpc.ssl_channel_credentials(ca, key, certificate), options)


def _box(info: Any, free: Mapping[str, float], draining: bool) -> Box:
    labels = dict(info.labels)
    return Box(
        id=info.node_id.hex(),
        name=labels.pop(NODE_LABEL, ""),
        address=info.node_manager_address,
        alive=info.state == _ALIVE,
        draining=draining,
        capacity=float(info.resources_total.get(CAPACITY, 0.0)) / MILLI,
        free=float(free.get(CAPACITY, 0.0)) / MILLI,
        labels={name: value for name, value in labels.items() if not name.startswith("ray.io/")},
        is_head=info.is_head_node,
    )


def _placings(rows: Any) -> Iterator[Placing]:
    """Those of ours that are not removed. A camera is one bundle."""
    for row in rows:
        state = type(row).PlacementGroupState.Name(row.state)
        if row.ray_namespace != NAMESPACE or state == "REMOVED":
            continue
        bundle = row.bundles[0]
        placed = state == "CREATED"
        yield Placing(
            camera=row.name,
            id=row.placement_group_id.hex(),
            state="placed" if placed else "waiting",
            box=bundle.node_id.hex() if placed else "",
            cost=float(bundle.unit_resources.get(CAPACITY, 0.0)) / MILLI,
            on=dict(bundle.label_selector),
        )
