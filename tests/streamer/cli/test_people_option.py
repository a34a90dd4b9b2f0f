"""`--people` and `privacy.people`: no command writes somebody's face where the site says that none leaves."""

from __future__ import annotations

import base64
import os
import re
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml

from pipelines.values import Image
from streamer.api.callers import Caller, role_of, this_user
from streamer.clips.people import FoundPeople
from streamer.config.schema import Config, ControlConfig
from streamer.config.store import ConfigStore
from streamer.errors import Exit
from streamer.sources.base import create_source
from tests import moving
from tests.clips import make_clip
from tests.other_user import NOBODY, as_other_user, needs_root
from tests.streamer.cli.conftest import Run
from tests.street_people import Mask, filled, grey, street

SEED, SECONDS = 3, 12
LINE = {"name": "middle", "points": [[0.5, 1.0], [0.5, 0.0]]}


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A street with people, who stand still."""
    picture, _ = street(SEED)
    height, width = picture.shape[:2]
    path = tmp_path_factory.mktemp("clip") / "street.mp4"
    return make_clip(path, frames=4, width=width, height=height, draw=lambda *_: picture)


@pytest.fixture(scope="module")
def squares(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return moving.write_moving_clip(tmp_path_factory.mktemp("squares") / "moving.mp4", SECONDS)


@pytest.fixture
def gate(store: ConfigStore, clip: Path) -> ConfigStore:
    return with_camera(store, clip)


def with_camera(store: ConfigStore, clip: Path, **more: object) -> ConfigStore:
    store.cameras_dir.mkdir(exist_ok=True)
    camera = {"name": "gate", "url": str(clip), "rules": {"lines": [LINE]}, **more}
    store.camera_file("gate").write_text(yaml.safe_dump(camera))
    return store


def site(store: ConfigStore, people: str, **roles: list[str]) -> None:
    settings = {**yaml.safe_load(store.file.read_text()), "privacy": {"people": people}}
    if roles:
        settings["control"] = {"roles": roles}
    store.file.write_text(yaml.safe_dump(settings))


@pytest.fixture
def operator(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who runs commands is neither root nor the daemon's user."""
    me = Caller(os.geteuid() or NOBODY, frozenset((NOBODY,)), frozenset((0,)))
    me = me if me.uid else Caller(NOBODY, frozenset((NOBODY,)), frozenset((0,)))
    monkeypatch.setattr("streamer.cli.people_option.this_user", lambda _owned: me)


def read(path: Path) -> Image:
    image = cv2.imread(str(path))
    assert image is not None, path
    return np.asarray(image, np.uint8)


def first_frame(clip: Path) -> Image:
    source = create_source(str(clip), loop=False, realtime=False, stream=None)
    source.open()
    try:
        return source.read().image(0)
    finally:
        source.close()


def share_of_people(mask: Mask) -> float:
    """How many of those who are seen lie in the mask by most of their box."""
    _, people = street(SEED)
    return float(np.mean([mask[y1:y2, x1:x2].mean() > 0.8 for x1, y1, x2, y2 in people]))


# ---- what is written


@pytest.mark.usefixtures("gate")
def test_a_snapshot_shows_people_unless_it_is_told_to_hide_them(run: Run, tmp_path: Path) -> None:
    plain, hidden = tmp_path / "plain.png", tmp_path / "hidden.png"
    shown = run("camera", "snapshot", "gate", "-o", str(plain))
    assert (shown.exit_code, shown.stdout) == (0, f"wrote {plain} (960x540)\n")
    done = run("camera", "snapshot", "gate", "--people", "silhouette", "-o", str(hidden))
    assert re.search(r"\(960x540; people found and hidden: \d+\)", done.stdout), done.output
    before, after = read(plain), read(hidden)
    assert not filled(before).any()
    assert share_of_people(filled(after)) > 0.9
    assert (after[~filled(after)] == before[~filled(after)]).all()


