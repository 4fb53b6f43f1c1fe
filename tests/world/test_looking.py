from collections.abc import Callable

import numpy as np
import pytest
from scipy import ndimage

from graft.world.looking import Agreement, Sight, asked_of, finds, look
from graft.world.pictures import COLOURS, PATTERNS, Picture, Thing, draw_picture, paint
from graft.world.shapes import SHAPES

Change = Callable[[np.ndarray, int], np.ndarray]


@pytest.fixture(scope="module")
def pictures() -> list[Picture]:
    return [draw_picture(np.random.default_rng((77, index))) for index in range(120)]


def pairs_of(picture: Picture) -> tuple[tuple[str, str], ...]:
    return tuple((thing.colour, thing.shape) for thing in picture.things)


def left(pixels_HWC: np.ndarray, index: int) -> np.ndarray:
    del index
    return pixels_HWC


def roughened(pixels_HWC: np.ndarray, index: int) -> np.ndarray:
    blurred_HWC = ndimage.gaussian_filter(pixels_HWC.astype(float), (0.7, 0.7, 0))
    return as_pixels(
        blurred_HWC + np.random.default_rng((78, index)).normal(0, 6, blurred_HWC.shape)
    )


def as_pixels(canvas_HWC: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(canvas_HWC), 0, 255).astype(np.uint8)


def judged(pictures: list[Picture], change: Change, ask_for: int = 0) -> dict[str, float]:
    """The mean agreement of each picture with what the `ask_for`-th after it shows."""
    asked = [*pictures[ask_for:], *pictures[:ask_for]]
    agreements = [
        finds(change(picture.pixels_HWC, index), pairs_of(other), other.ground)
        for index, (picture, other) in enumerate(zip(pictures, asked, strict=True))
    ]
    names = ("colours", "shapes", "pairs", "ground")
    return {
        name: float(np.mean([getattr(agreement, name) for agreement in agreements]))
        for name in names
    }


def one_thing(
    shape: str,
    *,
    colour: str = "red",
    ground: str = "yellow",
    pattern: str = "plain",
    x: float = 0.0,
    y: float = 0.0,
    seed: int = 0,
    size: int = 64,
) -> np.ndarray:
    thing = Thing(shape, colour, "", "", x, y, 0.36)
    return paint(np.random.default_rng(seed), (thing,), ground, pattern, size)


def pairs_seen(sight: Sight) -> list[tuple[str, str]]:
    return [(one.colour, one.shape) for one in sight.things]


def test_in_drawn_pictures_what_was_drawn_is_found(pictures: list[Picture]) -> None:
    found = judged(pictures, left)
    assert found["pairs"] >= 0.99
    assert found["shapes"] >= 0.99
    assert found["colours"] >= 0.995
    assert found["ground"] >= 0.995


def test_in_blurred_and_noisy_pictures_it_is_found_too(pictures: list[Picture]) -> None:
    found = judged(pictures, roughened)
    assert found["pairs"] >= 0.97
    assert found["ground"] >= 0.99


def test_what_another_picture_shows_is_not_found(pictures: list[Picture]) -> None:
    found = judged(pictures, left, ask_for=1)
    assert found["pairs"] <= 0.06
    assert found["colours"] <= 0.3
    assert found["shapes"] <= 0.3
    assert found["ground"] <= 0.25


@pytest.mark.parametrize("change", [left, roughened])
def test_nothing_is_seen_that_was_not_drawn(pictures: list[Picture], change: Change) -> None:
    more = [
        len(look(change(picture.pixels_HWC, index)).things) > len(picture.things)
        for index, picture in enumerate(pictures)
    ]
    assert np.mean(more) <= 0.01


def test_things_are_seen_where_they_were_drawn(pictures: list[Picture]) -> None:
    for picture in pictures:
        drawn = {thing.colour: thing for thing in picture.things}
        for seen in look(picture.pixels_HWC).things:
            if seen.colour in drawn:
                thing = drawn[seen.colour]
                # a triangle's centre of mass lies below the middle of its box
                lower = 0.25 * thing.radius if thing.shape == "triangle" else 0.0
                assert np.hypot(seen.x - thing.x, seen.y - thing.y - lower) < 0.2 * thing.radius


