import itertools

import numpy as np
import pytest

from graft.world.pictures import (
    COLOURS,
    PLACES,
    Half,
    Picture,
    Thing,
    draw_jumble,
    draw_picture,
    is_held_out,
    paint,
)
from graft.world.shapes import SHAPES


def drawn(half: Half = "read", count: int = 150) -> list[Picture]:
    return [draw_picture(np.random.default_rng((3, index)), half) for index in range(count)]


def held_out() -> list[tuple[str, str]]:
    return [pair for pair in itertools.product(SHAPES, COLOURS) if is_held_out(*pair)]


@pytest.mark.parametrize("half", ["read", "held"])
def test_the_same_seed_draws_the_same_picture_and_another_seed_another(half: Half) -> None:
    one, again, other = (draw_picture(np.random.default_rng(seed), half) for seed in (5, 5, 6))
    assert one.pixels_HWC.tobytes() == again.pixels_HWC.tobytes()
    assert (one.caption, one.things) == (again.caption, again.things)
    assert one.pixels_HWC.tobytes() != other.pixels_HWC.tobytes()


def test_every_ninth_pair_is_held_out_and_at_least_one_of_every_shape() -> None:
    assert len(held_out()) == 9
    assert {shape for shape, _ in held_out()} == set(SHAPES)
    assert len({colour for _, colour in held_out()}) == 9


def test_a_picture_to_learn_from_never_shows_a_held_out_pair() -> None:
    things = [thing for picture in drawn() for thing in picture.things]
    assert not [thing for thing in things if is_held_out(thing.shape, thing.colour)]
    assert {thing.shape for thing in things} == set(SHAPES)
    assert {thing.colour for thing in things} == set(COLOURS)


def test_a_held_out_picture_shows_a_held_out_pair_first_and_no_other() -> None:
    pictures = drawn("held")
    for picture in pictures:
        first, *others = [is_held_out(one.shape, one.colour) for one in picture.things]
        assert first
        assert not any(others)
    firsts = {(picture.things[0].shape, picture.things[0].colour) for picture in pictures}
    assert firsts == set(held_out())


def test_things_differ_in_colour_from_the_ground_and_from_each_other() -> None:
    for picture in drawn() + drawn("held"):
        colours = [picture.ground, *(thing.colour for thing in picture.things)]
        assert len(set(colours)) == len(colours)


def test_there_are_one_to_three_things_and_each_is_near_its_place() -> None:
    pictures = drawn()
    assert {len(picture.things) for picture in pictures} == {1, 2, 3}
    for thing in (thing for picture in pictures for thing in picture.things):
        x, y = PLACES[thing.place]
        assert max(abs(thing.x - x), abs(thing.y - y)) <= 0.06


def test_a_caption_tells_each_thing_in_turn_and_nothing_else() -> None:
    for picture in drawn():
        told, *ground = picture.caption.split(" on a")
        parts = told.replace(" and ", ", ").split(", ")
        assert len(parts) == len(picture.things)
        for part, thing in zip(parts, picture.things, strict=True):
            article, *words = part.split()
            named = f"{thing.size} {thing.colour} {thing.shape}".split()
            assert article == ("an" if words[0] == "orange" else "a")
            assert words in (named, [*named, *thing.place.split()])
        how = "" if picture.pattern == "plain" else f"{picture.pattern} "
        article = "n" if picture.ground == "orange" else ""
        assert ground in ([], [f"{article} {picture.ground} {how}background"])


def test_places_and_ground_are_told_often_but_not_always() -> None:
    captions = [picture.caption for picture in drawn()]
    assert 0.85 < np.mean(["background" in caption for caption in captions]) < 0.98
    assert 0.5 < np.mean([tells_a_place(caption) for caption in captions]) < 0.85


def tells_a_place(caption: str) -> bool:
    return " at the " in caption or "in the middle" in caption


def test_whether_places_are_told_can_be_asked_for_and_changes_nothing_else() -> None:
    for seed in range(80):
        placed = seed % 2 == 0
        asked = draw_picture(np.random.default_rng(seed), placed=placed)
        free = draw_picture(np.random.default_rng(seed))
        assert tells_a_place(asked.caption) == placed
        assert np.array_equal(asked.pixels_HWC, free.pixels_HWC)
        assert ("background" in asked.caption) == ("background" in free.caption)


@pytest.mark.parametrize("shape", [shape for shape in SHAPES if shape != "ring"])
@pytest.mark.parametrize("colour", COLOURS)
def test_the_middle_of_a_large_thing_is_of_its_colour(shape: str, colour: str) -> None:
    ground = "white" if colour != "white" else "blue"
    thing = Thing(shape, colour, "large", "in the middle", 0.0, 0.0, 0.55)
    pixels_HWC = paint(np.random.default_rng(1), (thing,), ground, "plain")
    middle_C = pixels_HWC[30:34, 30:34].mean((0, 1))
    assert np.abs(middle_C - COLOURS[colour]).max() < 30
    corner_C = pixels_HWC[-4:, -4:].mean((0, 1))
    assert np.abs(corner_C - COLOURS[ground]).max() < 35


def test_through_a_ring_the_ground_is_seen() -> None:
    thing = Thing("ring", "red", "large", "in the middle", 0.0, 0.0, 0.55)
    pixels_HWC = paint(np.random.default_rng(1), (thing,), "turquoise", "plain")
    middle_C, on_ring_C = pixels_HWC[32, 32], pixels_HWC[32, 32 + round(0.72 * 0.55 * 32)]
    assert np.abs(middle_C - np.array(COLOURS["turquoise"])).max() < 35
    assert np.abs(on_ring_C - np.array(COLOURS["red"])).max() < 50


def test_a_second_shade_of_the_ground_is_28_to_55_levels_away() -> None:
    for seed in range(5):
        pixels_HWC = paint(np.random.default_rng(seed), (), "black", "checked")
        dark, bright = np.percentile(pixels_HWC.mean(2), [10, 90])
        assert 20 < bright - dark < 65


def test_pixels_are_bytes_of_the_size_asked_for() -> None:
    for size in (64, 128):
        pixels_HWC = draw_picture(np.random.default_rng(2), size=size).pixels_HWC
        assert pixels_HWC.dtype == np.uint8
        assert pixels_HWC.shape == (size, size, 3)


def test_a_larger_picture_shows_the_same_in_more_detail() -> None:
    for seed in range(10):
        small = draw_picture(np.random.default_rng(seed))
        large = draw_picture(np.random.default_rng(seed), size=128)
        assert large.things == small.things
        halved_HWC = large.pixels_HWC.reshape(64, 2, 64, 2, 3).mean((1, 3))
        assert np.abs(halved_HWC - small.pixels_HWC).mean() < 4.0


def test_a_jumble_is_pixels_of_many_colours_from_a_seed() -> None:
    one, again, other = (draw_jumble(np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert one.dtype == np.uint8
    assert one.shape == (64, 64, 3)
    assert one.tobytes() == again.tobytes() != other.tobytes()
    assert len(np.unique(one.reshape(-1, 3) // 32, axis=0)) > 5
    assert draw_jumble(np.random.default_rng(1), size=96).shape == (96, 96, 3)
