"""What a model's class is called, whatever its spelling: the one place that says which names mean the same.

Models call one thing `person`, `Pedestrian` or `human`, another `motorcycle`, `motor-bike` or `Motorbike`.
Rules, groups, suppression and truth are matched by these functions; events keep the model's own name.

Left out because they are not clear: `bike` (a bicycle in most sets, a motorcycle in some), and `rider` and
`cyclist` (in some sets the person alone, in others with the cycle, and no pedestrian): they are classes of
their own unless a sidecar gives them a group.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache

# The name that all of a row mean. `_` and `-` are blanks here, and capitals are small.
SYNONYMS = {
    "person": ("persons", "people", "pedestrian", "pedestrians", "human", "humans", "human being"),
    "bicycle": ("bicycles", "cycle", "cycles", "pedal cycle", "push bike", "pushbike", "velo"),
    "motorcycle": ("motorcycles", "motor cycle", "motorbike", "motorbikes", "motor bike", "motor"),
    "car": (
        *("cars", "auto", "autos", "automobile", "automobiles", "motor car", "motorcar", "passenger car"),
        *("sedan", "saloon", "hatchback", "estate car", "station wagon", "coupe", "suv"),
    ),
    "bus": ("buses", "omnibus", "motor bus"),
    "truck": ("trucks", "lorry", "lorries", "hgv", "heavy goods vehicle", "heavy truck"),
    "van": ("vans", "minivan", "mini van", "delivery van"),
    "vehicle": ("vehicles", "motor vehicle", "motor vehicles"),
}
_KEYS = {word: name for name, words in SYNONYMS.items() for word in words}


@lru_cache(maxsize=4096)
def spelled(name: str) -> str:
    """In small letters, with one blank between words and none around: "Traffic_Light " is "traffic light"."""
    return " ".join(re.split(r"[\s_\-]+", name.casefold())).strip()


def class_key(name: str) -> str:
    """Equal for names that mean the same."""
    plain = spelled(name)
    return _KEYS.get(plain, plain)


def named(word: str, known: Iterable[str]) -> set[str]:
    """Which of the `known` classes and groups a rule means by `word`; none where it means none.

    Where a model has both `car` and `sedan`, "car" means both, and "sedan" that one alone.
    """
    known = set(known)
    same = {name for name in known if spelled(name) == spelled(word)}
    if same and class_key(word) != spelled(word):
        return same
    return {name for name in known if class_key(name) == class_key(word)}


def named_by_any(words: Iterable[str], known: Iterable[str]) -> set[str]:
    """Which of the `known` any of the `words` means."""
    known = set(known)
    return {name for word in words for name in named(word, known)}


def find(word: str, known: Sequence[str]) -> str | None:
    """The one of `known` that is spelled so, else the first that means the same, else None."""
    for form in (str, spelled, class_key):
        for name in known:
            if form(name) == form(word):
                return name
    return None
