"""Both engines on small models with known answers: right boxes, overlap, batches, refusals."""

from __future__ import annotations

import gc
import subprocess
import sys
import threading
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import helper

from pipelines.detect.card import ModelCard, read_card
from pipelines.detect.errors import InferenceRejected, ModelRefused
from pipelines.detect.openvino import MAX_GRAPHS
from pipelines.registry import PACKAGED_MODEL, create_detector
from pipelines.values import Detections, Frame, Stamp
from tests.patience import patient
from tests.pipelines.detect import tiny_models as tiny

ENGINES = ["openvino", "onnx"]
CAR, TRUCK, PERSON = 2, 7, 0
F32 = ModelCard(precision="f32")

both = pytest.mark.parametrize("engine", ENGINES)


def frame(value: int = 255, width: int = 64, height: int = 64, camera: str = "door") -> Frame:
    return Frame(Stamp(camera, 1, 0, 0, 0, 0), np.full((height, width, 3), value, np.uint8))


def detect(detector, frames: list[Frame]) -> list[Detections]:  # type: ignore[no-untyped-def]
    return detector.collect(detector.submit(frames))  # type: ignore[no-any-return]


@both
def test_boxes_are_normalised_to_the_picture_and_not_to_the_canvas(engine: str, tmp_path: Path) -> None:
    model = tiny.yolov8(tmp_path / "m.onnx", [(32, 32, 16, 8, PERSON, 0.9)])
    found = detect(create_detector(engine, model, sidecar=F32), [frame(width=128, height=64)])[0]
    # The picture is 64x32 at row 16 of the canvas.
    assert np.allclose(found.boxes_xyxyn, [[24 / 64, 12 / 32, 40 / 64, 20 / 32]], atol=1e-3)
    assert found.class_ids.tolist() == [PERSON]
    assert 0.4 < found.scores[0] < 0.9  # the grey border dims the mean that the score follows


@both
def test_a_box_in_the_border_alone_is_no_detection(engine: str, tmp_path: Path) -> None:
    model = tiny.yolov8(tmp_path / "m.onnx", [(32, 4, 16, 6, PERSON, 0.9)])
    assert len(detect(create_detector(engine, model), [frame(width=128, height=64)])[0]) == 0


@both
def test_a_van_seen_as_car_and_truck_is_found_once(engine: str, tmp_path: Path) -> None:
    model = tiny.yolov8(
        tmp_path / "m.onnx",
        [(32, 32, 20, 20, CAR, 0.5), (33, 32, 20, 20, TRUCK, 0.6), (32, 32, 20, 20, PERSON, 0.4)],
    )
    found = detect(create_detector(engine, model), [frame()])[0]
    assert found.class_ids.tolist() == [TRUCK, PERSON]


@both
def test_the_score_of_the_call_goes_before_that_of_the_card(engine: str, tmp_path: Path) -> None:
    model = tiny.yolov8(tmp_path / "m.onnx", [(10, 10, 8, 8, 0, 0.9), (40, 40, 8, 8, 0, 0.4)])
    card = ModelCard(score=0.5)
    assert len(detect(create_detector(engine, model, sidecar=card), [frame()])[0]) == 1
    assert len(detect(create_detector(engine, model, sidecar=card, score=0.3), [frame()])[0]) == 2


@both
@pytest.mark.parametrize(
    ("asked", "seen", "sure"),
    [(None, 2, 0.6), (0.8, 2, 0.8), (0.2, 3, 0.0)],  # asked for less than the low score: none is low
)
def test_boxes_from_the_low_score_on_are_given_as_low(
    engine: str, asked: float | None, seen: int, sure: float, tmp_path: Path
) -> None:
    boxes = [(10, 10, 8, 8, 0, 0.9), (40, 40, 8, 8, 0, 0.5), (10, 40, 8, 8, 0, 0.25)]
    model = tiny.yolov8(tmp_path / "m.onnx", boxes)
    card = ModelCard(score=0.6, low_score=0.4)
    found = detect(create_detector(engine, model, sidecar=card, score=asked), [frame()])[0]
    assert (len(found), found.high_threshold) == (seen, sure)
    assert found.take(found.scores > 0.7).high_threshold == sure


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("score: 0.4\nlow_score: 0.5", "low_score 0.5 must not be above score, which is 0.4"),
        ("low_score: 0.5", "low_score 0.5 must not be above score, which is 0.25 where it is not given"),
        ("classes: {a: ''}", "classes: a class or group has an empty name"),
        ("score: 2", "score: Input should be less than 1"),
    ],
)
def test_a_card_that_is_wrong_says_key_and_values(text: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "m.yaml").write_text(text)
    with pytest.raises(ModelRefused) as refused:
        read_card(tmp_path / "m.yaml")
    assert str(refused.value) == f"{tmp_path / 'm.yaml'}: {said}"


