"""What the daemon keeps of its cameras' terms: over every restart, and never a step back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from streamer.daemon.camera_terms import CameraTerms, TermArguments
from streamer.errors import ControlError, StorageError
from streamer.ipc.camera_term import MAX_TERMS, CameraTerm


def asked(term: int, site: str = "shop", camera: str = "door", **given: Any) -> TermArguments:
    return TermArguments(site=site, camera=camera, term=term, **{"owned": True, "from_ns": 5, **given})


def test_a_term_is_kept_over_a_restart_and_a_camera_without_one_is_the_boxs_own(tmp_path: Path) -> None:
    terms = CameraTerms(tmp_path)
    assert terms.of("door") is None
    terms.take(asked(3))
    for kept in (terms, CameraTerms(tmp_path)):
        assert kept.of("door") == CameraTerm("shop", 3, True, 5)
        assert kept.of("gate") is None


def test_the_same_term_again_changes_only_whether_it_is_owned(tmp_path: Path) -> None:
    terms = CameraTerms(tmp_path)
    terms.take(asked(3))
    assert terms.take(asked(3, owned=False, from_ns=99)) == CameraTerm("shop", 3, False, 5)
    assert terms.held() == {"door": (CameraTerm("shop", 3, False, 5),)}


def test_a_term_that_is_over_is_refused_and_nothing_has_changed(tmp_path: Path) -> None:
    terms = CameraTerms(tmp_path)
    terms.take(asked(3))
    terms.take(asked(7))
    with pytest.raises(ControlError, match="term 3 of site shop is over, this box has had term 7"):
        terms.take(asked(3))
    assert CameraTerms(tmp_path).of("door") == CameraTerm("shop", 7, True, 5)
    assert terms.take(asked(1, site="other")).term == 1  # of another site


def test_what_is_added_under_a_removed_cameras_name_is_the_boxs_own_and_its_terms_are_remembered(
    tmp_path: Path,
) -> None:
    terms = CameraTerms(tmp_path)
    terms.take(asked(3))
    terms.forget(["door", "unknown"])
    again = CameraTerms(tmp_path)
    assert again.of("door") is None
    assert [term.term for term in again.held()["door"]] == [3]
    with pytest.raises(ControlError, match="is over"):
        again.take(asked(2))
    assert again.take(asked(4)).term == 4
    assert [term.term for term in again.held()["door"]] == [3, 4]


def test_only_the_newest_terms_are_remembered(tmp_path: Path) -> None:
    terms = CameraTerms(tmp_path)
    for n in range(1, MAX_TERMS + 11):
        terms.take(asked(n))
    assert [term.term for term in terms.held()["door"]] == list(range(11, MAX_TERMS + 11))


@pytest.mark.parametrize("raw", [b"", b"{", b'{"door": 3}', b'{"door": {"terms": [["shop"]]}}'])
def test_a_damaged_file_is_set_aside_and_told(tmp_path: Path, raw: bytes) -> None:
    (tmp_path / "terms.json").write_bytes(raw)
    terms = CameraTerms(tmp_path)
    assert terms.of("door") is None
    assert "was damaged and is set aside" in terms.warning
    assert (tmp_path / "terms.damaged").read_bytes() == raw
    terms.take(asked(3))
    assert terms.warning == ""


def test_a_term_that_cannot_be_kept_is_not_taken(tmp_path: Path) -> None:
    terms = CameraTerms(tmp_path / "file")
    (tmp_path / "file").write_text("no folder")
    with pytest.raises((StorageError, OSError)):
        terms.take(asked(3))
    assert terms.of("door") is None
