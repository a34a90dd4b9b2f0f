"""Whatever is written is read back, and whatever bytes come are refused with the error that is stated."""

from __future__ import annotations

import json
import logging
import zlib
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from pipelines.count.trajectory_codec import (
    MAX_SAMPLES,
    SCALE,
    TICKS,
    TrajectoryError,
    decode,
    encode,
    evidence_code,
    evidence_of,
    noise_code,
    put,
    take,
    unpack,
)
from streamer.config.schema import CameraConfig
from streamer.config.yaml_reader import parse
from streamer.config.yaml_writer import dump
from streamer.errors import ConfigError
from streamer.events import cloudevents, schemas
from streamer.ipc import messages
from streamer.ipc.messages import EventRecord, FrameRequest, MessageError
from streamer.workers.infer.checkpoint_file import Checkpoints
from tests.fuzzing import examples

WHOLE = st.integers(-(1 << 62), (1 << 62) - 1)
WORD = st.text(st.characters(blacklist_categories=("Cs",), blacklist_characters="\n"), max_size=12)
LINE = st.text(st.characters(blacklist_categories=("Cs", "Cc", "Zl", "Zp")), max_size=40)

# ---- configuration

YAML_VALUE = st.recursive(
    st.none() | st.booleans() | st.integers(-(1 << 53), 1 << 53) | st.floats(-1e9, 1e9) | LINE,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(LINE.filter(lambda key: key not in ("", "<<")), inner, max_size=3)
    ),
    max_leaves=10,
)
FILE = Path("gate.yaml")
YAML_BITS = st.lists(
    st.sampled_from(
        [
            *(
                "name: gate\n",
                "url: ",
                "synthetic:street\n",
                "- ",
                "  ",
                "\n",
                "{",
                "}",
                "[",
                "]",
                ",",
                ":",
                "#",
            ),
            *(
                "'",
                '"',
                "&a ",
                "*a",
                "!!int ",
                "!x ",
                "<<: ",
                "---\n",
                "...\n",
                "%YAML 9\n",
                "? ",
                "|\n",
                ">-\n",
            ),
            *("\t", "9" * 400, "0x", "1e999", ".nan", "~", "é", "\x00", "\x85", "\ufeff", "2001-99-99"),
            *("rules:\n", "source:\n", "lines:\n", "points: ", "fps: ", "\\ud800", '"\\ud800"'),
        ]
    ),
    max_size=14,
).map("".join)


@examples(80)
@given(st.dictionaries(LINE.filter(lambda key: key not in ("", "<<")), YAML_VALUE, min_size=1, max_size=4))
def test_what_is_written_as_yaml_is_read_back(data: dict[str, Any]) -> None:
    assert parse(FILE, dump(data)).data == data


def refused(text: str) -> str | None:
    try:
        parse(FILE, text).check(CameraConfig)
    except ConfigError as error:
        return str(error)
    return None


@examples(250)
@given(YAML_BITS | st.text(max_size=60))
def test_any_text_is_a_configuration_or_refused_in_one_line(text: str) -> None:
    refusal = refused(text)
    assert refusal is None or refusal.startswith(str(FILE))
    assert "\n" not in (refusal or "")


# ---- events

JSON_NUMBER = st.integers(0, 1 << 53) | st.floats(0, 1e6)


OURS = frozenset(msgspec.structs.asdict(EventRecord("", 0, "", "", 0, 0, 0, 0, 0.0, 0, {}, 0, 0.0, 0.0)))


