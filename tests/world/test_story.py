import numpy as np
import pytest

from graft.world.story import Half, Story, Use, pair, pick, tell, vary


def drawn_pairs(half: Half, firsts: int, seconds: int) -> set[tuple[int, int]]:
    rng = np.random.default_rng(0)
    return {pair(rng, range(firsts), range(seconds), half) for _ in range(4000)}


@pytest.mark.parametrize(("firsts", "seconds"), [(12, 8), (16, 4), (4, 8)])
def test_of_the_pairs_of_parts_each_is_in_one_half_and_every_fourth_is_held(
    firsts: int, seconds: int
) -> None:
    read, held = drawn_pairs("read", firsts, seconds), drawn_pairs("held", firsts, seconds)
    assert not read & held
    assert len(read) + len(held) == firsts * seconds
    assert len(held) * 4 == firsts * seconds


@pytest.mark.parametrize(("firsts", "seconds"), [(12, 8), (16, 4), (4, 8)])
def test_every_part_stands_in_pairs_of_both_halves(firsts: int, seconds: int) -> None:
    for pairs in (drawn_pairs("read", firsts, seconds), drawn_pairs("held", firsts, seconds)):
        assert {i for i, _ in pairs} == set(range(firsts))
        assert {j for _, j in pairs} == set(range(seconds))


def test_a_shape_is_varied_and_its_slots_filled() -> None:
    rng = np.random.default_rng(0)
    told = {vary(rng, "{P} <saw|met> {Q}.", {"P": "Mara", "Q": "Teren"}) for _ in range(20)}
    assert told == {"Mara saw Teren.", "Mara met Teren."}


def test_a_slot_that_is_not_filled_is_an_error() -> None:
    with pytest.raises(KeyError):
        vary(np.random.default_rng(0), "{P} saw {Q}.", {"P": "Mara"})


def test_a_use_stands_before_the_space_in_front_of_its_answer() -> None:
    use = Use(0, "Calculator", "1 + 2", "3", "3")
    story = tell("amounts", ["One and two.", "", "It is @3."], use)
    assert story.text == "One and two. It is 3."
    [found] = story.uses
    assert story.text[: found.position] == "One and two. It is"
    assert found.argument == "1 + 2"


def test_without_a_mark_or_a_use_a_story_has_no_use() -> None:
    use = Use(0, "Calculator", "1 + 2", "3", "3")
    assert tell("plain", ["It is 3."], use) == Story("plain", "It is 3.")
    assert tell("plain", ["It is @3."], None) == Story("plain", "It is 3.")


def test_every_item_is_picked() -> None:
    rng = np.random.default_rng(0)
    assert {pick(rng, "abc") for _ in range(50)} == set("abc")
