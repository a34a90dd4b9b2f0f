"""The section `clips` of streamer.yaml: short recordings around events. Off by default: nothing is kept."""

from __future__ import annotations

from typing import Literal, get_args

from pydantic import Field, model_validator

from pipelines.rules import AbsolutePath, Strict

People = Literal["show", "blur", "silhouette"]  # as they are in pictures that are written, least hidden first
HIDDEN: tuple[People, ...] = get_args(People)


def hides_less(people: People, bound: People) -> bool:
    """Whether a picture in which people look like `people` shows more of them than `bound` allows."""
    return HIDDEN.index(people) < HIDDEN.index(bound)


class ClipsConfig(Strict):
    """A clip goes from the key frame before `before_s` to `after_s` after its event. `buffer_s` and
    `buffer_mb`, of each camera, are what is kept in memory for that: the smaller one holds.

    `people` None: as `privacy.people` says, which is the least that they are hidden. `folder` None: `clips`
    in the state folder. The oldest clips go first where `max_gb` or `max_days` is passed.
    """

    enabled: bool = False
    before_s: float = Field(default=10, ge=0, le=120)
    after_s: float = Field(default=10, ge=0, le=300)
    people: People | None = None
    max_days: float = Field(default=7, gt=0)
    max_gb: float = Field(default=5, ge=0)
    min_free_mb: int = Field(default=512, ge=0)
    folder: AbsolutePath | None = None
    buffer_s: float = Field(default=30, gt=0, le=300)
    buffer_mb: int = Field(default=16, ge=1, le=512)

    @model_validator(mode="after")
    def _reaches_back(self) -> ClipsConfig:
        if self.buffer_s < self.before_s:
            raise ValueError(
                f"buffer_s: {self.buffer_s:g} s are kept, clips begin {self.before_s:g} s before: raise it"
            )
        return self

    @property
    def max_bytes(self) -> int:
        return int(self.max_gb * 1e9)

    def check_bound(self, site: People) -> None:
        """Raise ValueError where clips would show more of people than the site does."""
        if self.people is not None and hides_less(self.people, site):
            raise ValueError(
                f"clips.people: {self.people} shows more of people than privacy.people, {site}: leave it out"
            )