def record_of(draw: st.DrawFn, event_type: str) -> EventRecord:
    camera = draw(st.sampled_from(["gate", "yard-2"]))
    names = draw(st.lists(WORD.filter(lambda word: word and word not in OURS), max_size=3, unique=True))
    data = {name: draw(st.none() | JSON_NUMBER | WORD) for name in names}
    at = draw(st.integers(0, 4 * 10**18))
    place = (camera, draw(st.integers(1, 1 << 50)), event_type, draw(WORD), draw(st.integers(0, 1 << 31)))
    return EventRecord(*place, 7, at // 2, at, draw(st.floats(0, 1e6)), 3, data, at, 1.5, 2.5)


RECORD = st.composite(lambda draw: record_of(draw, draw(st.sampled_from(schemas.names()))))()
ENVELOPE = Draft202012Validator(schemas.envelope())


@examples(200)
@given(RECORD)
def test_an_event_is_a_valid_cloudevent_from_which_its_record_comes_back(record: EventRecord) -> None:
    text = cloudevents.body(record, "node-1", 17)
    assert text == cloudevents.body(record, "node-1", 17)
    ENVELOPE.validate(json.loads(text))
    back = cloudevents.record_of(text)
    mine = {name: value for name, value in record.data.items() if name in back.data}
    assert msgspec.structs.replace(back, data=mine) == msgspec.structs.replace(record, data=mine)


@examples(200)
@given(st.integers(0, 4 * 10**18))
def test_a_moment_comes_back_from_its_text_to_the_nanosecond(at_ns: int) -> None:
    assert cloudevents.parse_rfc3339_ns(cloudevents.rfc3339(at_ns)) == at_ns


# ---- messages

MESSAGE = st.one_of(
    st.builds(FrameRequest, WORD, WHOLE, st.lists(WHOLE, max_size=4).map(tuple)),
    st.builds(messages.SourceState, WORD, st.just("live"), WORD, WHOLE, WHOLE, WHOLE, st.floats(0, 99), WORD),
    st.builds(messages.Batch, WORD, WHOLE, st.lists(RECORD, max_size=2).map(tuple), WHOLE),
    st.builds(messages.Snapshot, WHOLE, WORD, st.binary(max_size=40), WORD),
    st.builds(messages.FrameReady, WORD, WORD, *[WHOLE] * 9, WORD, WHOLE),
)


@examples(200)
@given(MESSAGE)
def test_a_message_comes_back_from_its_bytes(message: messages.Message) -> None:
    assert messages.decode(messages.encode(message)) == message


@examples(300)
@given(st.binary(max_size=60), MESSAGE, st.integers(0, 1 << 20), st.integers(0, 255))
def test_any_bytes_are_a_message_or_refused_with_message_error(
    raw: bytes, message: messages.Message, at: int, byte: int
) -> None:
    damaged = bytearray(messages.encode(message))
    damaged[at % len(damaged)] = byte
    for given_bytes in (raw, bytes(damaged), bytes(damaged[: at % len(damaged)])):
        try:
            messages.decode(given_bytes)
        except MessageError:
            continue


# ---- trajectories

KNOT = st.tuples(st.integers(0, 10**6), st.integers(1, 40), *[st.integers(-20_000, 20_000)] * 4)
CODES = st.tuples(st.integers(0, 200), st.integers(0, 200), st.integers(0, 1))
CLASSES = (("person", "people"), ("car", "vehicles"))


@examples(200)
@given(st.lists(st.tuples(KNOT, CODES), min_size=1, max_size=6), st.integers(1, 20_000), st.integers(0, 64))
def test_a_trajectory_comes_back_exactly_in_its_units(
    rows: list[tuple[tuple[int, ...], tuple[int, ...]]], frame_ticks: int, code: int
) -> None:
    noise = np.array([codes[:2] for _, codes in rows])
    steps = np.diff(noise, axis=0, prepend=0)
    knots = [(*knot, *step.tolist(), codes[2]) for (knot, codes), step in zip(rows, steps, strict=True)]
    samples = sum(knot[1] for knot in knots)
    back = decode(encode(knots, [(samples, code)], CLASSES, frame_ticks / TICKS, 1.5))
    ticks, x1, width, y1, height = np.cumsum([[k[0], *k[2:6]] for k in knots], axis=0).T
    assert np.array_equal(np.round(back.times_s * TICKS), ticks)
    sides = np.column_stack([x1, y1, x1 + width, y1 + height])
    assert np.array_equal(np.round(back.boxes_xyxyn * SCALE), sides)
    assert [[noise_code(n) for n in row] for row in back.noise_xyn] == noise.tolist()
    assert (back.frame_s, back.evidence_before) == (frame_ticks / TICKS, 1.5)
    assert evidence_code(back.evidence[0]) == code
    assert len(back.samples().times_s) == samples


@examples(200)
@given(st.floats(0, 100))
def test_an_evidence_comes_back_within_half_a_step(evidence: float) -> None:
    back = evidence_of(evidence_code(evidence)) * 32 + 1
    assert abs(np.log2(back) - np.log2(evidence * 32 + 1)) <= 0.5 / 4 + 1e-9


@examples(200)
@given(st.lists(WHOLE, max_size=20))
def test_whole_numbers_come_back_from_varints(numbers: list[int]) -> None:
    target = bytearray()
    put(target, numbers)
    assert take(target) == numbers


def packed(raw: bytes) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return packer.compress(raw) + packer.flush()


@st.composite
def stored(draw: st.DrawFn) -> bytes:
    """Nearly a trajectory: its head lies, or its columns do."""
    raw = bytearray()
    small = st.integers(-3, 3)
    version, knots, runs = draw(st.sampled_from([1, 2, 2, 3])), draw(small), draw(small)
    put(raw, (version, draw(st.sampled_from([1, 1, 3, -1, 1 << 40])), knots))
    put(raw, draw(st.lists(WHOLE, min_size=2, max_size=2)) if version == 1 else (draw(WHOLE), 3, runs))
    raw += b"\n"
    cells = max(0, (10 if version == 1 else 9) * knots + (0 if version == 1 else 2 * runs))
    put(raw, draw(st.lists(st.integers(0, 2) | WHOLE, min_size=cells, max_size=cells)))
    return packed(bytes(raw))


@examples(500)
@given(stored() | st.binary(max_size=60) | st.binary(max_size=60).map(packed))
def test_any_bytes_are_a_trajectory_or_refused_with_trajectory_error(raw: bytes) -> None:
    try:
        found = decode(raw)
    except TrajectoryError:
        return
    assert np.isfinite(found.noise_xyn).all()
    assert found.samples_each.sum() == found.run_lengths.sum() <= MAX_SAMPLES


@examples(100)
@given(st.text(max_size=40))
def test_any_text_is_base64_or_refused_with_trajectory_error(text: str) -> None:
    try:
        unpack(text)
    except TrajectoryError:
        return


# ---- checkpoints


@examples(200)
@example(raw=b"\xa3\x00\x00\x80", has_sum=True, at=0, flip=1)  # no text, where a text is stated
@given(st.binary(max_size=80), st.booleans(), st.integers(0, 1 << 16), st.integers(1, 255))
def test_any_bytes_as_a_checkpoint_are_refused_and_end_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, raw: bytes, has_sum: bool, at: int, flip: int
) -> None:
    checkpoints = Checkpoints(tmp_path)
    path = tmp_path / "checkpoint-gate"
    checkpoints.write("gate", {"tracks": [1.5, 2.5], "epoch": 3})
    damaged = bytearray(path.read_bytes())
    damaged[at % len(damaged)] ^= flip
    with caplog.at_level(logging.CRITICAL):
        path.write_bytes(damaged)
        assert checkpoints.read("gate") is None
        path.write_bytes(zlib.crc32(raw).to_bytes(4, "little") + raw if has_sum else raw)
        assert checkpoints.read("gate") is None
