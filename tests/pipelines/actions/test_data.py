"""What can be read, and the one line that says why something cannot."""

from __future__ import annotations

import pickle
from pathlib import Path

import av
import numpy as np
import pytest

from pipelines.train.actions.clips import embed_clips, list_clips, read_frames
from pipelines.train.actions.data import DataRefused, read_arrays, read_keypoints
from pipelines.train.actions.sources import DataSource, open_source
from pipelines.train.actions.tracks import LABELS, make_tracks
from pipelines.train.actions.windows import cut_windows
from pipelines.values import Image


def write_clip(path: Path, frames: int = 12, size: tuple[int, int] = (64, 48), fps: int = 12) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=fps)
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        for i in range(frames):
            picture = np.full((size[1], size[0], 3), 10 * i % 250, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="bgr24")))
        container.mux(stream.encode())
    return path


def brightness(images: list[Image]) -> np.ndarray:
    return np.array([[image.mean()] for image in images], np.float32)


def write_poses(path: Path, **changes: object) -> Path:
    arrays = {
        "pose": np.random.default_rng(0).random((60, 15, 2)).astype(np.float32),
        "length": np.full(6, 10),
        "label": np.array(["a", "b"] * 3),
        **changes,
    }
    np.savez(path, **{k: v for k, v in arrays.items() if v is not None})
    return path


def test_arrays_of_poses_become_sequences_with_their_split_from_the_files_name(tmp_path: Path) -> None:
    write_poses(tmp_path / "P_train.npz")
    write_poses(tmp_path / "P_test.npz")
    data = read_arrays(tmp_path)
    assert (data.kind, data.size, len(data.sequences), data.heads[0].labels) == ("pose", 15, 12, ("a", "b"))
    assert [s.split for s in data.sequences] == ["test"] * 6 + ["train"] * 6
    assert not data.grouped


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"length": np.full(6, 11)}, "they must agree"),
        ({"label": None}, "expected arrays pose"),
        ({"label": np.array(["a"] * 6)}, "has one label"),
        ({"pose": np.zeros((60, 15, 5), np.float32)}, "expected .frames, joints, 2 or 3."),
        ({"pose": np.full((60, 15, 2), np.nan, np.float32)}, "no joint has finite"),
        ({"pose": np.array([{}], dtype=object)}, "pickled objects"),
        ({"times_s": np.arange(59.0)}, "times_s has shape"),
        ({"times_s": np.full(60, np.nan)}, "times_s has shape"),
        ({"times_s": np.zeros(60)}, "do not rise within each clip"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(tmp_path: Path, changes: dict[str, object], why: str) -> None:
    with pytest.raises(DataRefused, match=why) as refused:
        read_arrays(write_poses(tmp_path / "p.npz", **changes))
    assert "\n" not in str(refused.value)


def test_moments_of_their_own_are_kept_and_what_is_not_known_is_no_label(tmp_path: Path) -> None:
    moments_s = np.tile([0.0, 0.1, 0.2, 0.5, 0.6, 0.7, 0.8, 1.9, 2.0, 2.1], 6)
    labels = np.array((["a"] * 4 + [""] + ["b"] * 5) * 6)
    data = read_arrays(write_poses(tmp_path / "p.npz", times_s=moments_s, label=labels))
    first = data.sequences[0]
    np.testing.assert_array_equal(first.times_s, moments_s[:10])
    assert np.isnan(first.targets[0][4]).all()
    assert data.heads[0].labels == ("a", "b")


def test_a_pickle_in_disguise_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "p.npz"
    path.write_bytes(pickle.dumps({"pose": 1}))
    with pytest.raises(DataRefused, match=r"p\.npz"):
        read_arrays(path)


HEADER = "video,frame,a_x,a_y,b_x,b_y,c_x,c_y,d_x,d_y,e_x,e_y,label\n"


def row(video: str, frame: int, x: float, label: str = "0", missing: bool = False) -> str:
    points = ",".join(f"{x + i / 50:.3f},{0.3 + i / 20:.3f}" for i in range(5))
    if missing:
        points = ",," + points.split(",", 2)[2]
    return f"{video},{frame},{points},{label}\n"


def test_two_people_of_one_video_are_two_sequences_of_one_group(tmp_path: Path) -> None:
    path = tmp_path / "k.csv"
    rows = [row("v", i, x, "1" if x > 0.5 else "0") for i in range(8) for x in (0.1, 0.8)]
    path.write_text(HEADER + "".join(rows) + row("w", 0, 0.2) + row("w", 1, 0.2))
    data = read_keypoints(path)
    assert [len(s.values) for s in data.sequences] == [8, 8, 2]
    assert {s.group for s in data.sequences} == {"v", "w"}
    assert len(np.unique(data.sequences[0].targets[0], axis=0)) == 1  # nobody was mixed up


def test_a_missing_joint_has_score_0(tmp_path: Path) -> None:
    path = tmp_path / "k.csv"
    rows = [row("v", i, 0.2, "01"[i % 2], missing=i == 3) for i in range(6)]
    path.write_text(HEADER + "".join(rows))
    values = read_keypoints(path).sequences[0].values
    assert values[:, 0, 2].tolist() == [1, 1, 1, 0, 1, 1]
    assert np.isfinite(values).all()


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("video,frame,label\nv,1,0\n", "0 joints"),
        ("a,b\n1,2\n", "columns video, frame"),
        (HEADER + row("v", 0, 0.1).replace("0.100", "left"), "could not convert"),
    ],
)
def test_keypoints_that_are_none_are_refused(tmp_path: Path, text: str, why: str) -> None:
    path = tmp_path / "k.csv"
    path.write_text(text)
    with pytest.raises(DataRefused, match=why):
        read_keypoints(path)


