"""Heat over a picture: warm where somebody was, untouched where nobody was."""

from __future__ import annotations

import numpy as np

from streamer.clips.drawing import draw_heat


def test_the_hottest_cell_is_red_and_an_empty_corner_is_as_it_was() -> None:
    image = np.full((90, 160, 3), 100, np.uint8)
    seconds = [0.0] * 128
    seconds[16 * 4 + 4] = 240.0  # fifth row, fifth column
    draw_heat(image, {"columns": 16, "rows": 8, "seconds": seconds})
    blue, _, red = image[int(90 * 4.5 / 8), int(160 * 4.5 / 16)].tolist()
    assert red > blue + 30
    assert (image[:10, -40:] == 100).all()


def test_nobody_leaves_the_picture_alone() -> None:
    image = np.full((90, 160, 3), 100, np.uint8)
    draw_heat(image, {"columns": 4, "rows": 2, "seconds": [0.0] * 8})
    assert (image == 100).all()
