"""The page's files: what they may load, what they say in which language, and whether all can read it."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import json
import re
import tomllib
from fnmatch import fnmatch
from pathlib import Path

import pytest
from fastapi import Request

from streamer.api.http.page_files import MEDIA_TYPES, POLICY, page_files, version
from streamer.api.http.page_files import file as file_of_page
from streamer.events import schemas
from tests.conftest import REPO

PAGE = REPO / "streamer" / "api" / "page"
MODULES = sorted([*PAGE.glob("*.js"), *PAGE.glob("views/*.js"), *PAGE.glob("draw/*.js")])
TEXTS = json.loads((PAGE / "texts.json").read_text(encoding="utf-8"))
COMMENT = re.compile(r"^\s*//.*$", re.MULTILINE)
STRING = re.compile(r"\"((?:[^\"\\]|\\.)*)\"|`((?:[^`\\]|\\.)*)`")
KEY = re.compile(r"\bt\(\s*\"([a-z_.0-9]+)\"|(?:section\(|, )\"([a-z_]+\.[a-z_]+)\"[\],]")
FAMILY = re.compile(r"\bt\(`([a-z_.]+)\$\{|\bnamed\(\"([a-z_]+)\"")
PAIR = re.compile(r"--([\w-]+): light-dark\((#[0-9a-f]{6}), (#[0-9a-f]{6})\)")
TEXT_AA, PART_AA = 4.5, 3.0  # WCAG 2.2, 1.4.3 and 1.4.11

# What is read on which ground, and what only has to be seen.
READ_ON = [
    *((text, ground) for text in ("text", "quiet", "accent", "bad") for ground in ("ground", "card")),
    *((kind, f"{kind}-ground") for kind in ("good", "warn", "bad", "idle")),
    ("text", "idle-ground"),
    ("on-accent", "accent"),
]
SEEN_ON = [
    *((part, "card") for part in ("control-edge", "series-1", "series-2", "series-3", "series-4", "hatch")),
    *(
        (f"drawn-{kind}", ground)
        for kind in ("line", "zone", "mask", "proposed")
        for ground in ("card", "idle-ground")
    ),
]


def code(path: Path) -> str:
    return COMMENT.sub("", path.read_text(encoding="utf-8"))


def test_both_languages_say_the_same_things() -> None:
    assert set(TEXTS) == {"en", "de"}
    assert set(TEXTS["en"]) == set(TEXTS["de"])
    for key, text in TEXTS["en"].items():
        holes = [sorted(re.findall(r"\{\w+\}", each)) for each in (text, TEXTS["de"][key])]
        assert holes[0] == holes[1], key
        assert text.strip(), key
        assert TEXTS["de"][key].strip(), key


def test_every_text_that_a_module_asks_for_is_there_and_none_is_left_over() -> None:
    asked = {a or b for path in MODULES for a, b in KEY.findall(code(path))}
    asked = {key for key in asked if "." in key or key in TEXTS["en"]} | set(single_words())
    families = {(a or f"{b}.") for path in MODULES for a, b in FAMILY.findall(code(path))}
    assert sorted(asked - set(TEXTS["en"])) == []
    unused = [key for key in TEXTS["en"] if key not in asked and not key.startswith(tuple(families))]
    assert [key for key in unused if not any(f'"{key}"' in code(path) for path in MODULES)] == []


def single_words() -> list[str]:
    return [key for path in MODULES for key in re.findall(r"\bt\(\"([a-z_]+)\"", code(path))]


def test_no_module_has_a_text_of_its_own() -> None:
    """Two words in a row, or one that begins with a capital, are meant for people; a class, a key or a value
    of an attribute is not."""
    allowed = re.compile(
        r"^(use strict|minmax|[a-z-]+( [a-z$]\S*)*|[A-Z]{3,6}|#.*|/.*|rtsp://\S+|Event|Arrow(Left|Right|Up|Down)|Delete|Backspace|Enter|Escape)$"
    )
    prose = re.compile(r"[A-Za-z]{2,} [A-Za-z]{2,}|^[A-Z][a-z]+")
    found = []
    for path in MODULES:
        for double, template in STRING.findall(code(path)):
            text = re.sub(r"\$\{[^}]*\}", "", double or template)
            if prose.search(text) and not allowed.match(text):
                found.append(f"{path.name}: {text}")
    assert found == []


def test_every_kind_of_event_and_state_has_a_name_in_the_texts() -> None:
    assert {f"event.{name}" for name in schemas.names()} <= set(TEXTS["en"])
    types = re.findall(r"\"(streamer\.[a-z.]+\.v1)\"", (PAGE / "live.js").read_text())
    assert set(types) == set(schemas.names()), "else the stream of the page does not hear it"
    schema = json.loads((REPO / "streamer/events/schemas/streamer.camera.state.v1.json").read_text())
    states, health = (schema["properties"][name]["enum"] for name in ("state", "health"))
    assert {f"state.{name}" for name in states} <= set(TEXTS["en"])
    assert {f"blind.{name}" for name in health} <= set(TEXTS["en"])


def test_nothing_is_loaded_from_elsewhere_and_no_script_or_style_stands_in_the_document() -> None:
    document = (PAGE / "index.html").read_text()
    assert re.findall(r"<script(?![^>]*src=\"/page/)", document) == []
    assert re.findall(r"<style|\son\w+=|\sstyle=|javascript:", document) == []
    for path in [*MODULES, PAGE / "index.html", *PAGE.glob("*.css")]:
        text = re.sub(r"http://www\.w3\.org/\S+", "", code(path))
        assert (
            re.findall(r"https?://|//cdn|@import|innerHTML|outerHTML|insertAdjacentHTML|\beval\(", text) == []
        ), path
        assert '"style"' not in text, "the policy refuses it"
    assert "unsafe" not in POLICY
    assert "default-src 'none'" in POLICY


def test_every_file_that_is_asked_for_is_there() -> None:
    for path in [*MODULES, PAGE / "index.html"]:
        for name in re.findall(r"[\"`]/page/([^\"`?]+)[\"`]", path.read_text()):
            assert name in page_files(), (path.name, name)


def test_third_party_files_are_those_that_the_note_beside_them_names() -> None:
    folder = PAGE / "vendor"
    noted = dict(reversed(line.split()) for line in (folder / "README.txt").read_text().splitlines()[1:])
    found = {path.name for path in folder.iterdir()} - {"README.txt"}
    assert found == set(noted)
    for name, digest in noted.items():
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest, name


def test_a_wheel_has_every_file_of_the_page() -> None:
    patterns = tomllib.loads((REPO / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"][
        "streamer"
    ]
    for path in PAGE.rglob("*"):
        if path.is_file():
            name = str(path.relative_to(REPO / "streamer"))
            depth = [pattern for pattern in patterns if pattern.count("/") == name.count("/")]
            assert any(fnmatch(name, pattern) for pattern in depth), name
            assert path.suffix[1:] in MEDIA_TYPES, name


def test_a_browser_that_has_a_file_is_told_so_and_packed_ones_are_the_same() -> None:
    for name, file in page_files().items():
        plain = file.content.replace(f'"/page/v-{version()}/'.encode(), b'"/page/')
        without_links = re.sub(rb' *<link rel="(modulepreload|preload)".*\n', b"", plain)
        assert without_links == (PAGE / name).read_bytes()
        assert file.packed is None or gzip.decompress(file.packed) == file.content
    assert len({file.etag for file in page_files().values()}) == len(page_files())


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_colours_have_the_contrast_that_wcag_asks_for(theme: str) -> None:
    colours = {
        name: (light if theme == "light" else dark) for name, light, dark in PAIR.findall(css("colours.css"))
    }
    for pairs, needed in ((READ_ON, TEXT_AA), (SEEN_ON, PART_AA)):
        for front, ground in pairs:
            ratio = contrast(colours[front], colours[ground])
            assert ratio >= needed, f"{front} on {ground}: {ratio:.2f}"


def test_no_colour_stands_outside_the_file_whose_contrast_is_computed() -> None:
    found = re.findall(r"#[0-9a-f]{3,8}\b|rgba?\([^)]*\)", css("style.css"))
    assert set(found) <= {"#000", "rgb(0 0 0 / 55%)"}, "behind a picture and a dialog"
    used = set(re.findall(r"var\(--([\w-]+)\)", css("style.css")))
    assert used <= {name for name, _, _ in PAIR.findall(css("colours.css"))}


def test_the_focus_is_shown_and_motion_can_be_turned_off() -> None:
    style = css("style.css")
    assert ":focus-visible { outline: 3px" in style
    assert re.findall(r"outline: (?:none|0)", style) == ["outline: none"], (
        "of the heading alone, which is no control"
    )
    before_motion = style.partition("prefers-reduced-motion: no-preference")[0]
    assert re.findall(r"transition|animation", before_motion) == []


def css(name: str) -> str:
    return (PAGE / name).read_text(encoding="utf-8")


def contrast(one: str, other: str) -> float:
    """WCAG 2.2, relative luminance: https://www.w3.org/TR/WCAG22/#dfn-contrast-ratio"""
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_every_module_is_asked_for_at_once_by_an_address_that_may_be_kept() -> None:
    files = page_files()
    document = files["index.html"].content.decode()
    preloaded = set(re.findall(r'rel="modulepreload" href="/page/v-[0-9a-f]{16}/([^"]+)"', document))
    imported = {
        name for path in MODULES for name in re.findall(r'^import .*"/page/([^"]+)"', code(path), re.M)
    }
    assert preloaded == imported | {"app.js"}
    for name, file in files.items():
        assert b'"/page/' not in file.content.replace(f'"/page/v-{version()}/'.encode(), b""), name


@pytest.mark.parametrize(("asked", "kept"), [(None, True), ("v-0123456789abcdef", False), ("", False)])
def test_only_under_the_page_s_own_version_is_a_file_kept_without_asking(
    asked: str | None, kept: bool
) -> None:
    prefix = f"v-{version()}" if asked is None else asked
    request = Request({"type": "http", "headers": []})
    answer = asyncio.run(file_of_page(request, f"{prefix}/app.js".lstrip("/")))
    assert answer.status_code == 200
    assert ("immutable" in answer.headers["cache-control"]) is kept
