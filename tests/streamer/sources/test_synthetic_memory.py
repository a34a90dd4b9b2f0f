"""A rendered scene runs for months: what it keeps of those who have passed does not grow with them."""

from __future__ import annotations

import tracemalloc

from streamer.sources.synthetic import parse, people, vehicles
from streamer.sources.synthetic.view import View
from streamer.sources.synthetic.world import World

MAX_MB = 6.0  # of the vehicles of one process
BUSIEST = parse("synthetic:street?seed=3&density=5&stand=1")
SEEN_FROM = World(3).view(320, 180)


def _pass_by(view: View, look: int) -> None:
    """One vehicle and one person, far off: nothing of them is painted."""
    vehicles.shapes(view, "bus", look, 0.0, -40.0, 1)
    people.walking(view, people.look_of(look), 0.0, 12.0, 0.0, 1.2, 3.0, 0.0)


def test_vehicles_and_people_that_have_passed_take_no_memory() -> None:
    for cache in (vehicles.solid_of, people.look_of):
        cache.cache_clear()
    tracemalloc.start(1)
    try:
        for look in range(vehicles.MAX_SOLIDS + 32):
            _pass_by(SEEN_FROM, look)
        taken_mb = tracemalloc.get_traced_memory()[0] / 1e6
    finally:
        tracemalloc.stop()
    assert vehicles.solid_of.cache_info().currsize == vehicles.MAX_SOLIDS
    assert taken_mb < MAX_MB


def test_whoever_is_in_the_busiest_street_at_once_is_made_once() -> None:
    world = BUSIEST.world()
    for second in range(180):
        actors = world.at(float(second))
        on_foot = sum(actor.kind == "person" for actor in actors)
        assert len(actors) - on_foot <= vehicles.MAX_SOLIDS
        assert on_foot <= people.MAX_LOOKS
