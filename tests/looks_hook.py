"""Writes down all looks that a daemon's processes make for journeys, and finds them where they should not be.

Each look of a box, sum and mean of a person, and how that differs from what is usual is appended to a file as
it is made. `find_looks` searches bytes for three of its numbers in a row: as floats of any width, as msgpack
and pickle write them, and as text.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from pipelines.journeys.clothes import LENGTH

_HOOK = """
import functools, importlib.abc, importlib.machinery, sys

def keep(numbers):
    import numpy as np
    rows = np.atleast_2d(np.asarray(numbers, np.float64))
    with open({path!r}, "ab", buffering=0) as file:
        file.write(rows[rows.any(axis=1)].tobytes())

def kept(function, numbers):
    @functools.wraps(function)
    def wrapped(*args):
        made = function(*args)
        keep(numbers(args, made))
        return made
    return wrapped

def clothes(module):
    module.clothes = kept(module.clothes, lambda args, made: made)

def person(module):
    module.Person.see = kept(module.Person.see, lambda args, made: args[0].total)
    module.Person.mean = kept(module.Person.mean, lambda args, made: made)

def usual_looks(module):
    wanted = module.UsualLooks.unusual
    module.UsualLooks.unusual = kept(wanted, lambda args, made: [] if made is None else made.away)

HOOKS = {{"pipelines.journeys." + hook.__name__: hook for hook in (clothes, person, usual_looks)}}

class Finder(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name not in HOOKS:
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        run = spec.loader.exec_module
        def exec_module(module):
            run(module)
            HOOKS[name](module)
        spec.loader.exec_module = exec_module
        return spec

sys.meta_path.insert(0, Finder())
"""

Rows = npt.NDArray[np.float64]
AT = (0, 3, 9)  # where in a look three numbers are taken: a look in any form has all of them
DIGITS = 3
MAX_HALF = 65504.0  # of a float of two bytes
_NUMBER = re.compile(rb"-?\d+(?:\.\d+(?:[eE][-+]?\d+)?|[eE][-+]?\d+)")
PACKED = ("<3f", ">3f", "<3d", ">3d", "<4e")
FRAMED = {"msgpack": (b"\xcb", ">d"), "msgpack of 4 bytes": (b"\xca", ">f"), "pickle": (b"G", ">d")}


class LooksHook:
    """`env` is for the daemon's start; Python runs the hook before anything else (site, sitecustomize)."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self._path = folder / "looks"
        self._path.touch()
        (folder / "sitecustomize.py").write_text(_HOOK.format(path=str(self._path)))
        self.env = {"PYTHONPATH": str(folder)}

    def looks(self) -> Rows:
        """(N, LENGTH) all that were made so far, each once."""
        whole = self._path.read_bytes()
        numbers = np.frombuffer(whole[: len(whole) // (8 * LENGTH) * 8 * LENGTH], np.float64)
        return np.unique(numbers.reshape(-1, LENGTH), axis=0)


def forms(look: Rows) -> Iterator[tuple[str, bytes]]:
    """Three numbers of one look (LENGTH,), at each of AT, as programs write them; four of two bytes."""
    for at in AT:
        three = look[at : at + 3].tolist()
        for layout in PACKED:
            wanted = look[at : at + int(layout[1])].clip(-MAX_HALF, MAX_HALF).tolist()
            yield layout, struct.pack(layout, *wanted)
        for name, (mark, layout) in FRAMED.items():
            yield name, b"".join(mark + struct.pack(layout, number) for number in three)


def find_looks(places: Mapping[str, bytes], looks: Rows) -> list[str]:
    """Where looks (N, LENGTH) are found, and in which form."""
    wanted = {form: name for look in looks for name, form in forms(look)}
    texts = {_rounded(look[at : at + 3]) for look in looks for at in AT}
    found = []
    for place, held in places.items():
        found += sorted({f"{place}: {name}" for name in _binary(held, wanted)})
        found += [f"{place}: text"] * _as_text(held, texts)
    return found


def _binary(held: bytes, wanted: Mapping[bytes, str]) -> Iterator[str]:
    """The forms that lie in it; by their first 8 bytes first, since they are thousands."""
    starts = np.array([int.from_bytes(form[:8], "little") for form in wanted], np.uint64)
    sizes = {len(form) for form in wanted}
    for shift in range(8):
        words = np.frombuffer(held[shift : shift + (len(held) - shift) // 8 * 8], np.uint64)
        for word in np.flatnonzero(np.isin(words, starts)).tolist():
            begin = shift + 8 * word
            yield from (wanted[part] for n in sizes if (part := held[begin : begin + n]) in wanted)


def _as_text(held: bytes, texts: set[tuple[float, ...]]) -> bool:
    numbers = [float(number) for number in _NUMBER.findall(held)]
    return any(_rounded(numbers[i : i + 3]) in texts for i in range(len(numbers) - 2))


def _rounded(numbers: Rows | list[float]) -> tuple[float, ...]:
    return tuple(round(float(number), DIGITS) for number in numbers)