@both
def test_frame_memory_may_be_reused_as_soon_as_submit_returns(engine: str, tmp_path: Path) -> None:
    detector = create_detector(engine, tiny.yolov8(tmp_path / "m.onnx", [(10, 10, 8, 8, 0, 0.9)]))
    shared = frame(255)
    tickets = []
    for value in (255, 0, 255):
        shared.image[:] = value
        tickets.append(detector.submit([shared]))
    shared.image[:] = 0
    assert [len(detector.collect(ticket)[0]) for ticket in reversed(tickets)] == [1, 0, 1]


@pytest.mark.parametrize("engine", [*ENGINES, "motion"])
def test_every_submit_notifies_once(engine: str, tmp_path: Path) -> None:
    model = None if engine == "motion" else tiny.yolov8(tmp_path / "m.onnx", [])
    detector = create_detector(engine, model)
    rung: list[int] = []
    tickets = [detector.submit([frame()], lambda i=i: rung.append(i)) for i in range(2)]  # type: ignore[misc]
    tickets.append(detector.submit([frame()]))  # without
    for ticket in tickets:
        detector.collect(ticket)
    detect(detector, [frame()])
    assert sorted(rung) == [0, 1]


def test_a_detector_that_is_let_go_frees_its_memory(tmp_path: Path) -> None:
    detector = create_detector("openvino", tiny.yolov8(tmp_path / "m.onnx", []))
    detect(detector, [frame()])
    gone = weakref.ref(detector._graphs[(64, 64)].free[0])  # type: ignore[attr-defined]
    del detector
    gc.collect()
    assert gone() is None


def test_one_whose_caller_keeps_the_ticket_where_it_is_notified_is_let_go_too(tmp_path: Path) -> None:
    """Memory and threads of every model that was replaced stayed for ever."""

    def use() -> weakref.ref[Any]:
        detector = create_detector("openvino", tiny.yolov8(tmp_path / "m.onnx", []))
        kept: dict[str, Any] = {}
        kept["ticket"] = detector.submit([frame()], lambda: kept.update(rung=True))
        detector.collect(kept["ticket"])
        assert kept["rung"]
        return weakref.ref(detector._graphs[(64, 64)])  # type: ignore[attr-defined]

    gone = use()
    gc.collect()
    assert gone() is None


def test_a_model_that_is_loaded_again_comes_from_the_cache(tmp_path: Path) -> None:
    """Each load was another graph to the cache, since nodes are named by a counter of the process."""
    for seed in (1, 1, 2, 1):
        model = tiny.yolov8_with_decoder(tmp_path / f"{seed}.onnx", seed)
        create_detector("openvino", model, cache_dir=tmp_path / "cache")
    assert len(list((tmp_path / "cache").glob("*.blob"))) == 2


