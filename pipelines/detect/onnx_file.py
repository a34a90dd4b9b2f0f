"""Reads of an ONNX file what no engine tells alike: its metadata, the kinds of its operators, and which
tensors branch; and adds outputs to one.

ONNX is protobuf (onnx.proto3): ModelProto has graph = 7 and metadata_props = 14; GraphProto has node = 1 and
output = 12; NodeProto has input = 1, output = 2 and op_type = 4. Fields are walked by the wire format alone;
weights are skipped, not read.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipelines.detect.errors import ModelRefused

Buffer = memoryview
_GRAPH, _METADATA = 7, 14
_NODE, _OUTPUT = 1, 12  # of a graph
_READS, _WRITES, _OP_TYPE = 1, 2, 4  # of a node
_NAME = 1  # of an output
_MAX_BYTES = 1 << 31  # what protobuf allows
_QUANTISED = frozenset({"DynamicQuantizeLinear", "ConvInteger", "MatMulInteger"})


@dataclass(frozen=True, slots=True)
class OnnxFile:
    """`metadata` as the exporter wrote it; `operators` are the kinds of the graph's nodes."""

    metadata: dict[str, str]
    operators: frozenset[str]

    @property
    def dynamic_int8(self) -> bool:
        """Whether the file holds dynamically quantised convolutions, which CPUs run slowly."""
        return bool(self.operators & _QUANTISED)


def read_onnx(path: Path) -> OnnxFile:
    """Raise ModelRefused if `path` is missing, empty, unreadable or no ONNX file."""
    try:
        size = path.stat().st_size
        if not 0 < size < _MAX_BYTES:
            raise ModelRefused(f"{path}: a model has 1 byte to 2 GiB, this file {size}: copy the model again")
        return _read_model(memoryview(path.read_bytes()))
    except OSError as error:
        raise ModelRefused(f"{path}: {error.strerror or error}: give the path of an .onnx file") from error
    except _Damaged as error:
        raise ModelRefused(
            f"{path}: not an ONNX model, or damaged ({error}): copy or export it again"
        ) from error


def branching_tensors(model: bytes) -> list[str]:
    """The tensors that at least two convolutions read, in the graph's order. Raises ModelRefused."""
    readers: Counter[str] = Counter()
    written: list[str] = []
    try:
        for number, graph in _fields(memoryview(model)):
            for inner, node in _fields(_bytes(graph)) if number == _GRAPH else ():
                if inner != _NODE:
                    continue
                fields = _texts(_bytes(node))
                written += [text for n, text in fields if n == _WRITES]
                if (_OP_TYPE, "Conv") in fields:
                    readers[next(text for n, text in fields if n == _READS)] += 1
    except (_Damaged, StopIteration) as error:
        raise ModelRefused(f"not an ONNX model, or damaged ({error}): copy or export it again") from error
    return [name for name in written if readers[name] > 1]


def _texts(node: Buffer) -> list[tuple[int, str]]:
    """Field numbers and texts of a node's inputs, outputs, name and kind."""
    return [(n, str(_bytes(v), "utf-8", "replace")) for n, v in _fields(node) if n <= _OP_TYPE]


def with_outputs(model: bytes, names: Sequence[str]) -> bytes:
    """An ONNX file that gives these inner tensors as further outputs, after its own.

    Protobuf merges a message that stands in a file twice and appends its repeated fields: a second graph that
    holds nothing but outputs with a name is all it takes.
    """
    outputs = b"".join(field(_OUTPUT, field(_NAME, name.encode())) for name in names)
    return model + field(_GRAPH, outputs)


def field(number: int, payload: bytes) -> bytes:
    """A protobuf field of bytes, for the end of a message."""
    return _written(number << 3 | 2) + _written(len(payload)) + payload


def _written(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


class _Damaged(ValueError):
    pass


def _read_model(view: Buffer) -> OnnxFile:
    metadata: dict[str, str] = {}
    operators: set[str] = set()
    graphs = 0
    for number, value in _fields(view):
        if number == _GRAPH:
            graphs += 1
            operators.update(_operators(_bytes(value)))
        elif number == _METADATA:
            pair = {n: str(_bytes(v), "utf-8", "replace") for n, v in _fields(_bytes(value)) if n in (1, 2)}
            metadata[pair.get(1, "")] = pair.get(2, "")
    if graphs != 1 or not operators:
        raise _Damaged("it holds no graph")
    return OnnxFile(metadata, frozenset(operators))


def _operators(graph: Buffer) -> Iterator[str]:
    for number, node in _fields(graph):
        if number == _NODE:
            for inner, value in _fields(_bytes(node)):
                if inner == _OP_TYPE:
                    yield str(_bytes(value), "utf-8", "replace")


def _bytes(value: Buffer | int) -> Buffer:
    if isinstance(value, int):
        raise _Damaged("a number stands where a message should")
    return value


def _fields(view: Buffer) -> Iterator[tuple[int, Buffer | int]]:
    """(field number, payload) of a protobuf message; payloads of length 4 and 8 come as bytes too."""
    at, end = 0, len(view)
    while at < end:
        key, at = _varint(view, at)
        kind = key & 7
        if kind == 0:
            value, at = _varint(view, at)
            yield key >> 3, value
            continue
        if kind == 2:
            size, at = _varint(view, at)
        elif kind in (1, 5):
            size = 8 if kind == 1 else 4
        else:
            raise _Damaged(f"unknown field type {kind}")
        if at + size > end:
            raise _Damaged("it ends too early")
        yield key >> 3, view[at : at + size]
        at += size


def _varint(view: Buffer, at: int) -> tuple[int, int]:
    value = shift = 0
    while shift < 64:
        if at >= len(view):
            raise _Damaged("it ends too early")
        byte = view[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at
    raise _Damaged("a number has no end")