@pytest.mark.parametrize("colour", COLOURS)
@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_patterned_ground_is_one_colour_with_nothing_on_it(colour: str, pattern: str) -> None:
    for seed in range(3):
        pixels_HWC = paint(np.random.default_rng(seed), (), colour, pattern)
        assert look(pixels_HWC) == Sight(colour, ())


@pytest.mark.parametrize("shape", SHAPES)
def test_a_thing_is_known_by_the_part_of_it_that_is_in_the_picture(shape: str) -> None:
    for seed, x in enumerate([0.86, -0.86]):
        sight = look(one_thing(shape, x=x, seed=seed))
        assert pairs_seen(sight) == [("red", shape)]


def test_a_large_picture_is_looked_at_too() -> None:
    sight = look(one_thing("square", x=0.4, y=-0.3, size=160))
    assert sight.ground == "yellow"
    assert pairs_seen(sight) == [("red", "square")]
    assert (sight.things[0].x, sight.things[0].y) == pytest.approx((0.4, -0.3), abs=0.02)
    assert sight.things[0].area == pytest.approx((0.8 * 0.36) ** 2, rel=0.05)


@pytest.mark.parametrize("strength", [10, 20, 30, 80])
@pytest.mark.parametrize("channels", [1, 3])
def test_noise_shows_no_thing(strength: int, channels: int) -> None:
    for seed in range(5):
        noise = np.random.default_rng(seed).normal(128, strength, (64, 64, channels))
        assert look(as_pixels(np.broadcast_to(noise, (64, 64, 3)))).things == ()


@pytest.mark.parametrize("level", [0, 128, 255])
def test_an_even_picture_shows_no_thing(level: int) -> None:
    assert look(np.full((64, 64, 3), level, dtype=np.uint8)).things == ()


def test_agreement_counts_the_share_of_what_was_asked_for() -> None:
    pixels_HWC = one_thing("circle")
    asked = [("red", "circle"), ("red", "star"), ("blue", "circle"), ("blue", "star")]
    assert finds(pixels_HWC, asked[:1], "yellow") == Agreement(1.0, 1.0, 1.0, True)
    assert finds(pixels_HWC, asked[1:2], "green") == Agreement(1.0, 0.0, 0.0, False)
    assert finds(pixels_HWC, asked, None) == Agreement(0.25, 0.25, 0.25, True)


def test_one_thing_does_not_count_twice() -> None:
    two_same = finds(one_thing("circle"), [("red", "circle")] * 2)
    assert two_same == Agreement(0.5, 0.5, 0.5, True)


def test_a_colour_and_a_shape_in_different_things_are_no_pair() -> None:
    things = (
        Thing("circle", "red", "", "", -0.5, 0, 0.36),
        Thing("star", "blue", "", "", 0.5, 0, 0.36),
    )
    pixels_HWC = paint(np.random.default_rng(0), things, "white", "plain")
    swapped = finds(pixels_HWC, [("blue", "circle"), ("red", "star")])
    assert swapped == Agreement(1.0, 1.0, 0.0, True)


def test_asking_for_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="no thing"):
        finds(one_thing("circle"), [])


def test_a_caption_asks_for_what_its_picture_shows(pictures: list[Picture]) -> None:
    for picture in pictures:
        things, ground = asked_of(picture.caption)
        assert things == pairs_of(picture)
        assert ground == (picture.ground if "background" in picture.caption else None)


def test_a_caption_is_read_in_all_its_forms() -> None:
    assert asked_of("a large red circle in the middle") == ((("red", "circle"),), None)
    assert asked_of(
        "an orange ring at the top left, a small white heart at the top right and "
        "a black star at the bottom on an orange striped background"
    ) == ((("orange", "ring"), ("white", "heart"), ("black", "star")), "orange")
    assert asked_of("a photo of a cat") == ((), None)
