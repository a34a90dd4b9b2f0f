"""Finding the benches: a module of this folder, or of a package in it, with a literal NAME is one."""

from __future__ import annotations

import ast
import importlib
import re
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parent


class Unavailable(Exception):
    """Raised by a bench that cannot run here; the text says what is missing."""


@dataclass(frozen=True, slots=True)
class Bench:
    """`module` is imported when it is run: a listing needs neither OpenVINO nor a corpus. It imports on a
    default install: what an extra brings is imported where it is used, and told by what_is_missing()."""

    name: str
    description: str
    module: str

    def load(self) -> tuple[Callable[..., dict[str, Any]], Callable[[dict[str, Any]], str]]:
        """Its (run, render)."""
        module = importlib.import_module(self.module)
        return module.run, module.render


def find() -> dict[str, Bench]:
    """All benches by name. Raises ValueError when two have the same one or one lacks its DESCRIPTION."""
    found: dict[str, Bench] = {}
    for path in sorted([*FOLDER.glob("*.py"), *FOLDER.glob("*/*.py")]):
        constants = _literals(path)
        name = constants.get("NAME")
        if name is None:
            continue
        if "DESCRIPTION" not in constants:
            raise ValueError(f"{path.name}: a bench needs a literal DESCRIPTION")
        if name in found:
            raise ValueError(f"{path.name}: {found[name].module} has the name {name!r} already")
        found[name] = Bench(name, constants["DESCRIPTION"], _module(path))
    return found


def _module(path: Path) -> str:
    return ".".join(("tests", "bench", *path.relative_to(FOLDER).with_suffix("").parts))


def what_is_missing(error: ModuleNotFoundError) -> str | None:
    """What to install, where an extra of pyproject.toml brings it; None where the module is of none."""
    wanted = (error.name or "").split(".")[0]
    # of two extras that bring it, the smaller one
    for extra, packages in sorted(extras().items(), key=lambda item: len(item[1])):
        if wanted in packages:
            return f"{wanted} is not installed: make install EXTRAS={extra}"
    return None


def extras() -> dict[str, list[str]]:
    """The names to import of what each extra for users brings."""
    project = tomllib.loads((FOLDER.parents[1] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return {
        extra: [re.split(r"[<>=~!\[; ]", wanted)[0].replace("-", "_") for wanted in requirements]
        for extra, requirements in project["optional-dependencies"].items()
        if extra != "dev"
    }


def _literals(path: Path) -> dict[str, str]:
    """The module's top-level `NAME = "…"` assignments of literal strings."""
    found = {}
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            try:
                value = ast.literal_eval(node.value)
            except ValueError:
                continue
            if isinstance(value, str):
                found[node.targets[0].id] = value
    return found
