"""`streamer camera realign`: rules follow a view that moved, and only where that is sure."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml

from pipelines.scene.health import small_grey
from pipelines.scene.view import View
from pipelines.values import Image
from streamer.config.store import ConfigStore
from streamer.sources.kept_view import keep_view, kept_view, view_path
from tests.blind_scenes import HEIGHT, WIDTH, street
from tests.clips import make_clip
from tests.streamer.cli.conftest import Run

DX, DY = 64, -18  # pixels that the view has moved by
SHIFT = (DX / WIDTH, DY / HEIGHT)
LINE = [[0.3, 0.5], [0.6, 0.55]]
MASK = [[0.1, 0.4], [0.3, 0.4], [0.2, 0.6]]


def shifted(picture: Image) -> Image:
    matrix = np.array([[1.0, 0.0, DX], [0.0, 1.0, DY]])
    return np.asarray(cv2.warpAffine(picture, matrix, (WIDTH, HEIGHT), borderMode=cv2.BORDER_REFLECT))


@pytest.fixture
def gate(store: ConfigStore, tmp_path: Path) -> Path:
    """A camera that was moved after its lines were drawn; the path of its clip."""
    clip = make_clip(
        tmp_path / "gate.mp4",
        frames=3,
        width=WIDTH,
        height=HEIGHT,
        draw=lambda _number, _width, _height: shifted(street()[5]),
    )
    rules = {"lines": [{"name": "door", "points": LINE}], "masks": [{"name": "tree", "points": MASK}]}
    store.cameras_dir.mkdir(exist_ok=True)
    store.camera_file("gate").write_text(yaml.safe_dump({"name": "gate", "url": str(clip), "rules": rules}))
    keep(store, street()[0])
    return clip


def keep(store: ConfigStore, picture: Image) -> None:
    config, camera = store.load_with("gate")
    keep_view(view_path(config.state_path, "gate"), camera.url, View.of(small_grey(picture)))


@pytest.mark.usefixtures("gate")
def test_lines_and_masks_are_taken_along_and_the_view_of_now_is_the_reference(
    run: Run, store: ConfigStore, tmp_path: Path
) -> None:
    picture = tmp_path / "both.png"
    shown = run("camera", "realign", "gate", "-o", str(picture))
    assert shown.exit_code == 0, shown.stderr
    assert "nothing is changed" in shown.stdout
    assert cv2.imread(str(picture)).shape == (HEIGHT, 2 * WIDTH, 3)
    done = run("camera", "realign", "gate", "--yes")
    assert done.exit_code == 0, done.stderr
    rules = store.load_with("gate")[1].rules
    expected = np.add(LINE, SHIFT)
    np.testing.assert_allclose(rules.lines[0].points, expected, atol=0.006)
    np.testing.assert_allclose(rules.masks[0].points, np.add(MASK, SHIFT), atol=0.006)
    again = run("camera", "realign", "gate", "--yes")
    assert again.exit_code != 0
    assert "where it was" in again.stderr


@pytest.mark.usefixtures("gate")
def test_another_view_is_refused_and_changes_nothing(run: Run, store: ConfigStore) -> None:
    keep(store, np.asarray(cv2.flip(street(seed=11)[0], 1)))
    before = store.camera_file("gate").read_text()
    result = run("camera", "realign", "gate", "--yes")
    assert result.exit_code != 0
    assert "cannot be registered" in result.stderr
    assert store.camera_file("gate").read_text() == before


@pytest.mark.usefixtures("gate")
def test_a_line_that_would_leave_the_picture_is_named(run: Run, store: ConfigStore) -> None:
    path = store.camera_file("gate")
    path.write_text(path.read_text().replace("0.6", "0.98"))
    result = run("camera", "realign", "gate", "--yes")
    assert result.exit_code != 0
    assert "line 'door' would lie outside" in result.stderr


@pytest.mark.usefixtures("gate")
def test_a_view_that_is_right_as_it_is_becomes_the_reference(run: Run, store: ConfigStore) -> None:
    before = store.camera_file("gate").read_text()
    assert run("camera", "realign", "gate", "--as-is").exit_code == 0
    assert store.camera_file("gate").read_text() == before
    assert "where it was" in run("camera", "realign", "gate").stderr


@pytest.mark.usefixtures("gate")
def test_without_a_reference_it_says_what_to_do(run: Run, store: ConfigStore) -> None:
    view_path(store.load().state_path, "gate").unlink()
    result = run("camera", "realign", "gate")
    assert result.exit_code != 0
    assert "no reference view" in result.stderr


def test_a_kept_view_is_no_picture_is_its_owners_alone_and_of_one_camera(tmp_path: Path) -> None:
    path = view_path(tmp_path, "gate")
    view = View.of(small_grey(street()[0]))
    keep_view(path, "rtsp://admin:canary@10.0.0.5/live", view)
    assert path.stat().st_mode & 0o777 == 0o600
    assert "canary" not in path.read_text()
    assert cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_COLOR) is None
    kept = kept_view(path, "rtsp://10.0.0.5/live")
    assert kept is not None
    np.testing.assert_array_equal(kept.descriptors, view.descriptors)
    np.testing.assert_array_equal(kept.points_xyw, view.points_xyw)
    assert kept_view(path, "rtsp://10.0.0.6/live") is None
