"""A change edits what it changes in a camera's file, and nothing else that a person wrote there."""

from __future__ import annotations

import difflib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamer.api.apply_change import apply_change
from streamer.config.store import ConfigStore
from streamer.config.yaml_edit import edited
from streamer.config.yaml_reader import parse

WRITTEN = """\
# the gate of the yard; ask Ada before you move it
name: gate   # not the back door
url: "synthetic:street"

# how it is read
source:
    # the network is slow
    fps:   5.50   # enough for cars
    loop: false

# rules
rules:
    classes: [ object ]   # all that moves
    lines:
      # the door
      - name: door    # d
        points: [ [0.10, 0.5],
                  [0.90, 0.5] ]
        left_to_right: 'in'
        right_to_left: 'out'

      # the gate
      - {name: gate, points: [[0.1, 0.2], [0.9, 0.2]]}

    # an area without interest
    masks:
      - name: tree
        points: [[0, 0], [0.1, 0], [0.1, 0.1]]
# the end
model: motion  # no weights
"""
LINE = {"name": "new", "points": [[0.2, 0.5], [0.8, 0.5]]}


@pytest.fixture
def store(tmp_path: Path) -> ConfigStore:
    return store_at(tmp_path, WRITTEN)


def store_at(folder: Path, text: str) -> ConfigStore:
    (folder / "cameras.d").mkdir(exist_ok=True)
    (folder / "streamer.yaml").write_text(f"state_dir: {folder}/state\nruntime_dir: {folder}/run\n")
    (folder / "cameras.d" / "gate.yaml").write_text(text, newline="")
    return ConfigStore(folder)


def change(store: ConfigStore, **wanted: Any) -> list[str]:
    """What is different in the file after the change: "-old" and "+new" lines."""
    before = store.camera_file("gate").read_text().splitlines()
    apply_change(store, wanted)
    after = store.camera_file("gate").read_text().splitlines()
    return [
        line
        for line in difflib.unified_diff(before, after, n=0, lineterm="")
        if not line.startswith(("---", "+++", "@@"))
    ]


def set_(store: ConfigStore, **values: Any) -> list[str]:
    named = {key.replace("__", "."): value for key, value in values.items()}
    return change(store, op="camera.set", name="gate", values=named)


def test_a_value_is_changed_where_it_stands(store: ConfigStore) -> None:
    assert set_(store, source__fps="8") == [
        "-    fps:   5.50   # enough for cars",
        "+    fps:   8.0   # enough for cars",
    ]
    assert set_(store, url="synthetic:shop") == ['-url: "synthetic:street"', '+url: "synthetic:shop"']
    assert set_(store, source__loop="true") == ["-    loop: false", "+    loop: true"]


def test_what_is_written_already_is_what_it_was(store: ConfigStore) -> None:
    assert set_(store, source__fps="5.5", model="motion") == []


def test_a_new_key_goes_to_its_like(store: ConfigStore) -> None:
    assert set_(store, source__analysis_width="960") == ["+    analysis_width: 960"]
    assert set_(store, rules__limits__object__min_score="0.4") == [
        "+    limits:",
        "+      object:",
        "+        min_score: 0.4",
    ]
    assert change(store, op="camera.disable", name="gate") == ["+enabled: false"]
    assert change(store, op="camera.enable", name="gate") == ["-enabled: false", "+enabled: true"]


def test_a_key_that_is_unset_goes_with_its_own_line_alone(store: ConfigStore) -> None:
    assert set_(store, source__fps=None) == ["-    fps:   5.50   # enough for cars"]
    assert set_(store, source__loop=None) == ["-source:", "+source: {}", "-    loop: false"]
    assert set_(store, model=None, rules__classes=["car"]) == [
        "-    classes: [ object ]   # all that moves",
        "+    classes: [car]   # all that moves",
        "-model: motion  # no weights",
    ]


@pytest.mark.parametrize(
    ("source", "unset", "again"),
    [
        ("source:  # slow\n  fps: 5  # a car\n", "source: {}  # slow\n", "source: {fps: 6.0}  # slow\n"),
        ("source: {fps: 5}  # slow\n", "source: {}  # slow\n", "source: {fps: 6.0}  # slow\n"),
        ("source:\n  # slow\n  fps: 5\n", "source: {}\n  # slow\n", "source: {fps: 6.0}\n  # slow\n"),
    ],
)
def test_a_section_that_is_emptied_keeps_its_place_and_comment(
    tmp_path: Path, source: str, unset: str, again: str
) -> None:
    text = "name: gate\n{}url: synthetic:street\n"
    store = store_at(tmp_path, text.format(source))
    set_(store, source__fps=None)
    assert store.camera_file("gate").read_text() == text.format(unset)
    set_(store, source__fps="6")
    assert store.camera_file("gate").read_text() == text.format(again)


def test_lines_are_added_moved_and_removed_beside_others(store: ConfigStore) -> None:
    assert change(store, op="line.put", camera="gate", line=LINE) == [
        "+      - name: new",
        "+        points: [[0.2, 0.5], [0.8, 0.5]]",
    ]
    moved = {**LINE, "name": "gate"}
    assert change(store, op="line.put", camera="gate", line=moved, replace=True) == [
        "-      - {name: gate, points: [[0.1, 0.2], [0.9, 0.2]]}",
        "+      - {name: gate, points: [[0.2, 0.5], [0.8, 0.5]]}",
    ]
    removed = change(store, op="line.remove", camera="gate", name="door")
    assert removed[0] == "-      - name: door    # d"
    assert len(removed) == 5
    assert len(change(store, op="mask.remove", camera="gate", name="tree")) == 3
    text = store.camera_file("gate").read_text()
    assert [line for line in WRITTEN.splitlines() if line.lstrip()[:1] == "#" and line not in text] == []


