"""`streamer camera`: probed before it is saved, changed by name, and its password never shown."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from streamer.config import yaml_reader
from streamer.config.secrets import SecretStore
from streamer.config.store import ConfigStore
from streamer.config.yaml_reader import Document
from streamer.errors import Exit
from tests.clips import make_clip
from tests.pipelines.actions.test_roi_pooling import write_features
from tests.pipelines.actions.tiny_graph import write_tiny
from tests.pipelines.detect import tiny_models
from tests.rtsp_server import RtspServer
from tests.streamer.cli.conftest import Daemon, Run

PASSWORD = "c@nary:p/w?#%"


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_clip(tmp_path_factory.mktemp("clips") / "clip.mp4", frames=250)


def listed(run: Run) -> list[dict[str, object]]:
    found = json.loads(run("camera", "list", "--json").stdout)
    assert isinstance(found, list)
    return found


def test_a_clip_is_probed_described_and_saved_with_its_whole_path(
    run: Run, store: ConfigStore, clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(clip.parent)
    result = run(
        "camera", "add", "gate", clip.name, "--fps", "5", "--analysis-width", "320", "--loop", "--no-realtime"
    )
    assert result.exit_code == 0, result.stderr
    assert "h264 320x180, 25.0 frames/s" in result.stdout
    assert "streamer line add gate" in result.stdout
    (camera,) = store.load().cameras
    source = camera.source
    assert camera.url == str(clip)
    assert (source.fps, source.analysis_width, source.loop, source.realtime) == (5, 320, True, False)


@pytest.mark.parametrize("content", [b"", b"just text, renamed\n" * 100])
def test_a_clip_that_is_none_is_not_saved_but_on_request(run: Run, short_dir: Path, content: bytes) -> None:
    path = short_dir / "clip.mp4"
    path.write_bytes(content)
    result = run("camera", "add", "gate", str(path))
    assert result.exit_code == Exit.SOURCE
    assert "not saved" in result.stderr
    assert result.stderr.count("\n") == 1
    assert listed(run) == []
    assert run("camera", "add", "gate", str(path), "--force").exit_code == 0
    assert [c["name"] for c in listed(run)] == ["gate"]


@pytest.mark.parametrize(
    ("args", "code", "words"),
    [
        (("../gate", "synthetic:street"), Exit.CONFIG, "use 1 to 63 of a-z"),
        (("Gate", "synthetic:street"), Exit.CONFIG, "use 1 to 63 of a-z"),
        (("gate", ""), Exit.CONFIG, "URL is empty"),
        (("gate", "ftp://host/x.mjpg"), Exit.CONFIG, "'ftp:' are not supported"),
        (("gate", "rtsp://"), Exit.CONFIG, "no host"),
        (("gate", "rtsp://host:99999/x"), Exit.CONFIG, "99999"),
        (("gate", "synthetic:street\nname: x"), Exit.CONFIG, "line break"),
        (("gate", "synthetic:street", "--pipeline", "nope"), Exit.CONFIG, "unknown pipeline 'nope'"),
        (("gate", "synthetic:street", "--class", "unicorn"), Exit.CONFIG, "unknown class 'unicorn'"),
        (("gate", "synthetic:street", "--model", "nope"), Exit.MODEL, "no model 'nope'"),
        (("gate", "synthetic:street", "--analysis-width", "3"), Exit.CONFIG, "source.analysis_width"),
        (("gate", "synthetic:nowhere"), Exit.CONFIG, "nowhere"),
        (("gate", "/nonexistent/clip.mp4"), Exit.SOURCE, "no such file"),
        (("gate", "synthetic:street", "--username", "u"), Exit.CONFIG, "belong to rtsp://"),
    ],
)
def test_what_cannot_be_is_refused_with_one_line_and_a_code(
    run: Run, args: tuple[str, ...], code: Exit, words: str
) -> None:
    result = run("camera", "add", *args)
    assert result.exit_code == code
    assert words in result.stderr
    assert result.stderr.count("\n") == 1
    assert listed(run) == []


def test_every_file_is_read_once_for_a_change(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    run("camera", "add", "gate", "synthetic:street", "--no-probe")
    run("camera", "add", "yard", "synthetic:street", "--no-probe")
    read: list[str] = []

    def counted(path: Path, **more: Any) -> Document:
        read.append(path.name)
        return yaml_reader.read(path, **more)

    monkeypatch.setattr("streamer.config.store.read", counted)
    assert run("camera", "add", "hall", "synthetic:street", "--no-probe").exit_code == 0
    assert sorted(read) == ["gate.yaml", "hall.yaml", "streamer.yaml", "yard.yaml"]


@pytest.mark.parametrize("option", ["--analysis-width", "--width"])
def test_the_analysed_width_is_called_by_its_key_or_by_its_older_name(
    run: Run, store: ConfigStore, option: str
) -> None:
    assert run("camera", "add", "gate", "synthetic:street", "--no-probe", option, "320").exit_code == 0
    assert store.load().cameras[0].source.analysis_width == 320


@pytest.mark.parametrize("fps", ["-1", "nan", "inf", "fast"])
def test_a_rate_is_a_number_from_0_on(run: Run, fps: str) -> None:
    result = run("camera", "add", "gate", "synthetic:street", "--fps", fps)
    assert result.exit_code == Exit.USAGE
    assert "--fps" in result.stderr
    assert listed(run) == []


def test_a_rate_at_which_nobody_can_be_followed_is_taken_with_a_warning(run: Run, store: ConfigStore) -> None:
    added = run("camera", "add", "gate", "synthetic:street", "--fps", "0.2", "--no-probe")
    assert added.exit_code == 0
    assert added.stderr.startswith("warning: camera gate: at 0.2 frames a second")
    changed = run("camera", "set", "gate", "fps=0.5")
    assert "warning: camera gate: at 0.5 frames a second" in changed.stderr
    assert store.load().cameras[0].source.fps == 0.5
    for fps in ("1", "2", "0"):
        assert run("camera", "set", "gate", f"fps={fps}").stderr == ""


def test_what_a_person_wrote_into_a_camera_s_file_stays(run: Run, store: ConfigStore) -> None:
    run("camera", "add", "gate", "synthetic:street", "--no-probe")
    path = store.camera_file("gate")
    path.write_text("# ask Ada\n" + path.read_text().replace("street", "street  # the yard"))
    before = path.read_text()
    run("camera", "set", "gate", "fps=5")
    run("line", "add", "gate", "door", "0.1,0.5", "0.9,0.5")
    assert path.read_text().startswith(before)


def test_a_broken_file_is_named_beside_the_others_and_removed_by_its_name(
    run: Run, store: ConfigStore
) -> None:
    assert run("camera", "add", "gate", "synthetic:street").exit_code == 0
    path = store.camera_file("yard")
    path.write_text("name: yard\nurl: [\n")
    for words in (("camera", "list"), ("line", "list")):
        result = run(*words)
        assert (result.exit_code, result.stderr.count("\n")) == (0, 1)
        assert result.stderr.startswith(f"warning: {path}:3: is not YAML")
    gate, yard = listed(run)
    assert (gate["name"], gate["problem"]) == ("gate", "")
    assert (yard["name"], yard["state"], yard["url"]) == ("yard", "not running", None)
    assert str(yard["problem"]).startswith(f"{path}:3: is not YAML")
    assert "yard │ not running │ broken: see above" in " ".join(run("camera", "list").stdout.split())
    for words in (("add", "hall", "synthetic:street"), ("set", "gate", "fps=5"), ("disable", "gate")):
        result = run("camera", *words)
        assert result.exit_code == 0, result.stderr
        assert f"warning: {path}:3" in result.stderr
    assert run("camera", "show", "gate").exit_code == 0
    for words in (
        ("show", "yard"),
        ("enable", "yard"),
        ("set", "yard", "fps=5"),
        ("add", "yard", "synthetic:street"),
    ):
        result = run("camera", *words)
        assert (result.exit_code, result.stderr.count("\n")) == (Exit.CONFIG, 1)
        assert "`streamer camera remove yard`" in result.stderr
    removed = run("camera", "remove", "yard")
    assert (removed.exit_code, removed.stderr) == (0, "")
    assert not path.exists()


def test_a_folder_among_the_cameras_is_named_with_what_to_do_and_left_alone(
    run: Run, store: ConfigStore
) -> None:
    assert run("camera", "add", "gate", "synthetic:street", "--no-probe").exit_code == 0
    path = store.camera_file("x")
    path.mkdir()
    assert "a folder is no camera: move it away" in run("camera", "list").stderr
    assert str(listed(run)[1]["problem"]).endswith("a folder is no camera: move it away")
    removed = run("camera", "remove", "x")
    assert (removed.exit_code, removed.stderr.count("\n")) == (Exit.CONFIG, 1)
    assert "a folder is no camera: move it away" in removed.stderr
    assert path.is_dir()
    path.rmdir()
    assert [camera["name"] for camera in listed(run)] == ["gate"]


def test_looping_what_has_no_end_is_said(run: Run, clip: Path) -> None:
    added = run("camera", "add", "gate", "synthetic:street", "--loop", "--no-probe")
    assert added.stderr == "note: a synthetic scene without seconds= does not end: loop says nothing to it\n"
    added = run("camera", "add", "yard", "rtsp://127.0.0.1/x", "--no-probe")
    assert added.stderr == ""
    assert "note: a camera does not end" in run("camera", "set", "yard", "loop=true").stderr
    assert run("camera", "set", "yard", "loop=false").stderr == ""
    for url in ("synthetic:street?seconds=5", str(clip)):
        assert run("camera", "add", "hall", url, "--loop", "--no-probe").stderr == ""
        run("camera", "remove", "hall")


def test_an_interval_without_a_scene_is_refused_with_what_to_set(run: Run) -> None:
    run("camera", "add", "gate", "synthetic:street", "--no-probe")
    for settings in (("scene_interval_s=nan",), ("scene_interval_s=5",), ("scene_interval_s=5", "scene=")):
        result = run("camera", "set", "gate", *settings)
        assert result.exit_code == Exit.CONFIG
        assert result.stderr == (
            "error: scene_interval_s: camera gate has no scene: set it with scene=MODEL.onnx\n"
        )


def test_a_name_is_taken_only_once(run: Run) -> None:
    assert run("camera", "add", "gate", "synthetic:street").exit_code == 0
    result = run("camera", "add", "gate", "synthetic:street")
    assert result.exit_code == Exit.CONFIG
    assert "exists" in result.stderr


@pytest.mark.integration
@pytest.mark.parametrize("way", ["url", "stdin"])
def test_a_camera_with_a_hard_password_is_added_read_and_never_given_away(
    run: Run, store: ConfigStore, clip: Path, rtsp_python: str, way: str
) -> None:
    with RtspServer(rtsp_python, {"/live": clip}, auth=("digest", "admin", PASSWORD)) as server:
        if way == "url":
            added = run("camera", "add", "gate", server.url("/live", f"admin:{PASSWORD}"))
        else:
            args = ("--username", "admin", "--password-stdin")
            added = run("camera", "add", "gate", server.url("/live"), *args, stdin=PASSWORD + "\n")
        assert added.exit_code == 0, added.stderr
        tested = run("camera", "test", "gate")
        assert tested.exit_code == 0, tested.stderr
        url = store.load().cameras[0]
        assert SecretStore(store).url(url).reveal() != url.url
        picture = store.folder / "picture.jpg"
        assert run("camera", "snapshot", "gate", "-o", str(picture)).exit_code == 0
        results = [
            added,
            tested,
            *(run("camera", *a) for a in (("list",), ("show", "gate"), ("show", "gate", "--json"))),
        ]
        results.append(
            run("camera", "set", "gate", "--username", "admin", "--password-stdin", stdin="wrong\n")
        )
        refused = run("camera", "test", "gate")
        results.append(refused)
    assert refused.exit_code == Exit.SOURCE
    assert "try: give the user name and password" in refused.stdout
    for result in results:
        assert PASSWORD not in result.output
        assert "c@nary" not in result.output
        assert "c%40nary" not in result.output


def test_settings_are_changed_by_their_names(run: Run, store: ConfigStore) -> None:
    run("camera", "add", "gate", "synthetic:street", "--no-probe")
    settings = ("fps=7.5", "loop=true", "classes=car", "limits.person.min_height=0.1", "read_timeout_s=2")
    result = run("camera", "set", "gate", *settings)
    assert result.exit_code == 0, result.stderr
    camera = store.load().cameras[0]
    assert (camera.source.fps, camera.source.loop, camera.source.read_timeout_s) == (7.5, True, 2)
    assert (camera.rules.classes, camera.rules.limits["person"].min_height) == (("car",), 0.1)
    assert run("camera", "set", "gate", "fps=", "classes=", "limits.person.min_height=").exit_code == 0
    camera = store.load().cameras[0]
    assert (camera.source.fps, camera.rules.classes, camera.rules.limits) == (0, (), {})


def test_a_key_may_be_called_as_the_file_has_it(run: Run, store: ConfigStore) -> None:
    run("camera", "add", "gate", "synthetic:street", "--no-probe")
    assert run("camera", "set", "gate", "source.gate=auto").exit_code == 0
    assert store.load().cameras[0].source.gate == "auto"
    assert run("camera", "set", "gate", "gate=off").exit_code == 0
    assert store.load().cameras[0].source.gate == "off"


def test_what_changes_nothing_is_said_to_be_unchanged(run: Run) -> None:
    run("camera", "add", "gate", "synthetic:street", "--no-probe", "--fps", "5")
    for setting in ("classes=,", "model=null", "fps=5", "limits.person.min_score=", "url=synthetic:street"):
        result = run("camera", "set", "gate", setting)
        assert result.stdout.splitlines()[0] == "camera gate unchanged: it is so already"
    assert "camera gate changed (written to" in run("camera", "set", "gate", "fps=6", "model=null").stdout
    run("camera", "add", "yard", "rtsp://10.0.0.5/live", "--no-probe")
    for args in (("url=rtsp://u:p@10.0.0.5/live",), ("--username", "v"), ("--password-stdin",)):
        assert "camera yard changed" in run("camera", "set", "yard", *args, stdin="pass\n").stdout


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("fsp=5", "did you mean 'fps'?"),
        ("color=red", "known: url"),
        ("fps=fast", "source.fps"),
        ("limits.object.min=1", "unknown key"),
        ("limits.object.min_score=2", "min_score"),
        ("pipeline=nope", "unknown pipeline"),
        ("model=nope", "no model 'nope'"),
        ("url=nope://x", "'nope:' are not supported"),
    ],
)
def test_a_bad_setting_changes_nothing(run: Run, store: ConfigStore, setting: str, words: str) -> None:
    run("camera", "add", "gate", "synthetic:street", "--no-probe")
    before = store.camera_file("gate").read_bytes()
    result = run("camera", "set", "gate", "loop=true", setting)
    assert result.exit_code in (Exit.CONFIG, Exit.MODEL)
    assert words in result.stderr
    assert store.camera_file("gate").read_bytes() == before


def test_a_clip_that_is_not_there_is_set_only_on_request(
    run: Run, store: ConfigStore, clip: Path, short_dir: Path
) -> None:
    run("camera", "add", "gate", "synthetic:street", "--no-probe")
    missing = short_dir / "foo.mp4"
    for url in (str(missing), f"file://{missing}"):
        result = run("camera", "set", "gate", f"url={url}")
        assert result.exit_code == Exit.SOURCE
        assert result.stderr == (
            f"error: {missing}: no such file: check the path; "
            "not saved (--force saves it, and the daemon keeps trying)\n"
        )
        assert store.load().cameras[0].url == "synthetic:street"
    assert run("camera", "set", "gate", f"url={missing}", "--force").exit_code == 0
    assert store.load().cameras[0].url == str(missing)
    assert run("camera", "set", "gate", f"url={clip}").exit_code == 0
    assert store.load().cameras[0].url == str(clip)


def test_a_camera_is_disabled_renamed_and_removed(run: Run) -> None:
    run("camera", "add", "gate", "synthetic:street", "--no-probe")
    assert run("camera", "disable", "gate").exit_code == 0
    assert listed(run)[0]["state"] == "disabled"
    assert run("camera", "enable", "gate").exit_code == 0
    assert listed(run)[0]["state"] == "not running"
    assert run("camera", "rename", "gate", "yard").exit_code == 0
    assert [c["name"] for c in listed(run)] == ["yard"]
    assert run("camera", "remove", "yard").exit_code == 0
    assert "no cameras" in run("camera", "list").stdout


def test_an_unknown_camera_is_answered_with_those_that_exist(run: Run) -> None:
    run("camera", "add", "gate", "synthetic:street", "--no-probe")
    for args in (
        ("show", "gat"),
        ("test", "gat"),
        ("remove", "gat"),
        ("rename", "gat", "x"),
        ("snapshot", "gat"),
    ):
        result = run("camera", *args)
        assert result.exit_code == Exit.CONFIG
        assert "no camera 'gat'; known: gate" in result.stderr


def test_a_running_daemon_makes_the_change_and_its_refusal_is_the_command_s(
    run: Run, store: ConfigStore, daemon: Daemon
) -> None:
    from streamer.errors import ModelError

    daemon.answers["status"] = lambda request: request.reply({"cameras": [], "workers": []})
    daemon.answers["change"] = lambda request: request.reply({"config_rev": 3})
    result = run("camera", "add", "gate", "synthetic:street", "--no-probe")
    assert "applied by the running daemon, config_rev 3" in result.stdout
    assert [args["op"] for op, args in daemon.asked if op == "change"] == ["camera.put"]
    assert store.load().cameras == (), "the files are the daemon's to write"
    daemon.answers["change"] = lambda request: request.fail(ModelError("that model is broken"))
    result = run("camera", "add", "gate", "synthetic:street", "--no-probe")
    assert result.exit_code == Exit.MODEL
    assert result.stderr.endswith("error: that model is broken\n")


def test_a_snapshot_needs_a_place_to_write_and_a_known_suffix(run: Run, short_dir: Path) -> None:
    run("camera", "add", "gate", "synthetic:street", "--no-probe")
    assert run("camera", "snapshot", "gate", "-o", "picture.gif").exit_code == Exit.CONFIG
    result = run("camera", "snapshot", "gate", "-o", str(short_dir / "no" / "picture.jpg"))
    assert result.exit_code == Exit.STORAGE
    assert "there is no folder" in result.stderr


def test_a_password_that_is_no_text_is_refused(run: Run) -> None:
    args = (
        "camera",
        "add",
        "gate",
        "rtsp://127.0.0.1:9/x",
        "--no-probe",
        "--username",
        "u",
        "--password-stdin",
    )
    result = run(*args, stdin=b"\xff\xfe\n")
    assert result.exit_code == Exit.CONFIG
    assert "not UTF-8" in result.stderr


@pytest.fixture
def no_model(short_dir: Path) -> Path:
    """A file that is no model."""
    path = short_dir / "text.mp4"
    path.write_text("just text\n")
    return path


def test_a_file_that_is_no_model_is_refused_at_the_door_in_the_words_of_model_add(
    run: Run, store: ConfigStore, daemon: Daemon, no_model: Path
) -> None:
    camera = "name: gate\nurl: synthetic:street\n"
    store.cameras_dir.mkdir()
    store.camera_file("gate").write_text(camera)
    daemon.answers["change"] = lambda request: request.reply({"config_rev": 3})
    refused = run("model", "add", str(no_model))
    assert "not an ONNX model" in refused.stderr
    for args in (
        ("camera", "set", "gate", f"model={no_model}"),
        ("camera", "add", "yard", "synthetic:street", "--no-probe", "--model", str(no_model)),
    ):
        result = run(*args)
        assert (result.exit_code, result.stdout, result.stderr) == (Exit.MODEL, "", refused.stderr)
    assert "change" not in [op for op, _ in daemon.asked], "the daemon is not asked to load it"
    daemon.close()
    store.camera_file("gate").write_text(f"{camera}model: {no_model}\n")
    result = run("run", "--check")
    assert (result.exit_code, result.stderr) == (
        Exit.MODEL,
        refused.stderr.replace("error: ", "error: camera gate: "),
    )


def test_a_model_given_by_path_is_loaded_and_kept_as_a_whole_path(
    run: Run, store: ConfigStore, short_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = {"names": "{0: 'person', 1: 'car', 2: 'truck'}"}
    model = tiny_models.yolov8(short_dir / "tiny.onnx", [(10, 10, 8, 8, 1, 0.9)], classes=3, metadata=names)
    monkeypatch.chdir(short_dir)
    result = run("camera", "add", "gate", "synthetic:street", "--no-probe", "--model", "tiny.onnx")
    assert result.exit_code == 0, result.stderr
    assert store.load().cameras[0].model == str(model)
    assert run("camera", "set", "gate", "model=").exit_code == 0
    assert run("camera", "set", "gate", "model=./tiny.onnx").exit_code == 0
    assert store.load().cameras[0].model == str(model)


@pytest.mark.parametrize("word", ["null", "none", ""])
def test_null_unsets_what_is_null_by_default(
    run: Run, store: ConfigStore, short_dir: Path, word: str
) -> None:
    names = {"names": "{0: 'person', 1: 'car', 2: 'truck'}"}
    model = tiny_models.yolov8(short_dir / "tiny.onnx", [(10, 10, 8, 8, 1, 0.9)], classes=3, metadata=names)
    run("camera", "add", "gate", "synthetic:street", "--no-probe", "--model", str(model))
    limits = "limits.person.min_score"
    assert run("camera", "set", "gate", "model=", f"{limits}=0.5").exit_code == 0
    assert run("camera", "set", "gate", f"model={word}", f"{limits}={word}").exit_code == 0
    assert (store.load().cameras[0].model, store.load().cameras[0].rules.limits) == (None, {})
    assert run("camera", "set", "gate", "fps=null").exit_code == Exit.CONFIG, "its default is no null"


def test_a_fresh_camera_gets_the_detector_of_the_package_and_motion_where_it_is_asked_for(run: Run) -> None:
    assert run("camera", "add", "gate", "synthetic:street", "--no-probe", "--class", "vehicle").exit_code == 0
    assert run("camera", "add", "yard", "synthetic:street", "--no-probe", "--model", "motion").exit_code == 0
    plan = run("run", "--check").stdout
    assert re.search(r"camera +gate .* pipeline default, model default \(in the package\)", plan)
    assert re.search(r"camera +yard .* pipeline default, motion detector", plan)


def test_a_class_that_only_motion_has_says_how_to_get_it(run: Run) -> None:
    run("camera", "add", "gate", "synthetic:street", "--no-probe")
    done = run("camera", "set", "gate", "classes=object")
    assert done.exit_code == Exit.CONFIG
    assert "model default (in the package) has person, bicycle" in done.stderr
    assert "`streamer camera set gate model=motion`" in done.stderr
    assert run("camera", "set", "gate", "model=motion", "classes=object").exit_code == 0


def test_actions_that_the_detector_cannot_serve_are_refused_at_the_door_in_the_words_of_analyze(
    run: Run, store: ConfigStore, short_dir: Path, clip: Path
) -> None:
    """They were taken, and no action was ever told."""
    names = {"names": "{0: 'car', 1: 'truck', 2: 'bus'}"}
    cars = tiny_models.yolov8(short_dir / "cars.onnx", [(10, 10, 8, 8, 1, 0.9)], classes=3, metadata=names)
    poses = write_tiny(short_dir / "poses.onnx", kind="pose", size=17)
    maps = write_features(short_dir / "maps.onnx", cars)
    assert run("camera", "add", "yard", "synthetic:street", "--no-probe").exit_code == 0
    for model, actions, why in (
        ("motion", "motion", "looks at person, of which the detector knows nothing (it has object)"),
        ("motion", str(poses), "takes poses, and the detector gives none"),
        ("default", str(poses), "takes poses, and the detector gives none"),
        ("motion", str(maps), "takes feature maps, and the motion detector has none"),
        ("default", str(maps), "was trained on the feature maps of another detector"),
        (str(cars), "motion", "looks at person, of which the detector knows nothing (it has vehicle"),
    ):
        told = run("analyze", str(clip), "--model", model, "--actions", actions).stderr
        said = told.splitlines(keepends=True)[-1]
        assert why in said
        for args in (
            ("add", "gate", "synthetic:street", "--no-probe", "--model", model, "--actions", actions),
            ("set", "yard", f"model={model}", f"actions={actions}"),
        ):
            result = run("camera", *args)
            where = f"error: camera {args[1]}: actions: "
            assert (result.exit_code, result.stderr) == (Exit.MODEL, said.replace("error: ", where))
    assert [(c.name, c.model, c.actions) for c in store.load().cameras] == [("yard", None, None)]
    assert run("camera", "set", "yard", "actions=motion").exit_code == 0
    assert run("camera", "set", "yard", "model=motion").exit_code == Exit.MODEL
    assert run("camera", "set", "yard", "pipeline=", "actions=", "model=motion").exit_code == 0
