"""What the demo shows of actions: what came on the stream, beside what the people of the scene did."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from rich.table import Table

from streamer.sources.synthetic.acts import ActTruth


@dataclass(frozen=True, slots=True)
class Told:
    """One event. `right`: somebody who was there did that; None where there is no truth."""

    label: str
    at_s: float
    right: bool | None


@dataclass
class ActionBoard:
    """Fed with the data of action events."""

    truth: ActTruth | None = None
    told: list[Told] = field(default_factory=list)

    def take(self, data: dict[str, Any]) -> Told:
        end_s = data["end_media_ns"] / 1e9
        right = None
        if self.truth is not None and "box_xyxyn" in data:
            x1, y1, x2, y2 = data["box_xyxyn"]
            right = self.truth.told(data["action"], data["start_media_ns"] / 1e9, end_s, (x1, y1, x2, y2))
        self.told.append(Told(data["action"], end_s, right))
        return self.told[-1]

    def rows(self, from_s: float, until_s: float) -> list[tuple[str, ...]]:
        """Of each action: its events; and with a truth: how often it was done, how often that was found, how
        long after it began, and how many events were of people who did something else.
        """
        told = [t for t in self.told if from_s <= t.at_s]
        counted = Counter(t.label for t in told)
        if self.truth is None:
            return [(label, str(n)) for label, n in sorted(counted.items())]
        self.truth.follow(until_s)
        acts = self.truth.between(from_s, until_s)
        rows: list[tuple[str, ...]] = []
        for label in sorted({a.label for a in acts} | counted.keys()):
            drawn = [a for a in acts if a.label == label]
            after = sorted(a.told_s - a.start_s for a in drawn if a.told_s is not None)
            wrong = sum(t.label == label and t.right is False for t in told)
            late = f"{after[len(after) // 2]:.1f} s" if after else "-"
            rows.append((label, str(counted[label]), str(len(drawn)), str(len(after)), late, str(wrong)))
        return rows

    def table(self, from_s: float, until_s: float) -> Table:
        table = Table("action", title="Actions on the Redis stream", title_justify="left")
        titles = ("events", "truth", "of these found", "found after", "false events")
        for title in titles if self.truth is not None else titles[:1]:
            table.add_column(title, justify="right", style="bold green" if title == "events" else None)
        rows = self.rows(from_s, until_s)
        for row in rows or [("nothing yet",)]:
            table.add_row(*row)
        return table

    def line(self, from_s: float, until_s: float) -> str:
        """The same in a few words."""
        shown = [f"{row[0]} {row[1]}" + (f" (truth {row[2]}, {row[3]} of these found)" if row[2:] else "")
                 for row in self.rows(from_s, until_s)]  # fmt: skip
        return ", ".join(shown) or "no action yet"
