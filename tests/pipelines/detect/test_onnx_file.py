"""What is read of an ONNX file without any engine, and what becomes of damaged ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipelines.detect.errors import ModelRefused
from pipelines.detect.onnx_file import read_onnx
from tests.pipelines.detect import tiny_models as tiny


def test_metadata_and_operators_are_read(tmp_path: Path) -> None:
    file = read_onnx(tiny.yolov8(tmp_path / "m.onnx", [], metadata={"license": "AGPL-3.0", "names": "{}"}))
    assert file.metadata == {"license": "AGPL-3.0", "names": "{}"}
    assert file.operators == {"ReduceMean", "Squeeze", "Div", "Mul", "Add"}
    assert not file.dynamic_int8


@pytest.mark.parametrize(
    "content", [b"", b"names: [person]\n", b"\x00" * 100, b"\xff" * 100, b"\x80PK\x03\x04"]
)
def test_what_is_no_model_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(content)
    with pytest.raises(ModelRefused, match=r"m\.onnx"):
        read_onnx(path)


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "none.onnx", tmp_path):
        with pytest.raises(ModelRefused, match="give the path"):
            read_onnx(path)


def test_a_model_cut_anywhere_is_refused(tmp_path: Path) -> None:
    whole = tiny.yolov8(tmp_path / "m.onnx", [], classes=1).read_bytes()
    at_field_ends = 0
    for size in range(len(whole)):
        (tmp_path / "cut.onnx").write_bytes(whole[:size])
        try:
            read_onnx(tmp_path / "cut.onnx")
        except ModelRefused:
            continue
        at_field_ends += 1  # what is left is a whole message: an engine judges it
    assert at_field_ends <= 3
