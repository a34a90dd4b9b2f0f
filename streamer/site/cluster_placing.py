"""Placing cameras: a camera is a detached placement group of one bundle, named after it.

Only here is Ray itself imported, by commands that live for seconds. Ray chooses the box, lets wait what has
no room, and places again what was on a box that died; nothing here schedules.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from streamer.errors import SiteError
from streamer.site.cluster import CAPACITY, NotReached, in_resource
from streamer.site.cluster_table import HOW_TO_INSTALL, NAMESPACE

STRATEGY = "STRICT_PACK"  # of one bundle all are the same; only this one heeds the box that has it now


class RayPlacer:
    """A Placer, while connected() lasts."""

    def place(self, camera: str, cost: float, on: Mapping[str, str], near: str = "") -> None:
        from ray.util.placement_group import placement_group

        asked: dict[str, Any] = {"bundle_label_selector": [dict(on)]} if on else {}
        if near:
            asked["_soft_target_node_id"] = near
        with _refusals(camera):
            placement_group(
                [{CAPACITY: in_resource(cost)}], strategy=STRATEGY, name=camera, lifetime="detached", **asked
            )

    def remove(self, camera: str) -> None:
        from ray.util.placement_group import get_placement_group, remove_placement_group

        try:
            found = get_placement_group(camera)
        except ValueError:
            return  # there is none
        with _refusals(camera):
            remove_placement_group(found)


@contextmanager
def _refusals(camera: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        raise SiteError(f"camera {camera}: Ray refuses it: {' '.join(str(error).split())[:300]}") from error


@contextmanager
def connected(head: str, address: str, environment: Mapping[str, str]) -> Iterator[RayPlacer]:
    """Placing through the Ray of this box, whose processes `streamer site agent` keeps.

    `environment` is set for this process before Ray looks at it. Raises SiteError.
    """
    os.environ.update(environment)
    try:
        import ray
    except ImportError as error:
        raise SiteError(HOW_TO_INSTALL) from error
    try:
        ray.init(
            address=head,
            namespace=NAMESPACE,
            _node_ip_address=address or None,
            log_to_driver=False,
            configure_logging=False,
            logging_level=logging.ERROR,
        )
    except Exception as error:
        text = " ".join(str(error).split())[:300]
        raise NotReached(
            f"Ray does not answer at {head}: is `streamer site agent` running on this box? ({text})"
        ) from error
    try:
        yield RayPlacer()
    finally:
        ray.shutdown()
