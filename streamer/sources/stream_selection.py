"""Which stream of an opened input is read, and what to say of the choice."""

from __future__ import annotations

from collections.abc import Sequence

from av.container import InputContainer
from av.video.stream import VideoStream

from pipelines.video_facts import VideoFacts
from pipelines.video_streams import best_of, decodable, facts_of
from streamer.errors import NoSuchStream, SourceDamaged
from streamer.sources.packets import Packets

# So far a second picture is looked for: a file that has several videos has them side by side.
MAX_PACKETS = 4000
MAX_BYTES = 32_000_000
MAX_PICTURES = 250  # of one stream, while another one shows no second


def select_stream(
    container: InputContainer, packets: Packets, shown: str, index: int | None, *, look_ahead: bool
) -> tuple[VideoStream, tuple[VideoFacts, ...]]:
    """The stream to be read, and all videos there are.

    `look_ahead`: whether packets may be read to tell stills from videos, where the header does not.
    Raise SourceDamaged if there is no video, NoSuchStream if the one asked for is none.
    """
    streams = container.streams.video
    single = _single(streams, packets) if look_ahead else frozenset()
    videos = tuple(facts_of(stream, single) for stream in streams)
    if index is not None:
        return _asked_for(container, videos, shown, index), videos
    best = best_of(videos)
    if best is None:
        instead = _kinds_instead(container, videos)
        raise SourceDamaged(f"{shown}: no video in it that can be decoded ({instead}): give another source")
    return _by_index(streams, best.index), videos


def _by_index(streams: Sequence[VideoStream], index: int) -> VideoStream:
    return next(stream for stream in streams if stream.index == index)


def _asked_for(
    container: InputContainer, videos: Sequence[VideoFacts], shown: str, index: int
) -> VideoStream:
    if any(each.index == index and each.codec for each in videos):
        return _by_index(container.streams.video, index)
    kind = next((s.type for s in container.streams if s.index == index), "")
    if any(each.index == index for each in videos):
        reason = "cannot be decoded"
    else:
        reason = f"is {kind}, no video" if kind else "does not exist"
    there = "; ".join(f"{each.index}: {each}" for each in videos) or "none"
    raise NoSuchStream(f"{shown}: stream {index} {reason}; its video streams: {there}")


def _kinds_instead(container: InputContainer, videos: Sequence[VideoFacts]) -> str:
    """What there is, where there is no video."""
    if any(not each.codec for each in videos):
        return "its codec is not known"
    kinds = {s.type for s in container.streams if s.type != "video"} | {each.still for each in videos}
    kinds |= {"video without pictures"} if "" in kinds else set()
    named = ", ".join(sorted(kinds - {""}))
    return f"only {named}" if named else "there is nothing at all in it"


def _single(streams: Sequence[VideoStream], packets: Packets) -> frozenset[int]:
    """The streams of which only one picture comes, if any, while another one moves."""
    candidates = [s for s in streams if decodable(s) and not facts_of(s).still]
    if len(candidates) < 2 or all(s.frames > 1 for s in candidates):
        return frozenset()
    pictures = dict.fromkeys((s.index for s in candidates), 0)
    size = 0
    for packet in packets.ahead(MAX_PACKETS):
        size += packet.size
        if packet.size and packet.stream_index in pictures:
            pictures[packet.stream_index] += 1
        if min(pictures.values()) > 1 or max(pictures.values()) >= MAX_PICTURES or size > MAX_BYTES:
            break
    if max(pictures.values()) < 2:
        return frozenset()
    return frozenset(index for index, count in pictures.items() if count < 2)


def selection_note(stream: int | None, videos: Sequence[VideoFacts]) -> str:
    """One line on which of several videos is read; empty where there is one."""
    chosen = next((each for each in videos if each.index == stream), None)
    if chosen is None or len(videos) < 2:
        return ""
    others = "; ".join(f"{each.index}: {each}" for each in videos if each is not chosen)
    return f"stream {chosen.index} is read ({chosen}); also in it: {others}"
