"""`streamer line suggest`: lines from the tracks of a real daemon's ledger."""

from __future__ import annotations

import pytest

from tests.streamer.cli.counted import Counted

ALL = ("--since", "all", "--until", "2100-01-01")  # a clip that is read in no time ends after now
pytestmark = pytest.mark.integration


def test_the_line_that_is_proposed_counts_what_went_by(counted: Counted) -> None:
    found = counted.json("line", "suggest", "door", *ALL, "--all")
    best = found["lines"][0]
    (x1, _), (x2, _) = best["line"]["points"]
    assert abs(x1 - x2) < 0.2  # the squares go from left to right
    passed = len([e for e in counted.crossed() if e["subject"] == "middle"])
    assert abs(sum(best["counted"].values()) - passed) <= 3
    assert best["clean"] >= 0.8 * found["moving"]
    assert found["covered"] == 0


def test_what_recount_makes_of_it_is_what_was_said(counted: Counted) -> None:
    best = counted.json("line", "suggest", "door", *ALL, "--all")["lines"][0]
    drawn = ",".join(f"{value:g}" for point in best["line"]["points"] for value in point)
    again = counted.json("recount", "door", "--line", f"l={drawn}", *ALL)
    assert len(again["crossings"]) == sum(best["counted"].values())


def test_beside_a_line_that_counts_them_all_nothing_further_is_proposed(counted: Counted) -> None:
    found = counted.json("line", "suggest", "door", *ALL)
    assert found["lines"] == []
    assert found["covered"] >= 0.8 * found["moving"]
    said = counted.daemon.cli("line", "suggest", "door", *ALL).stdout
    assert said.startswith(
        f"nothing further: {found['covered']} of the {found['moving']} tracks cross a line"
    )
    assert said.count("\n") == 1
    refused = counted.daemon.cli("line", "suggest", "door", *ALL, "--add", "1", check=False)
    assert "nothing further" in refused.stderr


def test_one_is_added_by_its_number(counted: Counted) -> None:
    done = counted.daemon.cli("line", "suggest", "door", *ALL, "--all", "--add", "1", "--name", "hall")
    assert done.stdout.startswith("line hall saved for camera door (written to ")
    lines = counted.daemon.cli("line", "list", "door", "--json")
    assert '"hall"' in lines.stdout


def test_a_class_that_the_camera_never_tells_is_refused_with_those_it_has(counted: Counted) -> None:
    refused = counted.daemon.cli("line", "suggest", "door", *ALL, "--class", "person", check=False)
    assert refused.returncode != 0
    assert "camera door tells no 'person': it has object" in refused.stderr


def test_where_nobody_went_the_reason_is_said(counted: Counted) -> None:
    early = ("--since", "2000-01-01", "--until", "2000-01-02")
    none = counted.daemon.cli("line", "suggest", "door", *early)
    assert none.stdout == (
        "0 tracks of door went anywhere since 2000-01-01, and it takes 8: "
        "wait, or look further back (--since 24h)\n"
    )
    refused = counted.daemon.cli("line", "suggest", "door", *early, "--add", "1", check=False)
    assert refused.returncode != 0
    assert "it takes 8" in refused.stderr
    unknown = counted.daemon.cli("line", "suggest", "gate", *ALL, check=False)
    assert "the ledger has no camera 'gate'; it has door" in unknown.stderr
    alone = counted.daemon.cli("line", "suggest", "door", "--name", "x", check=False)
    assert "--name is for --add N" in alone.stderr