def test_a_renamed_camera_takes_its_comments_along(store: ConfigStore) -> None:
    apply_change(store, {"op": "camera.rename", "name": "gate", "to": "yard"})
    assert store.camera_file("yard").read_text() == WRITTEN.replace("name: gate   #", "name: yard   #")


PLAIN = "name: gate\nurl: synthetic:a\n"
FPS = {"source.fps": 5, "model": "motion"}
MODEL = {"model": "motion"}
CLASSES = {"rules.classes": ["car"]}
LISTED = "rules:\n  classes:\n  - car\n  - bus\n"
HEADED = "# Written by streamer: comments are not kept. Keys: docs/reference/configuration.md\n"


@pytest.mark.parametrize(
    ("text", "values", "words"),
    [
        ("{name: gate, url: 'synthetic:a'}\n", FPS, "'synthetic:a', model: motion, source: {fps: 5.0}}"),
        (PLAIN + "model:\n", MODEL, "model: motion\n"),
        (PLAIN + "model:   # which\n", MODEL, "model: motion   # which\n"),
        (PLAIN + "rules: {}\n", CLASSES, "rules: {classes: [car]}"),
        (PLAIN + LISTED, CLASSES, "  classes: [car]\n"),
        (PLAIN.rstrip(), MODEL, "url: synthetic:a\nmodel: motion\n"),
        (PLAIN.replace("\n", "  # b\r\n"), MODEL, "synthetic:a  # b\r\nmodel: motion\r\n"),
        (
            PLAIN.replace("synthetic", ">-\n  synthetic") + "model: default\n",
            MODEL,
            "  synthetic:a\nmodel: motion",
        ),
        ("---\n" + PLAIN + "...\n", FPS, "model: motion\nsource:\n  fps: 5.0\n...\n"),
        (HEADED + PLAIN, FPS, "your own comments are kept"),
    ],
)
def test_however_it_is_written_it_says_afterwards_what_was_asked(
    tmp_path: Path, text: str, values: dict[str, Any], words: str
) -> None:
    store = store_at(tmp_path, text)
    camera = apply_change(store, {"op": "camera.set", "name": "gate", "values": values}).cameras[0]
    assert words in store.camera_file("gate").read_bytes().decode()
    assert store.load().cameras == (camera,)


def test_what_cannot_be_changed_in_its_place_is_written_anew_and_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = store_at(tmp_path, PLAIN.replace("synthetic", ">-\n  synthetic") + "model: motion  # mine\n")
    set_(store, url="synthetic:b")
    assert store.load().cameras[0].url == "synthetic:b"
    assert "its comments are lost" in caplog.text


# ---- any text and change

words = st.sampled_from(
    ["a", "b", "yes", "no", "0123", "1e3", "x: y", "# no", "it's", '"', "ä", "", "null", "-", "{"]
)
leaves = st.one_of(
    words, st.integers(-5, 5), st.booleans(), st.none(), st.lists(st.integers(0, 3), max_size=3)
)
items = st.lists(
    st.fixed_dictionaries({"name": st.sampled_from("abcd")}, optional={"p": leaves, "q": leaves}),
    max_size=3,
    unique_by=lambda item: item["name"],
)
inner = st.fixed_dictionaries({}, optional={"x": leaves, "y": leaves, "items": items})
documents = st.fixed_dictionaries(
    {"name": words}, optional={"u": leaves, "v": inner, "w": inner, "items": items}
)


def written(value: Any, indent: int, style: int, key: str = "") -> str:
    """A person's way of writing it, with comments."""
    pad, eol = " " * indent, "  # eol" if style & 1 else ""
    lead = f"{pad}# about {key}\n" if style & 2 and key else ""
    if isinstance(value, dict) and value and not style & 4:
        body = "".join(written(v, indent + 2 + (style & 2), style, k) for k, v in value.items())
        return (
            f"{lead}{pad}{key}:{eol}\n{body}"
            if key
            else "".join(written(v, indent, style, k) for k, v in value.items())
        )
    if isinstance(value, list) and value and isinstance(value[0], dict) and not style & 4:
        dash = indent + (2 if style & 1 else 0)
        body = ""
        for item in value:
            lines = "".join(written(v, dash + 2, style & 1, k) for k, v in item.items())
            body += " " * dash + "- " + lines[dash + 2 :]
        return f"{lead}{pad}{key}:{eol}\n{body}"
    shown = "" if value is None and style & 1 else json.dumps(value, ensure_ascii=False)
    return f"{lead}{pad}{key}: {shown}{eol}\n" + ("\n" if style & 2 else "")


@settings(max_examples=400, deadline=None)
@given(documents, documents, st.integers(0, 7))
def test_every_document_becomes_every_other_and_loses_no_comment_of_what_stays(
    before: dict[str, Any], after: dict[str, Any], style: int
) -> None:
    from pathlib import Path

    text = (
        written(before, 0, style) if not style & 4 else json.dumps(before, ensure_ascii=False) + "  # eol\n"
    )
    assert parse(Path("x"), text).data == before
    result = edited(text, before, after, after)
    assert parse(Path("x"), result).data == after
    assert edited(text, before, before, before) == text
    if style & 2 and not style & 4:
        for key in before.keys() & after.keys() - {"items"}:
            assert f"# about {key}\n" in result
