"""A folder of clips is one source: in order, with what is added later, whatever sizes they have."""

from __future__ import annotations

import os
from contextlib import closing
from itertools import pairwise
from pathlib import Path

import pytest

from streamer.cli.camera.settings import absolute_url
from streamer.errors import SourceEnded, SourceError
from streamer.sources.base import Source, create_source
from streamer.sources.limits import SourceLimits
from tests.clips import make_clip, number_of


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """b.mp4 is made before a.mp4, and is of another size; what is no clip lies beside them."""
    made = tmp_path / "clips"
    made.mkdir()
    make_clip(made / "b.mp4", frames=4, width=640, height=360)
    make_clip(made / "a.mp4", frames=6)
    (made / "notes.txt").write_text("no clip")
    return made


def read_all(source: Source) -> list[tuple[int, int, int, int]]:
    """(number, width, media time, pass) of each picture, to the end."""
    found = []
    with closing(source):
        source.open()
        while True:
            try:
                picture = source.read()
            except SourceEnded:
                return found
            found.append((number_of(picture.image()), picture.width, picture.media_ns, picture.loop))


def test_clips_are_played_in_the_order_of_their_names(folder: Path) -> None:
    found = read_all(create_source(f"folder://{folder}", realtime=False))
    assert [each[0] for each in found] == [0, 1, 2, 3, 4, 5, 0, 1, 2, 3]
    assert [each[1] for each in found] == [320] * 6 + [640] * 4
    assert [each[3] for each in found] == [0] * 6 + [1] * 4
    assert all(after[2] > before[2] for before, after in pairwise(found))


def test_a_clip_that_cannot_be_read_is_left_out(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    (folder / "a0.mp4").write_bytes(b"\0" * 1000)
    assert len(read_all(create_source(f"folder://{folder}", realtime=False))) == 10
    assert "a0.mp4" in caplog.text


def test_a_folder_without_clips_is_an_error_and_so_is_none(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no clip in it can be read"):
        create_source(f"folder://{tmp_path}", realtime=False).open()
    with pytest.raises(SourceError, match="no such folder"):
        create_source(f"folder://{tmp_path}/none", realtime=False).open()
    with pytest.raises(SourceError, match="may not lie there"):
        create_source(f"folder://{tmp_path}", limits=SourceLimits(files=("/srv",))).open()


@pytest.mark.parametrize("name", ["a.dav", "b.DAV", "c.hik"])
def test_recordings_in_their_maker_s_container_are_answered(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    """They were passed over in silence."""
    (tmp_path / name).write_bytes(b"DHAV" + bytes(200) if "a" in name.lower() else bytes(200))
    with pytest.raises(SourceError, match=rf"{name} is .*its maker's own container: export it as MP4"):
        create_source(f"folder://{tmp_path}").open()
    make_clip(tmp_path / "d.mp4", frames=3)
    caplog.clear()
    with closing(create_source(f"folder://{tmp_path}", realtime=False)) as source:
        source.open()
    assert f"1 recordings in it are passed over; {name} is" in caplog.text


def test_the_path_of_a_folder_is_one_where_a_camera_is_added(tmp_path: Path) -> None:
    made = tmp_path / "two words"
    made.mkdir()
    make_clip(made / "a.mp4", frames=3)
    url = absolute_url(str(made))
    assert url == f"folder://{tmp_path}/two%20words"
    assert len(read_all(create_source(url, realtime=False))) == 3


def test_a_loop_begins_again_with_the_first(folder: Path) -> None:
    source = create_source(f"folder://{folder}", realtime=False, loop=True)
    with closing(source):
        source.open()
        pictures = [source.read() for _ in range(16)]
    assert [number_of(picture.image()) for picture in pictures[10:]] == [0, 1, 2, 3, 4, 5]
    assert pictures[10].loop == 2


def test_what_a_recorder_adds_is_taken_up_once_it_is_whole(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streamer.sources.folder.LOOK_EVERY_S", 0.05)
    for clip in folder.iterdir():
        os.utime(clip, (1, 1))
    source = create_source(f"folder://{folder}", realtime=True)
    with closing(source):
        source.open()
        for _ in range(10):
            source.read()
        make_clip(folder / "c.mp4", frames=3)  # written just now: it may go on
        assert source._whole_ones() == []  # type: ignore[attr-defined]
        make_clip(folder / "d.mp4", frames=3)  # the recorder is at the next one
        assert number_of(source.read().image()) == 0
        assert source._played == "c.mp4"  # type: ignore[attr-defined]


def test_closing_ends_the_wait_for_the_next_clip(folder: Path) -> None:
    for clip in folder.iterdir():
        os.utime(clip, (1, 1))
    source = create_source(f"folder://{folder}", realtime=True)
    source.open()
    for _ in range(10):
        source.read()
    source.close()
    with pytest.raises(SourceError, match="closed"):
        source.read()
