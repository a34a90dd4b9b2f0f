"""What a `.pt` would import is read without loading it; what is no torch archive is called what it is."""

from __future__ import annotations

import os
import pickle
import zipfile
from pathlib import Path

import pytest

from pipelines.detect.errors import ModelRefused
from pipelines.detect.torch.pickle_names import imported_names


class Runs:
    """Its pickle runs a command when it is loaded."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("touch harmed",)


def archive(path: Path, data: bytes, inside: str = "best/data.pkl") -> Path:
    with zipfile.ZipFile(path, "w") as file:
        file.writestr(inside, data)
    return path


def test_the_names_are_read_and_nothing_is_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    file = archive(tmp_path / "best.pt", pickle.dumps({"model": Runs(), "seen": {1}}, protocol=2))
    assert imported_names(file) == {"posix.system", "__builtin__.set"}
    assert not Path("harmed").exists()


@pytest.mark.parametrize("protocol", [0, 1, 2, 4])
def test_a_bare_pickle_in_disguise_is_called_one(protocol: int, tmp_path: Path) -> None:
    file = tmp_path / "best.pt"
    file.write_bytes(pickle.dumps(Runs(), protocol=protocol))
    with pytest.raises(ModelRefused, match=r"a bare pickle.*only if you trust") as refusal:
        imported_names(file)
    assert "\n" not in str(refusal.value)


def test_a_pickle_that_hides_its_names_is_refused(tmp_path: Path) -> None:
    file = archive(tmp_path / "best.pt", pickle.dumps(Runs(), protocol=4))
    with pytest.raises(ModelRefused, match=r"not written by torch\.save"):
        imported_names(file)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "is empty"),
        (b"\x7fELF" + bytes(100), "neither a torch file"),
        (b"PK\x03\x04" + bytes(50), "neither"),
    ],
)
def test_other_files_are_refused(content: bytes, why: str, tmp_path: Path) -> None:
    file = tmp_path / "best.pt"
    file.write_bytes(content)
    with pytest.raises(ModelRefused, match=why):
        imported_names(file)


def test_archives_that_are_none_of_torch_save_are_named(tmp_path: Path) -> None:
    with pytest.raises(ModelRefused, match=r"not one of torch\.save"):
        imported_names(archive(tmp_path / "a.pt", b"", "notes.txt"))
    with pytest.raises(ModelRefused, match="TorchScript"):
        imported_names(archive(tmp_path / "b.pt", b"", "best/constants.pkl"))
    with pytest.raises(ModelRefused, match="damaged"):
        imported_names(archive(tmp_path / "c.pt", b"\xff\xfe"))
    with pytest.raises(ModelRefused, match="No such file"):
        imported_names(tmp_path / "none.pt")