def test_where_the_site_hides_people_every_picture_does_and_what_is_drawn_lies_above(
    run: Run, gate: ConfigStore, tmp_path: Path
) -> None:
    site(gate, "blur")
    plain, hidden = first_frame(Path(gate.load().known_camera("gate").url)), tmp_path / "hidden.png"
    assert run("camera", "snapshot", "gate", "--overlay", "-o", str(hidden)).exit_code == 0
    assert share_of_people((read(hidden) != plain).any(axis=2)) > 0.9
    line = np.abs(read(hidden).astype(int) - (0, 200, 255)).sum(axis=2) < 60
    assert line[:, 475:485].any(axis=1).mean() > 0.5, "the line was drawn after people were hidden"


def test_a_rendered_clip_hides_people_in_each_of_its_frames(run: Run, clip: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.mp4"
    done = run("analyze", str(clip), "--render", str(out), "--people", "silhouette")
    assert done.exit_code == 0, done.output
    source = create_source(str(out), loop=False, realtime=False, stream=None)
    source.open()
    frames = [source.read().image(0) for _ in range(4)]
    source.close()
    _, people = street(SEED)
    for image in frames:  # boxes and names are drawn above
        assert np.mean([grey(image)[y1:y2, x1:x2].mean() > 0.4 for x1, y1, x2, y2 in people]) > 0.8


def test_what_an_evaluation_shows_hides_people_where_the_site_does(
    run: Run, store: ConfigStore, squares: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    truth, report = tmp_path / "truth.csv", tmp_path / "report.html"
    truth.write_text("time,line,direction,class\n1.0,middle,right,\n")
    args = ("evaluate", str(squares), "--truth", str(truth), "--line", "middle=0.5,1,0.5,0",
            "--directions", "middle=right,left", "--engine", "motion", "--report", str(report))  # fmt: skip
    monkeypatch.setattr("streamer.clips.people.find_people", everywhere)
    site(store, "silhouette")
    done = run(*args)
    assert done.exit_code == 0, done.output
    assert "motion knows no people: the detector in the package looks for those to hide" in done.stderr
    pictures = re.findall(r"data:image/jpeg;base64,([A-Za-z0-9+/=]+)", report.read_text())
    assert pictures
    for text in pictures:
        image = cv2.imdecode(np.frombuffer(base64.b64decode(text), np.uint8), cv2.IMREAD_COLOR)
        assert grey(np.asarray(image, np.uint8)).mean() > 0.5


def everywhere(*_: object) -> FoundPeople:
    """Somebody who fills the picture."""
    return FoundPeople(np.array([[0.0, 0.0, 1.0, 1.0]], np.float32), ((),))


def test_who_audits_sees_people_and_what_is_kept_of_it_hides_them(
    run: Run, store: ConfigStore, squares: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_camera(store, squares, model="motion")
    monkeypatch.setattr("streamer.clips.people.find_people", everywhere)
    shown: list[list[bytes]] = []
    monkeypatch.setattr(
        "streamer.cli.audit._ask",
        lambda _screen, moment, _place: shown.append(moment.jpegs) or "u",
    )
    site(store, "silhouette")
    args = ("audit", "gate", "--clip", str(squares), "--number", "1")
    assert run(*args, "--keep", str(tmp_path / "kept")).exit_code == 0
    kept = [grey(read(path)).mean() for path in sorted((tmp_path / "kept").iterdir())]
    assert kept
    assert min(kept) > 0.35, "all but what is drawn above"
    assert max(share_hidden(jpegs) for jpegs in shown) < 0.2
    shown.clear()
    assert run(*args, "--people", "silhouette").exit_code == 0
    assert min(share_hidden(jpegs) for jpegs in shown) > 0.5


def share_hidden(jpegs: list[bytes]) -> float:
    frames = [cv2.imdecode(np.frombuffer(each, np.uint8), cv2.IMREAD_COLOR) for each in jpegs]
    return float(np.mean([grey(np.asarray(frame, np.uint8)).mean() for frame in frames]))


def test_pictures_to_train_with_show_people_which_is_said(
    run: Run, gate: ConfigStore, tmp_path: Path
) -> None:
    site(gate, "blur")
    args = ("model", "collect", "gate", "--every", "0.04", "--count", "1", "--out", str(tmp_path / "out"))
    done = run(*args)
    assert done.exit_code == 0, done.output
    assert "privacy.people is blur, and pictures to train with show people as they are" in done.stderr


# ---- who may have people shown


@pytest.mark.usefixtures("operator")
def test_with_roles_only_an_admin_has_people_shown_where_the_site_hides_them(
    run: Run, gate: ConfigStore, clip: Path, tmp_path: Path
) -> None:
    site(gate, "silhouette", operator=["@streamer"])
    out = tmp_path / "out"
    for args in (
        ("camera", "snapshot", "gate", "--people", "show", "-o", f"{out}.png"),
        ("camera", "realign", "gate", "--people", "show", "-o", f"{out}.png"),
        ("analyze", str(clip), "--people", "show", "--render", f"{out}.mp4"),
        ("audit", "gate", "--clip", str(clip), "--people", "show", "--keep", str(out)),
        ("model", "collect", "gate", "--out", str(out)),
    ):
        done = run(*args)
        assert done.exit_code != Exit.OK, args
        assert "needs the role admin" in done.stderr, args
        assert list(tmp_path.iterdir()) == [], args
    assert run("camera", "snapshot", "gate", "-o", f"{out}.png").exit_code == 0, "hidden ones are for all"


@pytest.mark.usefixtures("operator")
def test_without_roles_or_where_the_site_shows_people_whoever_may_read_may_have_them_shown(
    run: Run, gate: ConfigStore, tmp_path: Path
) -> None:
    args = ("camera", "snapshot", "gate", "--people", "show", "-o", str(tmp_path / "out.png"))
    site(gate, "silhouette")
    assert run(*args).exit_code == 0
    site(gate, "show", operator=["@streamer"])
    assert run(*args).exit_code == 0


def test_the_owner_of_the_state_is_the_daemon_s_user_and_somebody_else_is_not(tmp_path: Path) -> None:
    nobody = ControlConfig.model_validate({"roles": {"operator": []}})
    assert role_of(this_user((tmp_path, tmp_path / "missing")), nobody) == "admin"
    stranger = Caller(NOBODY, frozenset(), frozenset((os.geteuid(),)))
    assert role_of(stranger, nobody) is None


@needs_root
def test_another_user_of_the_box_is_no_owner_of_what_is_root_s(tmp_path: Path) -> None:
    with as_other_user():
        user = this_user((Path("/etc"), tmp_path / "missing"))
        assert (user.uid, user.owners) == (NOBODY, frozenset((0,)))
        assert not user.owns_the_daemon


def test_hidden_people_without_roles_are_advised_about() -> None:
    for privacy, roles, told in (("blur", None, 1), ("blur", {}, 0), ("show", None, 0)):
        control = {} if roles is None else {"control": {"roles": roles}}
        config = Config.model_validate({"privacy": {"people": privacy}, **control})
        assert len([line for line in config.advice if "control.roles" in line]) == told


# ---- what is refused


@pytest.mark.usefixtures("gate")
@pytest.mark.parametrize("args", [
    ("analyze", "CLIP"),
    ("camera", "realign", "gate"),
    ("evaluate", "CLIP", "--truth", "t.csv", "--camera", "gate"),
])  # fmt: skip
def test_people_without_a_picture_to_hide_them_in_are_refused(
    run: Run, clip: Path, args: tuple[str, ...]
) -> None:
    done = run(*(str(clip) if word == "CLIP" else word for word in args), "--people", "blur")
    assert done.exit_code == Exit.CONFIG
    assert "--people is for -" in done.stderr


def test_a_camera_whose_model_cannot_be_used_gives_no_picture_with_people_in_it(
    run: Run, store: ConfigStore, clip: Path, tmp_path: Path
) -> None:
    with_camera(store, clip, model="lost")
    done = run("camera", "snapshot", "gate", "--people", "blur", "-o", str(tmp_path / "out.png"))
    assert done.exit_code != Exit.OK
    assert not (tmp_path / "out.png").exists()
