"""Sizes of packets and small pictures say when something moves, as they were in quiet."""

from __future__ import annotations

import numpy as np
import pytest

from pipelines.scene.stillness import MIN_LOOKS, PacketSizes, PictureChange
from pipelines.values import Image

FPS = 25


def quiet(sizes: PacketSizes, seconds: float, start_s: float = 0.0, seed: int = 1) -> list[bool]:
    chance = np.random.default_rng(seed)
    unusual = []
    for n in range(int(seconds * FPS)):
        now_s = start_s + n / FPS
        unusual.append(sizes.add(int(500 * chance.uniform(0.7, 1.3)), now_s))
        sizes.confirm_quiet(now_s)
    return unusual


def test_before_quiet_is_known_nothing_is_unusual() -> None:
    sizes = PacketSizes()
    assert not any(sizes.add(size, 0.0) for size in (10, 10, 10, 10, 10, 10, 10**6))


def test_packets_that_grow_are_unusual_and_those_of_quiet_are_not() -> None:
    sizes = PacketSizes()
    quiet(sizes, 30)
    assert sum(quiet(sizes, 30, 30.0, seed=2)) <= 2
    assert any(sizes.add(1500, 60.0 + n / FPS) for n in range(4))


def test_what_came_just_before_somebody_was_noticed_is_not_learnt() -> None:
    sizes = PacketSizes()
    quiet(sizes, 30)
    for n in range(FPS):
        sizes.add(5000, 30.0 + n / FPS)
        sizes.confirm_quiet(30.0 + n / FPS)
    sizes.forget_new()
    quiet(sizes, 30, 31.0)
    assert any(sizes.add(1500, 62.0 + n / FPS) for n in range(4))


def test_who_woke_for_nothing_wakes_less_easily_and_no_less_than_to_a_limit() -> None:
    easy, hard = PacketSizes(), PacketSizes()
    for sizes in (easy, hard):
        quiet(sizes, 30)
    for _ in range(50):
        hard.found_nothing()
    slightly = [690, 690, 690, 690, 690, 690]
    assert any(easy.add(size, 31.0) for size in slightly)
    assert not any(hard.add(size, 31.0) for size in slightly)
    assert any(hard.add(2000, 32.0) for _ in range(6))
    for _ in range(50):
        hard.found_something()
    assert any(hard.add(size, 33.0) for size in slightly)


def view(chance: np.random.Generator, light: float = 0.0) -> Image:
    rows, columns = np.mgrid[:90, :160]
    picture = 90 + 40 * np.sin(rows / 9) + 30 * np.cos(columns / 14) + light
    return np.clip(picture + chance.normal(0, 3, picture.shape), 0, 255).astype(np.uint8)


@pytest.fixture
def learnt() -> PictureChange:
    change, chance = PictureChange(), np.random.default_rng(3)
    for _ in range(10 * MIN_LOOKS):
        change.add(view(chance))
        change.confirm_quiet()
    return change


def test_noise_and_light_are_no_change(learnt: PictureChange) -> None:
    chance = np.random.default_rng(4)
    assert not any(learnt.add(view(chance, light)) for light in (0, 0, 5, -5, 10))


@pytest.mark.parametrize(("height", "width"), [(14, 6), (8, 4), (40, 20)])
def test_somebody_is_a_change_wherever_he_stands(learnt: PictureChange, height: int, width: int) -> None:
    chance = np.random.default_rng(5)
    for x in range(2, 150, 25):
        picture = view(chance)
        picture[30 : 30 + height, x : x + width] = 230
        assert learnt.add(picture)


def test_before_enough_was_seen_nothing_is_a_change() -> None:
    change = PictureChange()
    assert not change.knows
    assert not change.add(np.zeros((90, 160), np.uint8))
    assert not change.add(np.full((90, 160), 255, np.uint8))
