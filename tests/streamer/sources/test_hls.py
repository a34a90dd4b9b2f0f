"""HLS: recordings and live windows, and what a playlist may not make a box open."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from itertools import pairwise

import pytest

from streamer.errors import AuthFailed, SourceEnded, SourceError, SourceStalled
from streamer.sources.base import Source, create_source
from streamer.sources.limits import SourceLimits
from tests.clips import make_clip, number_of, write_playlist
from tests.http_server import Answer, Request, basic, http_server
from tests.patience import patient

M3U8 = "application/vnd.apple.mpegurl"
SEGMENT_FRAMES = 25  # one second each


@pytest.fixture(scope="module")
def segments(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    """Four segments of a second; the frames are numbered through, and so are their times."""
    folder = tmp_path_factory.mktemp("hls")
    clip = make_clip(folder / "a.mp4", frames=4 * SEGMENT_FRAMES, key_frame_gap=SEGMENT_FRAMES)
    return [path.read_bytes() for path in write_playlist(clip, folder, 1)]


def playlist(names: list[str], first: int = 0, *, ended: bool = True, breaks: tuple[int, ...] = ()) -> bytes:
    lines = ["#EXTM3U", "#EXT-X-VERSION:3", "#EXT-X-TARGETDURATION:1", f"#EXT-X-MEDIA-SEQUENCE:{first}"]
    for number, name in enumerate(names):
        lines += ["#EXT-X-DISCONTINUITY"] if number in breaks else []
        lines += ["#EXTINF:1.0,", name]
    return "\n".join([*lines, *(["#EXT-X-ENDLIST"] if ended else []), ""]).encode()


def served(body: bytes, content_type: str = "video/mp2t") -> Answer:
    return lambda request: request.plain(200, body, content_type)


def recording(segments: list[bytes], **changed: Answer) -> Mapping[str, Answer]:
    """/a.m3u8 with s0.ts to s3.ts; `changed` answers take the place of some."""
    names = [f"s{number}.ts" for number in range(len(segments))]
    own = {f"/{name}": served(body) for name, body in zip(names, segments, strict=True)}
    return {"/a.m3u8": served(playlist(names), M3U8), **own, **{f"/{k}": v for k, v in changed.items()}}


def opened(url: str, **options: object) -> Source:
    options = {"realtime": False, "open_timeout_s": patient(5), "read_timeout_s": patient(5), **options}
    return create_source(url, **options)  # type: ignore[arg-type]


def numbers(source: Source, most: int = 1000) -> tuple[list[int], str]:
    """Those of the pictures up to the end, and what the end says."""
    found: list[int] = []
    with closing(source):
        source.open()
        while len(found) < most:
            try:
                found.append(number_of(source.read().image()))
            except SourceEnded as end:
                return found, str(end)
    return found, ""


def test_a_recording_is_read_to_its_end(segments: list[bytes]) -> None:
    with http_server(recording(segments)) as server:
        found, end = numbers(opened(server.url("/a.m3u8?token=1")))
    assert found == list(range(100))
    assert "ended after 100 frames" in end


def test_a_playlist_is_known_by_what_it_holds_and_may_name_others(segments: list[bytes]) -> None:
    master = b"#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=100000\na.m3u8\n"
    with http_server({**recording(segments), "/play": served(master, "text/plain")}) as server:
        assert numbers(opened(server.url("/play")), 5)[0] == [0, 1, 2, 3, 4]


def test_a_recording_is_paced_by_its_own_times(segments: list[bytes]) -> None:
    with http_server(recording(segments)) as server:
        source = opened(server.url("/a.m3u8"), realtime=True)
        with closing(source):
            info = source.open()
            pictures = [source.read() for _ in range(26)]
    assert info.clock_source == "pts"
    assert pictures[25].media_ns - pictures[0].media_ns == 1_000_000_000
    assert pictures[25].received_mono_ns - pictures[0].received_mono_ns >= 950_000_000  # all came at once


def test_a_segment_that_is_gone_is_left_out_and_told(segments: list[bytes]) -> None:
    gone = {"s1.ts": lambda request: request.plain(404)}
    with http_server(recording(segments, **gone)) as server:
        found, end = numbers(opened(server.url("/a.m3u8")))
    assert (len(found), found[0], found[-1]) == (75, 0, 99)
    assert max(after - before for before, after in pairwise(found)) == 26  # a second, in one piece
    assert "1 of its segments were gone" in end


def test_a_discontinuity_goes_on_with_media_time_that_rises(segments: list[bytes]) -> None:
    names = ["s0.ts", "s0.ts", "s1.ts"]
    with http_server(
        {**recording(segments), "/b.m3u8": served(playlist(names, breaks=(1,)), M3U8)}
    ) as server:
        source = opened(server.url("/b.m3u8"))
        with closing(source):
            source.open()
            times = [source.read().media_ns for _ in range(60)]
    assert times == sorted(set(times))
    assert times[-1] < 10_000_000_000


def test_a_live_window_is_followed_as_it_moves(segments: list[bytes]) -> None:
    asked = []

    def moving(request: Request) -> None:
        asked.append(request.path)
        first = min(len(asked) - 1, 1)  # the second time it has moved on by one
        names = [f"s{number}.ts" for number in range(first, first + 3)]
        request.plain(200, playlist(names, first, ended=False), M3U8)

    with http_server({**recording(segments), "/live.m3u8": moving}) as server:
        found, _ = numbers(opened(server.url("/live.m3u8")), 90)  # the last ones wait for the next segment
    assert found == list(range(90))
    assert len(asked) >= 2


def test_a_live_stream_that_stands_still_ends_in_time(
    segments: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streamer.sources.http_camera.SEGMENT_S", 0.0)
    standing = {"/live.m3u8": served(playlist(["s0.ts"], ended=False), M3U8)}
    with http_server({**recording(segments), **standing}) as server:
        source = opened(server.url("/live.m3u8"), read_timeout_s=1.0)
        with pytest.raises(SourceError, match=r"nothing came within|ended the stream"):
            numbers(source)


def test_a_segment_that_says_nothing_ends_in_time(
    segments: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streamer.sources.http_camera.SEGMENT_S", 0.0)
    silent = {"s1.ts": lambda request: request.ending.wait(patient(20))}
    with http_server(recording(segments, **silent)) as server, pytest.raises(SourceStalled):
        numbers(opened(server.url("/a.m3u8"), read_timeout_s=1.0))


def test_segments_are_asked_for_as_the_playlist_was(segments: list[bytes]) -> None:
    behind = {path: basic("admin", "c4nary", answer) for path, answer in recording(segments).items()}
    with http_server(behind) as server:
        assert numbers(opened(server.url("/a.m3u8", "admin:c4nary")), 3)[0] == [0, 1, 2]
        with pytest.raises(AuthFailed):
            numbers(opened(server.url("/a.m3u8", "admin:wrong")))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("file:///etc/passwd", "only http and https"),
        ("concat:/etc/passwd", "only http and https"),
        ("ftp://127.0.0.1/a.ts", "only http and https"),
        ("rtsp://127.0.0.1/a.ts", "only http and https"),
        ("http://169.254.169.254/a.ts", "link-local or metadata"),
        ("http://127.9.9.9/a.ts", "in none of the allowed networks"),
    ],
)
def test_a_playlist_opens_no_file_and_no_other_network(segments: list[bytes], name: str, text: str) -> None:
    hostile = {"/b.m3u8": served(playlist([name, "s0.ts"]), M3U8)}
    limits = SourceLimits(networks=("127.0.0.1/32",))
    with http_server({**recording(segments), **hostile}) as server, pytest.raises(SourceError, match=text):
        numbers(opened(server.url("/b.m3u8"), limits=limits))


def test_an_encrypted_stream_says_that_it_is(segments: list[bytes]) -> None:
    key = b'#EXT-X-KEY:METHOD=AES-128,URI="key"\n#EXTINF'
    body = playlist(["s0.ts"]).replace(b"#EXTINF", key)
    answers = {"/b.m3u8": served(body, M3U8), "/key": served(b"0" * 16)}
    with (
        http_server({**recording(segments), **answers}) as server,
        pytest.raises(SourceError, match="is encrypted"),
    ):
        numbers(opened(server.url("/b.m3u8")))


def test_a_playlist_without_end_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streamer.sources.hls.MAX_PLAYLIST_BYTES", 1 << 16)

    def endless(request: Request) -> None:
        request.send_response(200)
        request.send_header("Content-Type", M3U8)
        request.end_headers()
        request.wfile.write(b"#EXTM3U\n")
        while not request.ending.is_set():
            request.wfile.write(b"#comment\n" * 500)

    with http_server({"/a.m3u8": endless}) as server, pytest.raises(SourceError, match="does not end"):
        numbers(opened(server.url("/a.m3u8")))
