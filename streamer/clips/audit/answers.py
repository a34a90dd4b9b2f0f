"""What a person answered, by question; kept in a file of JSON lines where that is asked for, to go on later.

The first line says which audit it is; each other one is {"question": KEY, "answer": A} with A a number, true,
false, or null for "cannot tell". A later line of the same question replaces the earlier one.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from streamer.errors import ConfigError, StorageError

Answer = int | bool | None  # a bucket's number, whether a crossing is one, None: cannot be told


class Answers:
    """`audit` describes the audit, as plain JSON. Raises ConfigError for a file of another one."""

    def __init__(self, audit: Mapping[str, Any], path: Path | None = None) -> None:
        self._audit, self._path = dict(audit), path
        self._answers: dict[str, Answer] = {}
        if path is not None and path.exists() and path.stat().st_size:
            self._answers = dict(self._read(path))
        elif path is not None:
            self._append({"audit": self._audit})

    def __contains__(self, key: str) -> bool:
        return key in self._answers

    def __getitem__(self, key: str) -> Answer:
        return self._answers[key]

    def given(self) -> int:
        """How many are answers; "cannot tell" is none."""
        return sum(answer is not None for answer in self._answers.values())

    def put(self, key: str, answer: Answer) -> None:
        """Raises StorageError."""
        self._answers[key] = answer
        if self._path is not None:
            self._append({"question": key, "answer": answer})

    def _append(self, record: Mapping[str, Any]) -> None:
        assert self._path is not None
        try:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(record) + "\n")
        except OSError as error:
            raise StorageError(f"{self._path}: the answer cannot be written: {error.strerror}") from error

    def _read(self, path: Path) -> Iterator[tuple[str, Answer]]:
        records = list(records_of(path))
        if "audit" not in records[0]:
            raise ConfigError(f"{path}: is no file of an audit's answers: give another name")
        other = [key for key, value in self._audit.items() if records[0]["audit"].get(key) != value]
        if other:
            raise ConfigError(
                f"{path}: holds answers of another audit ({', '.join(other)} differ): give another file, or "
                "the clip, rules and options of that one"
            )
        for record in records[1:]:
            yield str(record["question"]), record["answer"]


def records_of(path: Path) -> Iterator[dict[str, Any]]:
    """The lines of a file of answers. Raises ConfigError or StorageError."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise StorageError(f"{path}: the answers cannot be read: {error}") from error
    for number, line in enumerate(lines, 1):
        try:
            record = json.loads(line)
            good = isinstance(record, dict) and ("audit" in record or _is_answer(record))
        except ValueError:
            good = False
        if not good:
            raise ConfigError(f"{path}: line {number} is no answer of an audit: mend it, or give another")
        yield record


def _is_answer(record: Mapping[str, Any]) -> bool:
    answer = record.get("answer", "")
    return isinstance(record.get("question"), str) and (answer is None or isinstance(answer, int))
