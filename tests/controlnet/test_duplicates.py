"""Signatures of pictures: what makes two of them one, and what does not."""

from dataclasses import replace

import cv2
import numpy as np

from graft.controlnet.duplicates import DuplicateConfig, find_duplicates, sign
from graft.world.pictures import draw_picture, paint


def flat(level: int) -> np.ndarray:
    return np.full((64, 64, 3), level, dtype=np.uint8)


def test_a_picture_in_which_only_a_colour_differs_is_another_one() -> None:
    signatures = []
    for seed in range(60):
        drawn_one = draw_picture(np.random.default_rng(seed))
        thing, *others = drawn_one.things
        taken = {drawn_one.ground, thing.colour}
        for colour in sorted({"red", "green", "blue", "yellow", "purple"} - taken)[:2]:
            things = (replace(thing, colour=colour), *others)
            pixels_HWC = paint(
                np.random.default_rng(seed), things, drawn_one.ground, drawn_one.pattern
            )
            signatures.append(sign(pixels_HWC))
    assert find_duplicates(signatures, DuplicateConfig()) == {}


def curve(number: int) -> np.ndarray:
    """A thin curve of its own in a colour of its own, between axes that all have in common."""
    rng = np.random.default_rng(number)
    pixels_HWC = np.full((128, 128, 3), 255, np.uint8)
    pixels_HWC[118, 10:118] = pixels_HWC[10:118, 10] = 0
    across = np.arange(108)
    waves, begin, height = rng.uniform(0.5, 5), rng.uniform(0, 6), rng.uniform(5, 45)
    up = 64 + height * np.sin(waves * across / 20 + begin)
    points = np.stack([10 + across, up], axis=1).round().astype(np.int32)
    color = [int(one) for one in rng.integers(0, 200, 3)]
    return cv2.polylines(pixels_HWC, [points], isClosed=False, color=color, thickness=2)


def test_curves_between_the_same_axes_are_no_duplicates_and_their_copies_are() -> None:
    curves = [curve(number) for number in range(200)]
    signatures = [sign(one) for one in curves]
    assert find_duplicates(signatures, DuplicateConfig()) == {}
    assert find_duplicates(signatures, DuplicateConfig(luma_fine=255.0))
    for number, one in enumerate(curves[:20]):
        packed = cv2.imencode(".jpg", one, [cv2.IMWRITE_JPEG_QUALITY, 80])[1]
        smaller = cv2.resize(one, (64, 64), interpolation=cv2.INTER_AREA)
        for copy in (cv2.imdecode(packed, cv2.IMREAD_COLOR), smaller):
            two = [signatures[number], sign(copy)]
            assert find_duplicates(two, DuplicateConfig()) == {1: 0}


def test_grey_of_another_hue_with_the_same_luma_is_another_picture() -> None:
    one_HWC, other_HWC = flat(128), flat(128)
    one_HWC[16:48, 16:48] = (200, 60, 60)
    other_HWC[16:48, 16:48] = (60, 113, 142)  # nearly the same luma
    signatures = [sign(one_HWC), sign(other_HWC)]
    assert np.abs(signatures[0].brightness - signatures[1].brightness) < 1
    assert find_duplicates(signatures, DuplicateConfig()) == {}


def test_nothing_and_one_picture_have_no_duplicates() -> None:
    assert find_duplicates([], DuplicateConfig()) == {}
    assert find_duplicates([sign(flat(9))], DuplicateConfig()) == {}
    assert find_duplicates([sign(flat(9)), sign(flat(200))], DuplicateConfig()) == {}