def test_clips_by_folder_and_of_any_size_are_embedded_once(tmp_path: Path) -> None:
    sizes = {"fight/cam1-1.avi": (64, 48), "fight/cam2-1.avi": (96, 64), "calm/cam1-2.avi": (64, 48)}
    for name, size in sizes.items():
        write_clip(tmp_path / "set" / name, size=size)
    entries = list_clips(tmp_path / "set", r"(cam\d)")
    assert [e.group for e in entries] == ["cam1", "cam1", "cam2"]
    calls = 0

    def embed(images: list[Image]) -> np.ndarray:
        nonlocal calls
        calls += 1
        return brightness(images)

    for _ in range(2):
        data = embed_clips(
            tmp_path / "set", entries, embed, kind="features", size=1, rate_hz=6.0, cache=tmp_path / "cache"
        )  # fmt: skip
    assert calls == 2  # two of the clips are the same to the byte
    assert [len(s.values) for s in data.sequences] == [6, 6, 6]
    assert data.grouped


def test_a_list_may_name_clips_that_lie_elsewhere(tmp_path: Path) -> None:
    clips = [write_clip(tmp_path / "elsewhere" / f"{i}.avi") for i in range(2)]
    path = tmp_path / "lists" / "clips.csv"
    path.parent.mkdir()
    path.write_text(f"file,label\n{clips[0]},a\n../elsewhere/1.avi,b\n")
    data = embed_clips(path, list_clips(path), brightness, kind="features", size=1, rate_hz=6.0)
    assert [s.name for s in data.sequences] == ["../elsewhere/0.avi", "../elsewhere/1.avi"]


def test_a_clip_of_more_or_fewer_frames_a_second_gives_the_rate_that_is_asked_for(tmp_path: Path) -> None:
    for fps in (8, 12, 25):
        clip = write_clip(tmp_path / f"{fps}.avi", frames=2 * fps, fps=fps)
        assert len(read_frames(clip, 8.0)) == pytest.approx(16, abs=1)


@pytest.mark.parametrize("content", [b"", b"not a video" * 100])
def test_an_unreadable_clip_is_named(tmp_path: Path, content: bytes) -> None:
    bad = tmp_path / "bad.mp4"
    bad.write_bytes(content)
    with pytest.raises(DataRefused, match=r"bad\.mp4: .*remove it"):
        read_frames(bad, 8.0)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("file,label\nnone.mp4,a\nnone2.mp4,b\n", "none.mp4"),
        ("file,label,split\nx.mp4,a,sometimes\n", "split 'sometimes'"),
        ("path,class\nx.mp4,a\n", "columns file and label"),
        ("file,label\nx.mp4,a\ny.mp4,a\n", "one label"),
    ],
)
def test_lists_of_clips_that_do_not_fit_are_refused(tmp_path: Path, text: str, why: str) -> None:
    path = tmp_path / "clips.csv"
    path.write_text(text)
    with pytest.raises(DataRefused, match=why):
        embed_clips(
            path, list_clips(path), brightness, kind="features", size=1, rate_hz=8.0, cache=tmp_path / "c"
        )  # type: ignore[arg-type]


def test_data_that_is_not_understood_says_what_would_be(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("hello")
    with pytest.raises(DataRefused, match="give a folder of clips"):
        open_source(DataSource(path), 8.0, lambda *_: None)
    with pytest.raises(DataRefused, match="no such file"):
        open_source(DataSource(tmp_path / "none"), 8.0, lambda *_: None)


def test_made_tracks_are_the_same_for_a_seed_and_move_as_their_labels_say() -> None:
    data = make_tracks(100, seed=3)
    again = make_tracks(100, seed=3)
    assert all(
        np.array_equal(a.values, b.values) for a, b in zip(data.sequences, again.sequences, strict=True)
    )
    pace: dict[str, list[float]] = {}
    for item in data.sequences:
        label = LABELS[int(item.targets[0][0].argmax())]
        step = np.linalg.norm(np.diff(item.values[:, :2], axis=0), axis=1).sum() / item.times_s[-1]
        if item.name.split("-")[0] == label:
            pace.setdefault(label, []).append(step / np.median(item.values[:, 3]))
    median = {label: float(np.median(found)) for label, found in pace.items()}
    assert median["run"] > 1.5 * median["walk"] > 1.5 * median["stand"]


def test_a_sequence_shorter_than_its_window_gives_one_window_all_the_same() -> None:
    data = make_tracks(5, seed=1)
    short = data.subset(
        [
            type(s)(s.name, s.group, s.split, s.values[:3], s.times_s[:3], (s.targets[0][:3],))
            for s in data.sequences
        ]
    )
    windows = cut_windows(short, 16, 8.0)
    assert len(windows) == 5
    assert np.isfinite(windows.values).all()
