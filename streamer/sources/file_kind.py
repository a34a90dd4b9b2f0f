"""What a file is that FFmpeg could not open as a video: told by its first bytes, for a clearer error."""

from __future__ import annotations

from pathlib import Path

_HEAD = 64
_MAX_BOXES = 10_000
_TO_CONVERT = "convert it to MP4 first"
_PLAYLIST = "not a video, but a playlist, which names other files: give the video itself"
_SOUND = "not a video, but sound without a picture: give a video"
_MAKERS = "its maker's own container: export it as MP4, or try `ffmpeg -i IN -c copy OUT.mp4`, and add that"
MAKERS = f"in {_MAKERS}"
MAKERS_SUFFIXES = (".dav", ".dhav", ".hik", ".hikvision")  # of recorders, in no container that players know
_BEGINNINGS = (
    (b"DHAV", f"a Dahua recording (DAV), {_MAKERS}"),
    (b"IMKH", f"a Hikvision recording, {_MAKERS}"),
    (b"HKMI", f"a Hikvision recording, {_MAKERS}"),
    (b"HKVS", f"a Hikvision recording, {_MAKERS}"),
    (b"\xff\xd8\xff", "not a video, but a JPEG picture: give a video"),
    (b"\x89PNG", f"not a video, but a PNG picture: give a video; an animated one: {_TO_CONVERT}"),
    (b"BM", "not a video, but a BMP picture: give a video"),
    (b"#EXTM3U", _PLAYLIST),
    (b"ffconcat", _PLAYLIST),
    (b"[playlist]", _PLAYLIST),
    (b"v=0", "not a video, but a description of one (SDP): add the camera by its rtsp:// address"),
    (b"ID3", _SOUND),
    (b"fLaC", _SOUND),
)


def what_else(path: Path) -> str:
    """The rest of a line that begins with the file's name; empty where its bytes say nothing."""
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD)
    except OSError:
        return ""
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return f"not a video, but a WebP picture: {_TO_CONVERT}"
    if head[:4] == b"RIFF" and head[8:12] == b"WAVE":
        return _SOUND
    if head[4:8] == b"ftyp" and not _has_index(path):
        return (
            "damaged: it has no index (moov), without which an MP4 cannot be read: its recording or copy was "
            "cut short; copy it again"
        )
    start = head.lstrip(b"\xef\xbb\xbf")
    known = next((text for begin, text in _BEGINNINGS if start.startswith(begin)), "")
    return known or ("not a video, but text: give the video itself" if start and _is_text(start) else "")


def _is_text(head: bytes) -> bool:
    try:
        text = head.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return all(character.isprintable() or character in "\t\r\n" for character in text)


def _has_index(path: Path) -> bool:
    """Walks the boxes of an MP4 (ISO/IEC 14496-12, 4.2). True also where they make no sense."""
    try:
        size, at = path.stat().st_size, 0
        with path.open("rb") as file:
            for _ in range(_MAX_BOXES):
                if at + 8 > size:
                    return False
                file.seek(at)
                head = file.read(16)
                length = int.from_bytes(head[:4], "big")
                if head[4:8] == b"moov":
                    return at + length <= size
                if length == 1 and len(head) == 16:
                    length = int.from_bytes(head[8:16], "big")
                if length == 0:  # to the end of the file
                    return False
                if length < 8:
                    return True
                at += length
    except OSError:
        return True
    return True