@pytest.mark.parametrize("how", ["collected", "in mid-run", "at exit"])
def test_a_detector_can_go_at_any_moment_and_nothing_hangs(how: str, tmp_path: Path) -> None:
    """OpenVINO's thread and the one that lets go could each wait for the other: 5 of 5 runs hung."""
    model = tiny.yolov8(tmp_path / "m.onnx", [])
    script = f"""
from pathlib import Path
from tests.pipelines.detect.test_detectors import create_detector, frame
for i in range(15):
    detector = create_detector("openvino", Path({str(model)!r}))
    ticket = detector.submit([frame()], lambda: None)
    if {how!r} == "collected":
        detector.collect(ticket)
    if {how!r} != "at exit":
        del detector, ticket
print("gone")
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=patient(60))
    assert done.stdout == "gone\n", done.stderr
    assert done.returncode == 0


@both
def test_more_than_depth_open_tickets_are_refused_and_a_spent_one_too(engine: str, tmp_path: Path) -> None:
    detector = create_detector(engine, tiny.yolov8(tmp_path / "m.onnx", []))
    tickets = [detector.submit([frame()]) for _ in range(detector.depth)]
    with pytest.raises(RuntimeError, match="collect one first"):
        detector.submit([frame()])
    for ticket in tickets:
        detector.collect(ticket)
    with pytest.raises(ValueError, match="spent"):
        detector.collect(tickets[0])
    assert detect(detector, [frame()])[0].scores.tolist() == []


@both
def test_a_static_graph_takes_one_frame_and_a_free_batch_many(engine: str, tmp_path: Path) -> None:
    boxes = [(10.0, 10.0, 8.0, 8.0, 0, 0.9)]
    one = create_detector(engine, tiny.yolov8(tmp_path / "one.onnx", boxes))
    assert one.max_batch == 1
    with pytest.raises(ValueError, match="2 frames, where one submit takes 1"):
        one.submit([frame(), frame()])
    many = create_detector(engine, tiny.yolov8(tmp_path / "many.onnx", boxes, batch="batch"))
    assert many.max_batch > 1
    for values in ([255, 0, 255], [0, 255], [255]):
        found = detect(many, [frame(v, width=64 + 8 * i) for i, v in enumerate(values)])
        assert [len(d) for d in found] == [v // 255 for v in values]


@both
@pytest.mark.parametrize(
    ("row", "value", "why"),
    [(0, np.nan, "infinite"), (0, np.inf, "infinite"), (0, 1e6, "far outside"), (2, -20.0, "negative size")],
)
def test_an_absurd_box_refuses_its_frame_and_the_next_is_taken(
    engine: str, row: int, value: float, why: str, tmp_path: Path
) -> None:
    answer = np.zeros((84, tiny.CELLS), np.float32)
    answer[:5, 3] = [32, 32, 16, 16, 0.9]
    answer[row, 3] = value
    detector = create_detector(
        engine, tiny.table(tmp_path / "m.onnx", answer, lit_rows=slice(4, None), batch="n"), sidecar=F32
    )
    with pytest.raises(InferenceRejected, match=why) as refusal:
        detect(detector, [frame(0), frame(255)])
    assert list(refusal.value.reasons) == [1]
    dark, bad = refusal.value.detections
    assert dark is not None
    assert len(dark) == 0
    assert bad is None
    assert len(detect(detector, [frame(0)])[0]) == 0


def test_more_boxes_than_a_picture_can_hold_refuse_the_frame() -> None:
    from pipelines.detect.card import ScoreLimits
    from pipelines.detect.heads.yolov8 import YoloV8
    from pipelines.detect.labels import labels_of
    from pipelines.detect.letterbox import Letterbox, Pixels
    from pipelines.detect.model import Postprocessor

    postprocessor = Postprocessor(
        YoloV8(1), labels_of(["person"]), (2048, 2048), ScoreLimits(0.25, 0.25), 0.5
    )
    place = Letterbox(np.zeros((64, 64, 3), np.uint8), Pixels(rgb=True)).put(np.zeros((64, 64, 3), np.uint8))
    with pytest.raises(InferenceRejected, match="1000000 boxes"):
        postprocessor.run([[np.full((5, 1_000_000), 0.9, np.float32)]], [place])


@both
def test_names_come_from_card_then_metadata_then_coco(engine: str, tmp_path: Path) -> None:
    names = {"names": "{0: 'van', 1: 'dog'}"}
    model = tiny.yolov8(tmp_path / "m.onnx", [], classes=2, metadata=names)
    assert create_detector(engine, model).labels.groups == ("vehicle", "dog")
    card = ModelCard(classes={"hat": "worn", "shoe": "worn"})
    assert create_detector(engine, model, sidecar=card).labels.groups == ("worn", "worn")
    coco = create_detector(engine, tiny.yolov8(tmp_path / "c.onnx", [])).labels
    assert {name: group for name, group in zip(coco.names, coco.groups, strict=True) if name != group} == {
        "car": "vehicle",
        "bus": "vehicle",
        "truck": "vehicle",
        "motorcycle": "vehicle",
    }


@both
def test_what_cannot_be_used_is_refused_in_one_line(engine: str, tmp_path: Path) -> None:
    short = tiny.yolov8(tmp_path / "short.onnx", [], classes=3)
    odd = tiny.table(tmp_path / "odd.onnx", np.zeros((7, 9), np.float32))
    hot = tiny.table(tmp_path / "hot.onnx", np.full((7, tiny.CELLS), 50.0, np.float32))
    text = tmp_path / "text.onnx"
    text.write_text("not a model\n" * 50)
    cut = tmp_path / "cut.onnx"
    cut.write_bytes(short.read_bytes()[:-200])
    for path, card, why in [
        (short, None, "3 classes, but COCO names 80"),
        (short, ModelCard(classes={"a": "a"}), "its sidecar names 1"),
        (short, ModelCard(head="nanodet"), r"'nanodet' does not fit .*\[1,7,84\]"),
        (short, ModelCard(sha256="0" * 64), "changed since it was added"),
        (odd, None, r"unknown head .*\[1,7,9\]"),
        (hot, ModelCard(classes={"a": "a", "b": "b", "c": "c"}), "wrong head"),
        (text, None, "not an ONNX model"),
        (cut, None, r"cut\.onnx"),
        (tmp_path / "none.onnx", None, "No such file"),
    ]:
        with pytest.raises(ModelRefused, match=why) as refusal:
            create_detector(engine, path, sidecar=card)
        assert "\n" not in str(refusal.value)


@both
def test_yolox_and_nanodet_run_in_both_engines(engine: str, tmp_path: Path) -> None:
    raw = tiny.yolox(tmp_path / "x.onnx", {64 + 6: (0.5, 0.25, np.log(2.0), 0.0, 1, 0.9)})
    found = detect(create_detector(engine, raw, sidecar=F32), [frame(255)])[0]
    assert np.allclose(found.boxes_xyxyn * 64, [[24, 12, 56, 28]], atol=0.1)
    found = detect(create_detector(engine, tiny.nanodet(tmp_path / "n.onnx"), sidecar=F32), [frame()])[0]
    assert np.allclose(found.boxes_xyxyn * 64, [[0, 0, 28, 28]], atol=0.1)  # centre (12, 12), clipped
    assert found.class_ids.tolist() == [2]


def test_openvino_without_the_graphs_own_decoder_finds_what_onnx_runtime_finds_with_it(
    tmp_path: Path,
) -> None:
    model = tiny.yolov8_with_decoder(tmp_path / "m.onnx")
    openvino, onnx = (create_detector(engine, model, sidecar=F32) for engine in ENGINES)
    assert openvino._graphs[(64, 64)].head.__class__.__name__ == "YoloV8Cut"  # type: ignore[attr-defined]
    for value in (40, 150, 255):
        one, other = (detect(d, [frame(value, 100, 80)])[0] for d in (openvino, onnx))
        assert len(one) > 3
        assert one.class_ids.tolist() == other.class_ids.tolist()
        assert np.allclose(one.boxes_xyxyn, other.boxes_xyxyn, atol=2e-3)
        assert np.allclose(one.scores, other.scores, atol=2e-3)


def test_a_graph_of_fixed_inner_shapes_asked_for_the_pictures_shape_runs_as_a_square(tmp_path: Path) -> None:
    model = tiny.yolov8(tmp_path / "m.onnx", [(32, 32, 16, 8, PERSON, 0.9)])
    card = ModelCard(input_shape="picture", precision="f32")
    detector = create_detector("openvino", model, sidecar=card)
    for _ in range(2):
        found = detect(detector, [frame(width=128, height=64)])[0]
        assert np.allclose(found.boxes_xyxyn, [[24 / 64, 12 / 32, 40 / 64, 20 / 32]], atol=1e-3)
    assert detector.describe()["compiled"] == [[64, 64]]


def free_model(path: Path) -> Path:
    """A YOLOv8 shape of any batch and size: the same person in each cell of stride 8 to 32, the surer
    the brighter the cell."""
    nodes, levels = [], []
    constants = {"rows": np.array([0, 5, -1], np.int64)}
    for stride in (8, 16, 32):
        weights = np.zeros((5, 3, stride, stride), np.float32)
        weights[4] = 1 / (3 * stride**2)
        constants |= {f"w{stride}": weights, f"b{stride}": np.array([16, 40, 8, 16, 0], np.float32)}
        inputs = ["images", f"w{stride}", f"b{stride}"]
        nodes.append(helper.make_node("Conv", inputs, [f"map{stride}"], strides=[stride, stride]))
        nodes.append(helper.make_node("Reshape", [f"map{stride}", "rows"], [f"flat{stride}"]))
        levels.append(f"flat{stride}")
    nodes.append(helper.make_node("Concat", levels, ["output0"], axis=2))
    names = {"names": "{0: 'person'}"}
    outputs = {"output0": ["batch", 5, "cells"]}
    return tiny.save(path, nodes, constants, outputs, batch="batch", size=("h", "w"), metadata=names)


def test_a_batch_of_several_shapes_is_found_in_as_each_picture_alone(tmp_path: Path) -> None:
    card = ModelCard(input_shape="picture", input_size=(128, 128), precision="f32")
    detector = create_detector("openvino", free_model(tmp_path / "m.onnx"), threads=1, sidecar=card)
    frames = [frame(255, 128, 72), frame(200, 128, 96), frame(150, 128, 72), frame(100, 72, 128)]
    alone = [detect(detector, [each])[0] for each in frames]
    assert detector.describe()["compiled"] == [[128, 96], [96, 128]]
    calls = threading.Semaphore(0)
    together = detector.collect(detector.submit(frames, calls.release))
    for one, other in zip(alone, together, strict=True):
        assert len(one) == 1
        assert np.allclose(one.boxes_xyxyn, other.boxes_xyxyn, atol=1e-3)
        assert np.allclose(one.scores, other.scores, atol=1e-3)
    assert len({round(float(each.scores[0]), 2) for each in together}) == 4  # none has another's answer
    detect(detector, frames)  # the requests are free again
    assert calls.acquire(timeout=patient(5))
    assert not calls.acquire(blocking=False)  # once for the batch, not once for each of its shapes


def test_further_shapes_than_are_kept_go_through_the_square() -> None:
    card = read_card(PACKAGED_MODEL.with_suffix(".yaml"))
    detector = create_detector("openvino", PACKAGED_MODEL, threads=1, sidecar=card)
    assert detector.is_prepared(640, 360)  # type: ignore[attr-defined]
    assert not detector.is_prepared(640, 640)  # type: ignore[attr-defined]
    for height in range(64, 64 * (MAX_GRAPHS + 3), 64):
        detector.prepare(640, height)  # type: ignore[attr-defined]
    compiled = detector.describe()["compiled"]
    assert len(compiled) <= MAX_GRAPHS + 1
    assert [416, 416] in compiled
    assert len(detect(detector, [frame(114, 640, 600)])) == 1
    assert detector.describe()["compiled"] == compiled


def test_a_second_start_uses_the_model_cache(tmp_path: Path) -> None:
    model = tiny.yolov8(tmp_path / "m.onnx", [(10, 10, 8, 8, 0, 0.9)])
    for _ in range(2):
        detector = create_detector("openvino", model, cache_dir=tmp_path / "cache")
        assert len(detect(detector, [frame()])[0]) == 1
    assert list((tmp_path / "cache").glob("*.blob"))


def test_describe_is_plain_json(tmp_path: Path) -> None:
    import json

    model = tiny.yolov8(tmp_path / "m.onnx", [], metadata={"license": "AGPL-3.0"})
    for engine in ENGINES:
        told = json.loads(json.dumps(create_detector(engine, model).describe()))
        assert (told["engine"], told["head"], told["input"]) == (engine, "yolov8", [64, 64])
        assert told["licence"] == "AGPL-3.0"


def test_nothing_is_imported_before_it_is_asked_for_and_openvino_reports_to_nobody() -> None:
    script = """
