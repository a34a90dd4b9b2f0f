"""What tells a model's head: shapes, names and kinds of its outputs, and what its exporter wrote of it."""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Shape = tuple[int | None, ...]  # None: free
STRIDES = (8, 16, 32)  # pixels of the input between two cells, per level
# As published: the usual three; P2 with a finer level, P6 with a coarser, both; and the tiny ones with two.
LEVELS = (STRIDES, (4, 8, 16, 32), (8, 16, 32, 64), (4, 8, 16, 32, 64), (16, 32))


@dataclass(frozen=True, slots=True)
class Signature:
    """A model from outside: input size in pixels, output shapes in the model's order, and its own words.

    `classes` and `joints`: how many the sidecar or the metadata names; 0: they name none. `names` are those
    of the outputs, `integers` says which of them hold whole numbers; empty where nobody looked.
    """

    width: int
    height: int
    outputs: tuple[Shape, ...]
    metadata: Mapping[str, str] = field(default_factory=dict)
    operators: frozenset[str] = frozenset()
    classes: int = 0
    joints: int = 0
    names: tuple[str, ...] = ()
    integers: tuple[bool, ...] = ()

    def cells(self, strides: Sequence[int] = STRIDES) -> int:
        """How many cells the grids of `strides` have together."""
        return sum(grid(self.width, s) * grid(self.height, s) for s in strides)

    def levels(self, cells: int | None) -> tuple[int, ...] | None:
        """The strides of published nets whose grids have so many cells together; None where none has."""
        return next((strides for strides in LEVELS if cells == self.cells(strides)), None)

    @property
    def task(self) -> str:
        """What Ultralytics says the model does: detect, segment, pose, obb; empty where it says nothing."""
        return self.metadata.get("task", "")

    @property
    def end_to_end(self) -> bool:
        """Whether Ultralytics says that the graph gives the final boxes: by its head, or by nms=True."""
        told = self.metadata.get("end2end", "").lower() == "true"
        args = literal(self.metadata, "args")
        return told or (isinstance(args, dict) and args.get("nms") is True)

    def says(self, word: str) -> bool:
        """Whether its exporter's description holds `word`, in small letters and without hyphens."""
        return word in self.metadata.get("description", "").lower().replace("-", "")

    @property
    def prototypes(self) -> tuple[int, int] | None:
        """Position and number of the prototypes (B, number, h, w) of masks among the outputs."""
        found = [i for i, shape in enumerate(self.outputs) if len(shape) == 4]
        count = self.outputs[found[0]][1] if len(found) == 1 else None
        return None if count is None else (found[0], count)

    def table(self) -> tuple[int, int, int] | None:
        """Position, rows and columns of the one output [B, rows, columns] there is; None where there is none,
        several, or one of free size."""
        tables = [(i, *shape[1:]) for i, shape in enumerate(self.outputs) if len(shape) == 3]
        if len(tables) != 1 or None in tables[0]:
            return None
        position, rows, columns = tables[0]
        assert rows is not None
        assert columns is not None
        return position, rows, columns

    def __str__(self) -> str:
        return f"input {self.width}x{self.height}, outputs {', '.join(map(shown, self.outputs))}"


def shown(shape: Shape) -> str:
    """As [1,84,8400], with ? for what is free."""
    return "[" + ",".join("?" if n is None else str(n) for n in shape) + "]"


def literal(metadata: Mapping[str, str], key: str) -> Any:
    """What an exporter wrote as a literal of Python; None where there is none to be read."""
    try:
        return ast.literal_eval(metadata.get(key, ""))
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return None


def grid(size: int, stride: int) -> int:
    """How many cells of `stride` lie along a side of `size` pixels."""
    return -(-size // stride)
