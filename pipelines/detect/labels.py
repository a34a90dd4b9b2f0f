"""Class names and the groups they belong to.

A group is what a rule counts and what suppresses itself: a van seen as car and truck is one vehicle. A
bicycle is a group of its own and no vehicle, since vehicle counts of roads leave it out; a motorcycle is a
vehicle. Every other class is its own group. How a model spells its classes makes no difference.
"""

from __future__ import annotations

from collections.abc import Iterable

from pipelines.class_names import class_key
from pipelines.values import Labels

VEHICLES = frozenset({"car", "motorcycle", "bus", "truck", "van"})  # by class_key()

# The 80 detection classes of COCO 2017 in the order of all models trained on it (Lin et al., 2014).
_COCO = """
person, bicycle, car, motorcycle, airplane, bus, train, truck, boat, traffic light, fire hydrant,
stop sign, parking meter, bench, bird, cat, dog, horse, sheep, cow, elephant, bear, zebra, giraffe,
backpack, umbrella, handbag, tie, suitcase, frisbee, skis, snowboard, sports ball, kite, baseball
bat, baseball glove, skateboard, surfboard, tennis racket, bottle, wine glass, cup, fork, knife,
spoon, bowl, banana, apple, sandwich, orange, broccoli, carrot, hot dog, pizza, donut, cake, chair,
couch, potted plant, bed, dining table, toilet, tv, laptop, mouse, remote, keyboard, cell phone,
microwave, oven, toaster, sink, refrigerator, book, clock, vase, scissors, teddy bear, hair drier,
toothbrush
"""
COCO_80 = tuple(" ".join(_COCO.split()).split(", "))
# The numbers that COCO's annotations never use; nets with 91 classes are numbered as the annotations are.
_UNUSED = frozenset({0, 12, 26, 29, 30, 45, 66, 68, 69, 71, 83})


def _as_annotated() -> tuple[str, ...]:
    names = iter(COCO_80)
    return tuple(f"unused {i}" if i in _UNUSED else next(names) for i in range(91))


COCO_91 = _as_annotated()


def group_of(name: str) -> str:
    """The group of a class of which no sidecar says anything else."""
    key = class_key(name)
    return "vehicle" if key in VEHICLES else key


def group_in_card(name: str, group: str) -> str:
    """The group that a sidecar gives a class. One that is the class's own name is a choice where that is
    spelled as usual (`truck: truck` parts trucks from cars); `Truck: Truck` is what sidecars were given when
    the spelling was not understood."""
    return group_of(name) if group == name and class_key(name) != name else group


def labels_of(names: Iterable[str]) -> Labels:
    names = tuple(names)
    return Labels(names, tuple(group_of(name) for name in names))