import sys
import pipelines.registry as registry
heavy = {"openvino", "onnxruntime", "torch"}
assert not heavy & set(sys.modules), heavy & set(sys.modules)
registry.create_detector("motion")
assert not heavy & set(sys.modules), heavy & set(sys.modules)
import pipelines.detect.openvino
assert not [name for name in sys.modules if name.startswith("openvino_telemetry")]
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_an_unknown_engine_and_a_missing_model_are_refused() -> None:
    with pytest.raises(
        ModelRefused, match="unknown engine 'tpu': use one of auto, openvino, onnx, torch, motion"
    ):
        create_detector("tpu")
    with pytest.raises(ModelRefused, match="needs a model"):
        create_detector("onnx")
    assert create_detector("auto").describe()["engine"] == "motion"


@pytest.mark.parametrize(
    ("engine", "file", "advice"),
    [
        ("torch", "m.onnx", "take openvino, onnx"),
        ("onnx", "m.pt", "model export"),
        ("openvino", "m.PT", "torch"),
    ],
)
def test_an_engine_that_is_given_the_other_kind_of_file_says_which_one_runs_it(
    engine: str, file: str, advice: str, tmp_path: Path
) -> None:
    (tmp_path / file).write_bytes(b"whatever")
    with pytest.raises(ModelRefused, match=advice):
        create_detector(engine, tmp_path / file)
