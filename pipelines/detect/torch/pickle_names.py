"""What a torch file would import when it is loaded, read from its pickle's opcodes without running any.

A `.pt` is a zip archive whose `data.pkl` is a pickle of protocol 2 (torch.save). Every class and function
that loading would reach for stands there as a GLOBAL opcode. Needs no torch.
"""

from __future__ import annotations

import pickletools
import zipfile
from pathlib import Path

from pipelines.detect.errors import ModelRefused

_MAX_PICKLE_BYTES = 256 << 20  # the structure alone; weights lie beside it
_NEWER = frozenset({"STACK_GLOBAL", "EXT1", "EXT2", "EXT4", "INST"})


def imported_names(path: Path) -> frozenset[str]:
    """The `module.name` of all that loading `path` would import.

    Raises ModelRefused if it is no torch archive that is safe to look into: the line says what it is instead.
    """
    try:
        if path.stat().st_size == 0:
            raise ModelRefused(f"{path}: is empty: copy it again")
        if not zipfile.is_zipfile(path):
            raise ModelRefused(_not_an_archive(path))
        with zipfile.ZipFile(path) as archive:
            return _names(path, archive)
    except OSError as error:
        raise ModelRefused(f"{path}: {error.strerror or error}: give the path of a .pt file") from error
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
        raise ModelRefused(f"{path}: damaged ({error}): copy it again") from error


def _not_an_archive(path: Path) -> str:
    with path.open("rb") as file:
        start = file.read(2)
    if start[:1] == b"\x80" or start[:1] in b"(c]}":
        return (
            f"{path}: a bare pickle, not an archive of torch.save: loading it would run whatever it says; "
            "only if you trust where it comes from, `streamer model export --trust`"
        )
    return f"{path}: neither a torch file nor complete: copy it again"


def _names(path: Path, archive: zipfile.ZipFile) -> frozenset[str]:
    inside = archive.namelist()
    if any(name.endswith("/constants.pkl") for name in inside):
        raise ModelRefused(f"{path}: a TorchScript archive: give the .pt it was made of")
    pickles = [info for info in archive.infolist() if info.filename.endswith("data.pkl")]
    if len(pickles) != 1:
        raise ModelRefused(f"{path}: a zip archive, but not one of torch.save: give a .pt")
    if pickles[0].file_size > _MAX_PICKLE_BYTES:
        raise ModelRefused(f"{path}: its structure takes {pickles[0].file_size} bytes: not a model")
    names = set()
    try:
        for opcode, argument, _ in pickletools.genops(archive.read(pickles[0])):
            if opcode.name in _NEWER:
                raise ModelRefused(
                    f"{path}: its pickle was not written by torch.save ({opcode.name}): not loaded unless "
                    "you trust where it comes from: `streamer model export --trust`"
                )
            if opcode.name == "GLOBAL":
                names.add(str(argument).replace(" ", ".", 1))
    except ValueError as error:
        raise ModelRefused(f"{path}: damaged ({error}): copy it again") from error
    return frozenset(names)
