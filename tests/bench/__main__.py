"""`python -m tests.bench`: list the benches, or run one and print it for a person or as JSON."""

from __future__ import annotations

import argparse
import json
import sys
import time
from typing import Any

from tests.bench import hardware, registry


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description="Run one bench, or list them.")
    parser.add_argument("name", nargs="?", help="the bench to run")
    parser.add_argument("--list", action="store_true", help="list the benches")
    parser.add_argument("--json", action="store_true", help="print one JSON object, with the hardware")
    parser.add_argument("-o", metavar="KEY=VALUE", action="append", default=[], help="an option of the bench")
    given = parser.parse_args(arguments)
    benches = registry.find()
    if given.list or given.name is None:
        return _list(benches, given.json)
    bench = benches.get(given.name)
    if bench is None:
        print(f"error: no bench {given.name!r}; known: {', '.join(benches) or 'none'}", file=sys.stderr)
        return 2
    return _run(bench, _options(given.o), given.json)


def _list(benches: dict[str, registry.Bench], as_json: bool) -> int:
    if as_json:
        print(
            json.dumps([{"name": b.name, "description": b.description} for b in benches.values()], indent=2)
        )
        return 0
    width = max((len(name) for name in benches), default=0)
    for bench in benches.values():
        print(f"{bench.name:<{width}}  {bench.description}")
    return 0


def _run(bench: registry.Bench, options: dict[str, Any], as_json: bool) -> int:
    machine = hardware.describe()  # before the run: the load average is the others'
    started_s = time.monotonic()
    try:
        run, render = bench.load()
        result = run(**options)
    except registry.Unavailable as error:
        return _unavailable(bench, str(error))
    except ModuleNotFoundError as error:
        missing = registry.what_is_missing(error)
        if missing is None:
            raise
        return _unavailable(bench, missing)
    took_s = round(time.monotonic() - started_s, 1)
    if as_json:
        whole = {"bench": bench.name, "took_s": took_s, **result, "options": options, "hardware": machine}
        print(json.dumps(whole, indent=2))
        return 0
    print(render(result))
    print(
        f"({took_s} s on {machine['cpu']}, {machine['cores_usable']} of {machine['cores']} cores, "
        f"load {machine['load_average_1min']} before, commit {machine['commit'][:10]})"
    )
    return 0


def _unavailable(bench: registry.Bench, why: str) -> int:
    print(f"error: {bench.name} cannot run here: {why}", file=sys.stderr)
    return 3


def _options(pairs: list[str]) -> dict[str, Any]:
    """KEY=VALUE with VALUE as JSON where it is JSON, else as a string."""
    found: dict[str, Any] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key.isidentifier():
            raise SystemExit(f"error: option {pair!r}: expected KEY=VALUE")
        try:
            found[key] = json.loads(value)
        except ValueError:
            found[key] = value
    return found


if __name__ == "__main__":
    sys.exit(main())
