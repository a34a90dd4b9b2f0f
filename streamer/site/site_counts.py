"""A camera of a site, counted: its terms and their streams in the site's Redis, put together."""

from __future__ import annotations

from typing import Any

from streamer.ledger.count_rows import NS_PER_S, S_PER_MINUTE
from streamer.site.camera_streams import CameraStreams
from streamer.site.merge import Merged, merged
from streamer.site.terms import terms_of


def camera_counts(redis: Any, site: str, camera: str, since_ns: int, piece_ns: int) -> Merged:
    """From the minute of `since_ns` on (Unix ns), as far back as the streams reach. Raises RedisError."""
    streams = CameraStreams(redis, site, camera)
    for term in terms_of(redis, site, camera):
        streams.read(term.term, since_ns)
    terms = terms_of(redis, site, camera)  # who took over meanwhile ends what was read of the one before
    begin_s = since_ns // NS_PER_S // S_PER_MINUTE * S_PER_MINUTE
    made = [each for each in streams.made if each.counted.start_s >= begin_s]
    return merged(camera, terms, made, streams.buckets, piece_ns, since_ns)
