"""The configuration: found, read with suspicion, and refused with file, line and key."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from streamer.config.store import ConfigStore
from streamer.config.yaml_reader import MAX_BYTES
from streamer.errors import ConfigError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "cameras.d").mkdir()
    (tmp_path / "streamer.yaml").write_text("timezone: Europe/Berlin\n")
    return tmp_path


LINE = "name: gate\nurl: synthetic:a\nrules:\n  lines:\n  - name: door\n    points: "


def write_camera(folder: Path, text: str, name: str = "gate") -> Path:
    path = folder / "cameras.d" / f"{name}.yaml"
    path.write_text(text)
    return path


def refusal(folder: Path) -> str:
    with pytest.raises(ConfigError) as caught:
        ConfigStore(folder).load()
    text = str(caught.value)
    assert "\n" not in text, "a refusal is one line"
    return text


def test_a_folder_and_its_file_name_the_same_configuration(folder: Path) -> None:
    assert ConfigStore(folder).load() == ConfigStore(folder / "streamer.yaml").load()


def test_the_environment_names_the_configuration_where_no_path_is_given(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STREAMER_CONFIG", str(folder))
    assert ConfigStore().load().timezone == "Europe/Berlin"


def test_what_is_missing_is_said_with_the_command_that_writes_it(tmp_path: Path) -> None:
    assert "streamer init" in refusal(tmp_path / "nowhere")


def test_cameras_come_from_their_files_in_the_order_of_their_names(folder: Path) -> None:
    write_camera(folder, "name: yard\nurl: synthetic:street\n", "yard")
    write_camera(folder, "name: gate\nurl: rtsp://10.0.0.5/live\nsource: {fps: 5}\n")
    config = ConfigStore(folder).load()
    assert [c.name for c in config.cameras] == ["gate", "yard"]
    assert config.cameras[0].source.fps == 5


def test_a_file_that_changed_is_read_again_and_a_broken_one_is_never_taken_for_what_it_was(
    folder: Path,
) -> None:
    path = write_camera(folder, "name: gate\nurl: synthetic:a\n")
    store = ConfigStore(folder)
    assert store.load().cameras[0].url == "synthetic:a"
    path.write_text("name: gate\nurl: synthetic:b\n")  # of the same length
    assert store.load().cameras[0].url == "synthetic:b"
    path.write_text("name: gate\nurl: [\n")
    for _ in range(2):
        with pytest.raises(ConfigError):
            store.load()
    path.unlink()
    assert store.load().cameras == ()


def test_hidden_files_in_the_cameras_folder_are_no_cameras(folder: Path) -> None:
    (folder / "cameras.d" / ".secrets.yaml").write_text("nonsense")
    assert ConfigStore(folder).load().cameras == ()


def test_folders_not_named_are_filled_in_and_those_named_are_kept(folder: Path) -> None:
    (folder / "streamer.yaml").write_text("state_dir: /srv/streamer\n")
    config = ConfigStore(folder).load()
    assert config.state_path == Path("/srv/streamer")
    assert config.runtime_path.is_absolute()


def test_who_is_not_root_gets_folders_of_his_own(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setenv("XDG_STATE_HOME", "/home/someone/state")
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/run/user/1000")
    config = ConfigStore(folder).load()
    assert config.state_path == Path("/home/someone/state/streamer")
    assert config.runtime_path == Path("/run/user/1000/streamer")


def test_members_of_the_group_find_the_sockets_of_the_system_s_daemon(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert ConfigStore("/etc/streamer").default_runtime_dir() == Path("/run/streamer")


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("name: gate\nurl: synthetic:a\nsorce: {}\n", 3, "sorce: unknown key: did you mean 'source'?"),
        ("name: gate\nurl: synthetic:a\nfps: 5\n", 3, "fps: unknown key: fps belongs under source"),
        ("name: gate\nurl: synthetic:a\nlines: []\n", 3, "lines: unknown key: lines belongs under rules"),
        (
            "name: gate\nurl: synthetic:a\nsource:\n  enabled: true\n",
            4,
            "source.enabled: unknown key: enabled belongs at the top level or under health",
        ),
        (
            "name: gate\nurl: synthetic:a\nsource:\n  fsp: 5\n",
            4,
            "source.fsp: unknown key: did you mean 'fps'?",
        ),
        (
            "name: gate\nurl: synthetic:a\nsource:\n  fps: fast\n",
            4,
            "source.fps: should be a number, got 'fast'",
        ),
        ("name: gate\nurl: synthetic:a\nsource:\n  fps: .nan\n", 4, "source.fps: should be a finite number"),
        ("name: gate\nurl: synthetic:a\nsource: 5\n", 3, "source: should hold `key: value` lines, got 5"),
        ("name: gate\n\n\nname: gate\n", 4, "name: is given twice (first on line 1)"),
        ("name: yard\nurl: synthetic:a\n", 1, "name: is 'yard' but the file is gate.yaml"),
        ("url: synthetic:a\n", 1, "name: is missing"),
        ("name: 5\nurl: synthetic:a\n", 1, "name: should be a text; quote it, got 5"),
        ("name: gate\nurl: synthetic:a\nrules: {classes: person}\n", 3, "rules.classes: should be a list"),
        (
            "name: gate\nurl: synthetic:a\nrules: {lines: [{name: a, points: [[0, 0]]}]}\n",
            3,
            "needs at least 2 points",
        ),
        ("name: gate\nurl: synthetic:a\nsource: {loop: maybe}\n", 3, "source.loop: should be true or false"),
        ("name: gate\nurl: synthetic:a\nsource: {stream: 1.5}\n", 3, "should be a whole number, got 1.5"),
        ("name: gate\nurl: ftp://host/x\n", 2, "'ftp:' are not supported"),
        ("name: gate\nurl: 12:30\n", 2, "url: is no URL, and no whole path of a file, which begins with /"),
        ("name: gate\nurl: clip.mp4\n", 2, "url: is no URL, and no whole path of a file"),
        ("name: gate\nurl: ./clip.mp4\n", 2, "url: is no URL, and no whole path of a file"),
        ("name: gate\nurl: 5\n", 2, "url: should be a text; quote it"),
        (
            LINE + "[[0.1, 0.5], [1.5, 0.5]]\n",
            6,
            "rules.lines[0].points[1][0]: should be less than or equal to 1, got 1.5",
        ),
        (
            LINE + "[[0.1, 0.5], [0.1, 0.5]]\n",
            6,
            "a line needs a length",
        ),
        ("- a\n- b\n", 1, "expected `key: value` lines"),
        ("5\n", 1, "expected `key: value` lines"),
        ("name: &n gate\nurl: *n\n", 1, "anchors and aliases"),
        ("name: gate\nurl: !!python/object/apply:os.system [ls]\n", 2, "url"),
        ("name: !x gate\n", 1, "tags"),
        ("1: gate\n", 1, "a key must be a word"),
        ("? [a, b]\n: gate\n", 1, "a key must be a word"),
        ("name: gate\nurl: {<<: {a: 1}}\n", 2, "<<"),
        ("name: gate\nurl: [1, 2\n", 3, "is not YAML: a bracket, [ or {, is not closed: close it"),
        ("name: gate\nurl: [", 2, "is not YAML: a bracket, [ or {, is not closed: close it"),
        ("name: gate\nsource: {\n", 3, "is not YAML: a bracket, [ or {, is not closed: close it"),
        ("name: gate\nurl: [a\nenabled: true\n", 3, "a comma is missing, or a bracket is not closed"),
        (
            "name: gate\n\turl: x\n",
            2,
            "is not YAML: found character '\\t' that cannot start any token: indent",
        ),
        ("name: gate\nsource:\n\tfps: 5\n", 3, "indent with spaces, not with tabs"),
        ("name: gate\n---\nname: b\n", 2, "is not YAML"),
        ("name: gate\nurl: " + "[" * 5000, 2, "nested more than"),
        ("name: gate\nurl: " + "{a: " * 5000, 2, "nested more than"),
        (f"name: gate\nsource: {{fps: {'9' * 5000}}}\n", 2, "not a number that can be used"),
    ],
)
def test_a_bad_camera_file_is_refused_with_file_line_and_key(
    folder: Path, text: str, line: int, words: str
) -> None:
    path = write_camera(folder, text)
    message = refusal(folder)
    assert message.startswith(f"{path}:{line}: ")
    assert words in message


@pytest.mark.parametrize("url", ["/clips/a b.mp4", "~/clip.mp4", "file:///clips/a.mp4"])
def test_a_file_that_is_found_from_anywhere_needs_not_be_there_now(folder: Path, url: str) -> None:
    write_camera(folder, f"name: gate\nurl: {url}\n")
    assert ConfigStore(folder).load().cameras[0].url == url


@pytest.mark.parametrize(
    ("text", "value"),
    [("yes", True), ("Off", False), ("true", True), ("FALSE", False), ("on", True), ("1", True)],
)
def test_a_switch_is_read_as_yaml_1_1_had_it_too(folder: Path, text: str, value: bool) -> None:
    write_camera(folder, f"name: gate\nurl: synthetic:street\nsource: {{loop: {text}}}\n")
    assert ConfigStore(folder).load().cameras[0].source.loop is value


@pytest.mark.parametrize("text", ["no", "on", "12:30", "1_000", "0o17", "1e5", "08", "1.5e3", "2026-01-01"])
def test_a_text_that_one_version_of_yaml_takes_for_something_else_is_a_text(folder: Path, text: str) -> None:
    (folder / "streamer.yaml").write_text(f"display_name: {text}\n")
    assert ConfigStore(folder).load().display_name == text


@pytest.mark.parametrize(
    ("text", "fps"),
    [("012.5", 12.5), ("1e1", 10), ("08", 8), ("+5", 5), ("0x1F", 31), ("1_0", 10), ("05", 5)],
)
def test_a_number_that_has_one_meaning_is_read(folder: Path, text: str, fps: float) -> None:
    write_camera(folder, f"name: gate\nurl: synthetic:street\nsource: {{fps: {text}}}\n")
    assert ConfigStore(folder).load().cameras[0].source.fps == fps


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("012", "a number with a leading 0 has two meanings"),
        ("-0_12", "a number with a leading 0 has two meanings"),
        ("1:30", "source.fps: should be a number, got '1:30'"),
        ("0b11", "source.fps: should be a number, got '0b11'"),
        ("0o17", "source.fps: should be a number, got '0o17'"),
    ],
)
def test_a_number_that_has_another_meaning_in_yaml_1_1_is_refused(
    folder: Path, text: str, words: str
) -> None:
    write_camera(folder, f"name: gate\nurl: synthetic:street\nsource:\n  fps: {text}\n")
    assert words in refusal(folder)
    assert "gate.yaml:4: " in refusal(folder)


def test_an_hour_needs_no_quotes(folder: Path) -> None:
    zone = "zones: [{name: hall, points: [[0, 0], [1, 0], [1, 1]]}]"
    rule = "occupancies: [{name: all, zones: [hall], reset_at_utc: 12:30}]"
    write_camera(folder, f"name: gate\nurl: synthetic:street\nrules: {{{zone}, {rule}}}\n")
    assert ConfigStore(folder).load().cameras[0].rules.of("occupancies")[0].reset_at_utc == "12:30"


@pytest.mark.parametrize(
    "text",
    [
        "actions_pause_s: yes",
        "source: {read_timeout_s: no}",
        "source: {analysis_width: on}",
        "scene: {model: s.onnx, interval_s: yes}",
        "rules: {queues: [{name: q, zone: z, settle_s: true}]}",
    ],
)
def test_yes_and_no_are_no_numbers(folder: Path, text: str) -> None:
    write_camera(folder, f"name: gate\nurl: synthetic:street\n{text}\n")
    assert re.search(r"gate\.yaml:3: .*[\w]+: should be a number, not yes or no", refusal(folder))
    write_camera(folder, "name: gate\nurl: synthetic:street\nenabled: no\nsource: {loop: yes, fps: 1}\n")
    assert not ConfigStore(folder).load().cameras[0].enabled


def test_an_empty_file_is_refused(folder: Path) -> None:
    for text in ("", "# only a comment\n"):
        (folder / "streamer.yaml").write_text(text)
        assert "is empty" in refusal(folder)


def test_an_empty_camera_file_says_what_a_camera_needs(folder: Path) -> None:
    path = write_camera(folder, "# nothing yet\n")
    said = refusal(folder)
    assert said.startswith(f"{path}: is empty: a camera needs the lines `name: {path.stem}` and `url: ")
    assert said.endswith(f"; mend the file, or remove it: `streamer camera remove {path.stem}`")
    assert (said.count("remove it"), "or remove the file" in said, "init" in said) == (1, False, False)


def test_a_camera_file_that_is_no_text_says_what_to_do(folder: Path) -> None:
    path = write_camera(folder, "")
    path.write_bytes(b"\xff\xfe\x00")
    said = refusal(folder)
    assert said == (
        f"{path}:1: is not UTF-8 text: save it as UTF-8; mend the file, or remove it: "
        f"`streamer camera remove {path.stem}`"
    )


def test_files_that_are_too_large_binary_or_no_files_are_refused(folder: Path) -> None:
    path = folder / "streamer.yaml"
    path.write_bytes(b"# " + b"x" * MAX_BYTES)
    assert "larger than 1 MiB" in refusal(folder)
    path.write_bytes(b"a: 1\nb: \xff\xfe\n")
    assert refusal(folder) == f"{path}:2: is not UTF-8 text: save it as UTF-8"
    path.write_bytes(b"a: \x00\x01\n")
    assert "is not YAML" in refusal(folder)
    path.unlink()
    path.mkdir()
    assert "not a regular file" in refusal(folder) or "is a directory" in refusal(folder).lower()
    path.rmdir()
    os.mkfifo(path)
    assert "not a regular file" in refusal(folder)


def test_an_exponential_document_is_refused_before_it_is_expanded(folder: Path) -> None:
    bomb = "a0: &a0 [x, x]\n" + "".join(f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]\n" for i in range(1, 60))
    (folder / "streamer.yaml").write_text(bomb)
    assert "anchors and aliases" in refusal(folder)


def test_cameras_do_not_belong_into_the_main_file(folder: Path) -> None:
    (folder / "streamer.yaml").write_text("cameras:\n- {name: gate, url: synthetic:a}\n")
    assert "cameras.d/NAME.yaml" in refusal(folder)


def test_strange_files_among_the_cameras_are_pointed_out(folder: Path) -> None:
    stray = folder / "cameras.d" / "gate.yaml.bak"
    stray.write_text("x")
    assert str(stray) in refusal(folder)
    stray.unlink()
    write_camera(folder, "name: Gate\nurl: synthetic:a\n", "Gate")
    assert "use 1 to 63 of a-z" in refusal(folder)


def test_a_password_in_a_url_is_refused_without_being_shown(folder: Path) -> None:
    write_camera(folder, "name: gate\nurl: rtsp://admin:canary@10.0.0.5/live\n")
    message = refusal(folder)
    assert "secrets.yaml" in message
    assert "canary" not in message


@pytest.mark.parametrize(
    "text",
    [
        "timezone: Mars/Olympus\n",
        "state_dir: relative/path\n",
        "counts: {bucket_s: 0}\n",
        "inference: {engine: tensorrt}\n",
        "redis: {url: 'http://host'}\n",
        "redis: {url: 'redis://:canary@host/0'}\n",
    ],
)
def test_settings_out_of_their_range_are_refused_on_their_line(folder: Path, text: str) -> None:
    (folder / "streamer.yaml").write_text("display_name: box\n" + text)
    message = refusal(folder)
    assert message.startswith(f"{folder}/streamer.yaml:2: {text.partition(':')[0]}")
    assert "canary" not in message
