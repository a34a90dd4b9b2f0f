"""The ladder of a camera that rests: down only while inference follows nothing, up at the first sign."""

from __future__ import annotations

import numpy as np
import pytest

from pipelines.values import Image
from streamer.sources.gate import GLANCE_S, KEYS_EVERY_S, MAX_REST_S, MIN_EVIDENCE, MIN_KEY_EVIDENCE, Gate
from streamer.sources.kept_evidence import Evidence

FPS, GROUP = 25, 50
CHANCE = np.random.default_rng(1)
BACKDROP = np.clip(CHANCE.normal(110, 40, (90, 160)), 0, 255)


def grey(somebody: bool = False) -> Image:
    picture = BACKDROP + CHANCE.normal(0, 2, BACKDROP.shape)
    if somebody:
        picture[30:60, 60:72] = 240
    return np.clip(picture, 0, 255).astype(np.uint8)


class Camera:
    """Frames and packets through a gate; somebody who is there makes packets large, where `sizes_tell`."""

    def __init__(
        self, sizes_tell: bool = True, inference: bool = True, evidence: Evidence | None = None
    ) -> None:
        self.gate, self.sizes_tell = Gate(evidence), sizes_tell
        self.standing = False  # something is followed that stands still
        self.ghost = False  # or moves, where nothing is
        self.group = GROUP
        self.now_s, self.key_s = 100.0, 0.0  # of the key frame that was looked at last in a rest
        self.looked_at = 0  # key frames in rests
        self.offered = 0  # frames that inference had
        self.woken: list[int] = []  # groups of packets that were asked for
        self._number, self._inference = 0, inference

    def run(self, seconds: float, somebody: bool = False) -> None:
        for _ in range(int(seconds * FPS)):
            self.now_s += 1 / FPS
            self._number += 1
            size = 3000 if somebody and self.sizes_tell else 400
            if self.gate.level == "packets":
                self._packet(size, somebody)
                continue
            key = self._number % self.group == 0
            wanted = self.gate.wants_picture(self.now_s, key)
            self.gate.frame(self.now_s, [size], grey(somebody) if wanted else None, key)
            self._offer(somebody)

    def _offer(self, somebody: bool) -> None:
        if self.gate.offers(self.now_s):
            self.offered += 1
            if self._inference:
                quiet = not (somebody or self.standing or self.ghost)
                self.gate.heard(quiet, self.now_s, self.standing and not somebody)

    def _packet(self, size: int, somebody: bool) -> None:
        key = self._number % self.group == 0
        looks = key and self.now_s - self.key_s >= self.gate.keys_every_s
        if looks:
            self.key_s, self.looked_at = self.now_s, self.looked_at + 1
        size = 0 if key else size
        groups = self.gate.packet(self.now_s, size, grey(somebody) if looks else None, False)
        if groups:
            self.woken.append(groups)
        elif looks:
            self._offer(somebody)

    def days(self, comings: int, visit_s: float = 1.5) -> None:
        for _ in range(comings):
            self.run(15)
            self.run(visit_s, somebody=True)
        self.run(15)


def test_in_quiet_a_camera_rests_and_somebody_who_comes_wakes_it_at_once() -> None:
    camera = Camera()
    camera.run(20)
    assert camera.gate.level == "pictures"
    camera.run(0.3, somebody=True)
    assert camera.gate.level == "full"


def test_it_does_not_rest_while_inference_follows_somebody_or_says_nothing() -> None:
    camera = Camera()
    camera.run(20, somebody=True)
    assert camera.gate.level == "full"
    silent = Camera(inference=False)
    silent.run(20)
    assert silent.gate.level == "full"


def test_sizes_that_told_of_everybody_spare_the_decoder_and_wake_it() -> None:
    camera = Camera()
    camera.days(MIN_EVIDENCE + 1)
    assert camera.gate.trusts_sizes
    assert camera.gate.level == "packets"
    camera.woken.clear()
    camera.run(0.3, somebody=True)
    assert (camera.gate.level, camera.woken) == ("full", [1])


def test_sizes_and_key_frames_that_told_of_nobody_are_not_relied_on() -> None:
    camera = Camera(sizes_tell=False)
    camera.days(6)
    assert not camera.gate.trusts_sizes
    assert not camera.gate.trusts_keys
    assert camera.gate.level == "pictures"


def test_where_all_who_came_were_seen_in_three_key_frames_these_alone_are_decoded() -> None:
    camera = Camera(sizes_tell=False)
    camera.days(MIN_KEY_EVIDENCE, visit_s=3.5 * GROUP / FPS)
    assert not camera.gate.trusts_sizes
    assert (camera.gate.level, camera.gate.why) == ("packets", "")
    camera.woken.clear()
    camera.run(1.1 * GROUP / FPS, somebody=True)
    assert (camera.gate.level, camera.woken) == ("full", [2])


def test_where_sizes_tell_who_comes_few_key_frames_are_looked_at() -> None:
    camera = Camera(evidence=Evidence(told=(True,) * MIN_EVIDENCE))
    camera.run(10)
    assert camera.gate.level == "packets"
    camera.looked_at = 0
    camera.run(30)
    assert 30 / KEYS_EVERY_S - 3 <= camera.looked_at <= 30 / KEYS_EVERY_S + 1
    assert camera.gate.level == "packets"


