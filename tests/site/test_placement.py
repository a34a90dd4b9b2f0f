"""Why a camera waits, and what is asked of the cluster, worked out of tables by hand."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from streamer.site import placing
from streamer.site.cluster import Box, Table
from streamer.site.configuration import Published
from streamer.site.placement import camera_places, cameras_of, why_it_waits
from streamer.site.placing import apply, place_elsewhere, without_place
from streamer.site.terms import Term
from tests.site.boxes import HandCluster, box, placed, table, waiting


@pytest.mark.parametrize(
    ("boxes", "cost", "on", "why"),
    [
        ([], 0.5, {}, "no box with a capacity"),
        ([box("a", 0.0)], 0.5, {}, "no box with a capacity"),
        ([box("a", alive=False)], 0.5, {}, "no box with a capacity"),
        ([box("a")], 0.5, {"gpu": "yes"}, "no box of the site has gpu=yes"),
        ([box("a", draining=True)], 0.5, {}, "every box is being drained: a"),
        ([box("a", 2.0), box("b", 1.0)], 2.5, {}, "the largest box, a, has 2"),
        ([box("a", free=0.1), box("b", free=0.4)], 0.5, {}, "the most that is free is 0.4, on b"),
        ([box("a", free=1.0)], 0.5, {}, "there is room on a"),
        (
            [box("a"), box("b", free=0.2, labels={"gpu": "yes"})],
            0.5,
            {"gpu": "yes"},
            "the most that is free with gpu=yes is 0.2, on b",
        ),
    ],
)
def test_it_is_said_why_a_camera_waits(
    boxes: list[Box], cost: float, on: Mapping[str, str], why: str
) -> None:
    assert why in why_it_waits(table(boxes), waiting("gate", cost, on))


def test_a_box_that_is_not_alive_runs_nothing() -> None:
    dead = table([box("a", alive=False)], placed("gate", "a"))
    assert cameras_of(dead, "a") == frozenset()
    assert cameras_of(table([box("a")], placed("gate", "a"), waiting("yard")), "a") == {"gate"}


def test_a_camera_runs_where_the_last_term_was_taken_and_moves_where_it_is_placed() -> None:
    now = table([box("a"), box("b")], placed("gate", "a"), placed("yard", "b"), placed("old", "a"))
    terms = {"gate": Term(3, "x", "a", 1), "yard": Term(1, "x", "a", 1)}
    places = {
        p.camera: (p.doing, p.box, p.runs_on) for p in camera_places(now, ["gate", "yard", "new"], terms)
    }
    assert places == {
        "gate": ("running", "a", "a"),
        "new": ("unplaced", "", ""),
        "old": ("left over", "a", ""),
        "yard": ("moving", "b", "a"),
    }


class Asked:
    """A Placer that writes down what it is asked for."""

    def __init__(self) -> None:
        self.said: list[tuple[str, ...]] = []

    def place(self, camera: str, cost: float, on: Mapping[str, str], near: str = "") -> None:
        assert cost > 0
        assert on == {}
        self.said.append(("place", camera, near))

    def remove(self, camera: str) -> None:
        self.said.append(("remove", camera))


def _wanted(**costs: float) -> dict[str, Published]:
    return {name: Published(1, {"name": name}, cost, {}) for name, cost in costs.items()}


def test_what_is_as_it_should_be_is_not_moved() -> None:
    asked = Asked()
    apply(asked, HandCluster(table([box("a")], placed("gate", "a", 0.5))), _wanted(gate=0.5), {})
    assert asked.said == []


def test_what_costs_something_else_is_placed_anew_where_it_is() -> None:
    asked = Asked()
    apply(asked, HandCluster(table([box("a")], placed("gate", "a", 0.5))), _wanted(gate=0.7), {})
    assert asked.said == [("remove", "gate"), ("place", "gate", "id-a")]


def test_a_head_without_its_table_places_cameras_where_they_run() -> None:
    asked = Asked()
    apply(asked, HandCluster(table([box("a"), box("b")])), _wanted(gate=0.5, yard=0.5), {"gate": "b"})
    assert asked.said == [("place", "gate", "id-b"), ("place", "yard", "")]


def test_a_camera_is_asked_for_again_only_when_its_box_has_its_room_back() -> None:
    full, free = (table([box("a", 1.0, left)], placed("gate", "a", 0.8)) for left in (0.2, 1.0))
    asked, cluster = Asked(), HandCluster(full)
    looks = iter([full, full, free])

    def look() -> Table:
        assert len(asked.said) < 2, "asked for before there is room"
        return next(looks, free)

    cluster.table = look  # type: ignore[method-assign]
    apply(asked, cluster, _wanted(gate=0.7), {})
    assert next(looks, None) is None
    assert asked.said == [("remove", "gate"), ("place", "gate", "id-a")]


def test_what_is_not_configured_is_removed() -> None:
    asked = Asked()
    changes = apply(asked, HandCluster(table([box("a")], placed("gate", "a"))), {}, {})
    assert (asked.said, changes.removed) == ([("remove", "gate")], ["gate"])


def test_a_camera_that_waits_and_may_run_anywhere_again_is_asked_for_where_it_runs() -> None:
    asked = Asked()
    cluster = HandCluster(table([box("a"), box("b")], waiting("gate", on={"gpu": "yes"})))
    apply(asked, cluster, _wanted(gate=0.5), {"gate": "a"})
    assert asked.said == [("remove", "gate"), ("place", "gate", "id-a")]


def test_a_drained_box_s_cameras_are_asked_for_without_it() -> None:
    asked = Asked()
    drained = box("a", draining=True)
    moving = place_elsewhere(
        asked, table([drained, box("b")], placed("gate", "a"), placed("yard", "b")), drained
    )
    assert (moving, asked.said) == (["gate"], [("remove", "gate"), ("place", "gate", "")])


def test_what_finds_no_place_after_a_drain_is_told_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(placing, "MAX_WAIT_S", 0.2)
    full = table([box("a", draining=True), box("b", free=0.1)], waiting("gate"), placed("yard", "b"))
    found = without_place(HandCluster(full), ["gate", "yard", "gone"])
    assert found == {"gate": "it costs 0.5 cores, and the most that is free is 0.1, on b"}
    assert without_place(HandCluster(full), ["yard"]) == {}
