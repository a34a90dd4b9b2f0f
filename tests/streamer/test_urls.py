"""URLs of sources: credentials in and out, and never on paper."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer.errors import ConfigError
from streamer.logs import redact
from streamer.sources.urls import (
    check_source_url,
    host_and_port,
    join_credentials,
    scheme_of,
    split_credentials,
)

SPLITS = [
    ("rtsp://10.0.0.7/live", "rtsp://10.0.0.7/live", None, None),
    ("rtsp://admin@10.0.0.7/live", "rtsp://10.0.0.7/live", "admin", None),
    ("rtsp://admin:pw@10.0.0.7:8554/live?x=1", "rtsp://10.0.0.7:8554/live?x=1", "admin", "pw"),
    # encoded as RFC 3986 asks
    ("rtsp://admin:p%40s%3As%2F%25@cam/1", "rtsp://cam/1", "admin", "p@s:s/%"),
    # raw, as people type it
    ("rtsp://admin:p@ss@cam/1", "rtsp://cam/1", "admin", "p@ss"),
    ("rtsp://admin:p:s:s@cam/1", "rtsp://cam/1", "admin", "p:s:s"),
    ("rtsp://admin:p/s@cam/1", "rtsp://cam/1", "admin", "p/s"),
    ("rtsp://admin:p?s#s@cam.local/1", "rtsp://cam.local/1", "admin", "p?s#s"),
    ("rtsp://admin:p@ss:w/rd@10.0.0.7/live", "rtsp://10.0.0.7/live", "admin", "p@ss:w/rd"),
    ("rtsp://admin:p s@cam/1", "rtsp://cam/1", "admin", "p s"),
    ("rtsp://admin:100%@cam/1", "rtsp://cam/1", "admin", "100%"),
    ("rtsp://admin:пароль@cam/1", "rtsp://cam/1", "admin", "пароль"),
    ("rtsp://ad min:c4@:/%?# ü&=@127.0.0.1:554/1", "rtsp://127.0.0.1:554/1", "ad min", "c4@:/%?# ü&="),
    ("rtsp://user@mail.org:pw@cam/1", "rtsp://cam/1", "user@mail.org", "pw"),
    ("rtsp://admin:pw@[fe80::1]:554/1", "rtsp://[fe80::1]:554/1", "admin", "pw"),
    # an @ that belongs to the path or the query
    ("rtsp://cam:554/user@door", "rtsp://cam:554/user@door", None, None),
    ("rtsp://admin:pw@cam/1?mail=a@b.com", "rtsp://cam/1?mail=a@b.com", "admin", "pw"),
    # nothing to split
    ("/video/a@b.mp4", "/video/a@b.mp4", None, None),
    ("synthetic:street?seed=1", "synthetic:street?seed=1", None, None),
]


@pytest.mark.parametrize(("url", "clean", "user", "password"), SPLITS)
def test_credentials_are_found_raw_or_encoded(
    url: str, clean: str, user: str | None, password: str | None
) -> None:
    assert split_credentials(url) == (clean, user, password)


@given(
    user=st.text(
        st.characters(blacklist_characters=":", blacklist_categories=["Cs"]), min_size=1, max_size=5
    ),
    password=st.text(st.characters(blacklist_categories=["Cs"]), min_size=1, max_size=5),
)
def test_what_is_joined_is_split_again(user: str, password: str) -> None:
    url = join_credentials("rtsp://10.0.0.7:8554/live/ch1?sub=1", user, password)
    assert url.isascii()
    assert split_credentials(url) == ("rtsp://10.0.0.7:8554/live/ch1?sub=1", user, password)


def test_joining_replaces_what_the_url_had() -> None:
    assert join_credentials("rtsp://old:secret@cam/1", "new", "pw") == "rtsp://new:pw@cam/1"
    assert join_credentials("rtsp://old:secret@cam/1", None, None) == "rtsp://cam/1"


@pytest.mark.parametrize(
    ("url", "user", "password", "says"),
    [
        ("rtsp://cam/1", "a:b", "pw", "cannot contain ':'"),
        ("rtsp://cam/1", "admin", "ö" * 40, "at most 127"),
        ("/video/a.mp4", "admin", "pw", "rtsp"),
    ],
)
def test_credentials_that_cannot_be_sent_are_refused(url: str, user: str, password: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says) as refused:
        join_credentials(url, user, password)
    assert "pw" not in str(refused.value)


@pytest.mark.parametrize("url", [url for url, _, user, _ in SPLITS if user])
@pytest.mark.parametrize("around", ["{}", "cannot open '{}': refused", "first {} then rtsp://other/2"])
def test_redacting_hides_user_and_password(url: str, around: str) -> None:
    _, user, password = split_credentials(url)
    shown = redact(around.format(url))
    raw = url.split("://")[1].rpartition("@")[0] if "?mail" not in url else "admin:pw"
    assert raw not in shown
    assert "***" in shown
    assert (password or user or "") not in shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("no URL here, mail a@b.com", "no URL here, mail a@b.com"),
        ("rtsp://cam:554/live is unreachable", "rtsp://cam:554/live is unreachable"),
        ("rtsp://cam/user=admin&password=x9&channel=1", "rtsp://cam/user=***&password=***&channel=1"),
        ("rtsp://cam/live?usr=admin&pwd=x9", "rtsp://cam/live?usr=***&pwd=***"),
        ("rtsp://u:p@a/1 and rtsp://u:q@b/2", "rtsp://***@a/1 and rtsp://***@b/2"),
    ],
)
def test_redacting_leaves_the_rest(text: str, shown: str) -> None:
    assert redact(text) == shown


@pytest.mark.parametrize(
    "url",
    [
        "rtsp://cam/1",
        "RTSP://cam:8554",
        "rtsps://cam/1",
        "rtsp://admin:p@s/s@10.0.0.1/1",
        "clip.mp4",
        "./clip.mp4",
        "/video/clip:1.mp4",
        "file:///video/clip.mp4",
        "synthetic:street?seed=3",
    ],
)
def test_allowed_urls_pass(url: str) -> None:
    assert check_source_url(f" {url} ") == url


@pytest.mark.parametrize(
    "url",
    [
        "",
        "   ",
        "ftp://cam/1",
        "concat:/etc/passwd|/etc/shadow",
        "pipe:0",
        "mms://u:s3cr3t@cam/1",
        "rtsp:/cam/1",
        "rtsp://",
        "rtsp:///live",
        "rtsp://cam:99999/1",
        "rtsp://u:s3cr3t@/1",
        "rtsp://cam/1\nrtsp://other/2",
        "rtsp://cam/\x00",
        "file:clip.mp4",
    ],
)
def test_other_urls_are_refused_in_one_line_without_credentials(url: str) -> None:
    with pytest.raises(ConfigError) as refused:
        check_source_url(url)
    text = str(refused.value)
    assert "\n" not in text
    assert "s3cr3t" not in text
    assert "allowed are" in text or "control character" in text or "ports are" in text


@pytest.mark.parametrize(
    ("url", "host", "port"),
    [
        ("rtsp://u:p@cam/1", "cam", 554),
        ("rtsps://cam", "cam", 322),
        ("rtsp://[::1]:8554/1", "::1", 8554),
    ],
)
def test_host_and_port(url: str, host: str, port: int) -> None:
    assert host_and_port(url) == (host, port)


def test_a_path_with_a_colon_is_a_file() -> None:
    assert scheme_of("/video/12:30.mp4") == "file"
    assert scheme_of("clip.mp4") == "file"
    assert scheme_of("RTSP://x") == "rtsp"