def test_where_key_frames_alone_tell_or_something_stands_each_is_looked_at() -> None:
    camera = Camera(sizes_tell=False, evidence=Evidence(keys=(True,) * MIN_KEY_EVIDENCE))
    camera.run(20)
    assert camera.gate.level == "packets"
    assert camera.gate.keys_every_s == 0
    standing = Camera(evidence=Evidence(told=(True,) * MIN_EVIDENCE))
    standing.standing = True
    standing.run(30)
    assert standing.gate.keys_every_s == 0


def test_sizes_that_are_not_trusted_wake_nobody() -> None:
    camera = Camera(evidence=Evidence(keys=(True,) * MIN_KEY_EVIDENCE))
    camera.run(20)
    assert camera.gate.level == "packets"
    for _ in range(FPS):
        camera.now_s += 1 / FPS
        assert camera.gate.packet(camera.now_s, 3000, None, False) == 0


def test_a_detection_that_flickers_says_nothing_of_key_frames() -> None:
    camera = Camera(sizes_tell=False)
    for _ in range(MIN_EVIDENCE):
        camera.run(15)
        camera.ghost = True
        camera.run(2)
        camera.ghost = False
    camera.run(15)
    assert camera.gate.evidence.keys == ()


def test_where_some_pass_between_two_key_frames_the_pictures_between_are_decoded() -> None:
    camera = Camera(sizes_tell=False)
    camera.days(MIN_KEY_EVIDENCE - 1, visit_s=3.5 * GROUP / FPS)
    camera.days(1, visit_s=0.8 * GROUP / FPS)
    assert camera.gate.evidence.keys == (True,) * (MIN_KEY_EVIDENCE - 1) + (False,)
    assert camera.gate.level == "pictures"


def test_a_key_frame_that_shows_somebody_asks_for_what_came_before_it_too() -> None:
    camera = Camera()
    camera.days(MIN_EVIDENCE + 1)
    camera.sizes_tell = False
    camera.woken.clear()
    camera.run(2.1, somebody=True)
    assert (camera.gate.level, camera.woken) == ("full", [2])


def test_a_camera_never_rests_for_longer_than_it_may() -> None:
    camera = Camera()
    camera.days(MIN_EVIDENCE + 1)
    before, rested_s = camera.offered, 10 * MAX_REST_S
    camera.run(rested_s)
    looks = camera.offered - before
    assert 9 * 0.5 * FPS < looks < 0.05 * rested_s * FPS


def test_key_frames_too_far_apart_leave_it_at_pictures() -> None:
    camera = Camera()
    camera.days(MIN_EVIDENCE + 1)
    assert camera.gate.packet(camera.now_s + 0.04, 400, None, True) == 1
    camera.run(20)
    assert camera.gate.level == "pictures"


@pytest.mark.parametrize("sizes_tell", [True, False])
def test_a_jump_of_the_view_wakes_it(sizes_tell: bool) -> None:
    camera = Camera(sizes_tell)
    camera.run(20)
    camera.gate.restart(camera.now_s)
    assert camera.gate.level == "full"


def test_where_all_that_is_followed_stands_still_it_is_glanced_at_and_does_not_go_lower() -> None:
    camera = Camera(evidence=Evidence((True,) * MIN_EVIDENCE))
    camera.standing = True
    camera.run(20)
    assert camera.gate.level == "pictures"
    assert camera.gate.why.startswith("what is followed stands still: that needs a key frame")
    before = camera.offered
    camera.run(40)
    assert 0.9 * 40 / GLANCE_S - 1 <= camera.offered - before <= 40 / GLANCE_S + 1
    camera.run(0.3, somebody=True)
    assert camera.gate.level == "full"
    camera.standing = False
    camera.run(20)
    assert camera.gate.level == "packets"


def test_what_stands_is_glanced_at_in_key_frames_that_are_near_enough() -> None:
    camera = Camera(evidence=Evidence((True,) * MIN_EVIDENCE))
    camera.standing, camera.group = True, FPS
    camera.run(20)
    assert (camera.gate.level, camera.gate.why) == ("packets", "")
    before = camera.offered
    camera.run(40)
    assert 39 <= camera.offered - before <= 41
    camera.group = 2 * FPS
    camera.run(10)
    assert camera.gate.level == "pictures"


def test_inference_that_follows_somebody_after_all_wakes_it_whatever_it_sees() -> None:
    for evidence, level in ((Evidence(), "pictures"), (Evidence((True,) * MIN_EVIDENCE), "packets")):
        camera = Camera(evidence=evidence)
        camera.run(20)
        assert camera.gate.level == level
        camera.gate.heard(False, camera.now_s + 0.001)
        camera.run(0.1)
        assert camera.gate.level == "full"


def test_what_was_learnt_at_an_opening_before_lets_it_go_down_at_once() -> None:
    learnt = Camera()
    learnt.days(MIN_EVIDENCE + 1)
    camera = Camera(evidence=learnt.gate.evidence)
    camera.run(20)
    assert camera.gate.level == "packets"
    camera.run(0.3, somebody=True)
    assert camera.gate.level == "full"


def test_it_says_why_it_goes_no_lower() -> None:
    camera = Camera(sizes_tell=False)
    camera.run(20)
    camera.days(6)
    assert "sizes told 0 of 6, and key frames alone 0 of 6" in camera.gate.why
    camera.gate.refuse_packets()
    assert camera.gate.why.startswith("its key frames are too far apart")
    trusting = Camera(evidence=Evidence((True,) * MIN_EVIDENCE))
    trusting.run(20)
    assert trusting.gate.why == ""
