import io
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from graft.config import fill, to_table
from graft.controlnet.condition import Condition
from graft.controlnet.dataset import Pair
from graft.controlnet.duplicates import DuplicateConfig, find_duplicates, sign
from graft.controlnet.keep import (
    KeepConfig,
    Kept,
    choose,
    contact_sheet,
    describe,
    examine,
    short_reason,
)
from graft.controlnet.legibility import has_blocks, is_greyscale
from graft.controlnet.pictures import fit_picture
from graft.errors import ConfigError
from graft.world.pictures import draw_picture

SETTINGS = KeepConfig()


def picture(seed: int, size: int = 64) -> np.ndarray:
    return draw_picture(np.random.default_rng(seed), size=size).pixels_HWC


def lines(pixels_HWC: np.ndarray) -> np.ndarray:
    return np.repeat(cv2.Canny(pixels_HWC, 100, 200)[..., None], 3, axis=2)


def pair(name: str, pixels_HWC: np.ndarray, condition_HWC: np.ndarray | None = None) -> Pair:
    condition_HWC = lines(pixels_HWC) if condition_HWC is None else condition_HWC
    return Pair(name, pixels_HWC, f"picture {name}", Condition("canny", condition_HWC))


def of_kind(kind: str, one: Pair, condition_HWC: np.ndarray) -> Pair:
    return replace(one, condition=Condition(kind, condition_HWC))


def drawn(count: int, size: int = 64) -> list[Pair]:
    return [pair(str(seed), picture(seed, size)) for seed in range(count)]


def kept(pairs: Sequence[Pair], settings: KeepConfig = SETTINGS) -> Kept:
    return choose(examine(pairs, settings), settings)


def verdict(one: Pair, settings: KeepConfig = SETTINGS) -> str:
    return kept([one], settings).verdicts[one.id]


def flat(level: int, size: int = 64) -> np.ndarray:
    return np.full((size, size, 3), level, dtype=np.uint8)


def as_jpeg(pixels_HWC: np.ndarray, quality: int = 80) -> np.ndarray:
    file = io.BytesIO()
    Image.fromarray(pixels_HWC).save(file, "JPEG", quality=quality)
    return np.array(Image.open(file))


def as_size(pixels_HWC: np.ndarray, size: int) -> np.ndarray:
    return fit_picture(fit_picture(pixels_HWC, size), pixels_HWC.shape[0])


def lighter(pixels_HWC: np.ndarray, levels: int) -> np.ndarray:
    return np.clip(pixels_HWC.astype(int) + levels, 0, 255).astype(np.uint8)


# --- duplicates


def test_of_700_pictures_none_is_dropped() -> None:
    found = kept(drawn(700))
    assert {reason for reason in found.verdicts.values() if reason} == set()
    assert found.warnings == ()


@pytest.mark.parametrize(
    ("change", "least"),
    [
        (np.copy, 1.0),
        (as_jpeg, 0.99),
        (lambda pixels_HWC: as_size(pixels_HWC, 56), 1.0),
        (lambda pixels_HWC: as_size(pixels_HWC, 80), 1.0),
        (lambda pixels_HWC: lighter(pixels_HWC, 20), 0.97),
        (lambda pixels_HWC: lighter(pixels_HWC, -20), 1.0),
    ],
    ids=["copy", "jpeg", "smaller", "larger", "lighter", "darker"],
)
def test_a_copy_that_was_changed_a_little_is_found(change, least: float) -> None:
    originals = drawn(200)
    copies = [pair(f"{one.id}-again", change(one.pixels_HWC)) for one in originals]
    found = kept([*originals, *copies])
    named = [found.verdicts[f"{n}-again"] == f"near-duplicate of {n}" for n in range(200)]
    assert np.mean(named) >= least
    assert [found.verdicts[str(n)] for n in range(200)] == [""] * 200


def test_of_a_group_the_first_good_one_stays_and_the_others_name_it() -> None:
    pixels_HWC = picture(1)
    pairs = [
        pair("empty", pixels_HWC, flat(0)),
        pair("first", pixels_HWC),
        pair("other", picture(2)),
        pair("again", as_jpeg(pixels_HWC)),
        pair("third", pixels_HWC),
    ]
    found = kept(pairs)
    assert found.ids == ("first", "other")
    assert found.verdicts == {
        "empty": "empty condition",
        "first": "",
        "other": "",
        "again": "near-duplicate of first",
        "third": "near-duplicate of first",
    }
    assert kept(pairs, KeepConfig(drop_duplicates=False)).ids[-2:] == ("again", "third")


def test_the_fast_search_finds_what_comparing_all_with_all_finds() -> None:
    rng = np.random.default_rng(0)
    base = [sign(picture(seed)) for seed in range(12)]
    signatures = [
        replace(
            one,
            luma_L=(one.luma_L + rng.normal(0, 0.2, 256)).astype(np.float16),
            brightness=one.brightness + float(rng.normal(0, 20)),
        )
        for one in base * 25
    ]
    settings, slow = DuplicateConfig(), dict[int, int]()
    for later in range(len(signatures)):
        for earlier in range(later):
            two = [signatures[earlier], signatures[later]]
            if earlier not in slow and find_duplicates(two, settings):
                slow[later] = earlier
                break
    assert 50 < len(slow) < 288
    assert find_duplicates(signatures, settings) == slow


# --- pairs that are of no use


def test_a_condition_without_lines_is_empty_and_one_full_of_them_saturated() -> None:
    pixels_HWC = picture(0)
    dot_HWC = flat(0)
    dot_HWC[0, :4] = 255  # 4 of 4096 pixels are less than 0.1%
    assert verdict(pair("a", pixels_HWC, dot_HWC)) == "empty condition"
    dot_HWC[0, 4] = 255
    assert verdict(pair("a", pixels_HWC, dot_HWC)) == ""
    half_HWC = flat(0)
    half_HWC[:32] = 255
    assert verdict(pair("a", pixels_HWC, half_HWC)) == ""


def test_a_set_of_lines_on_white_is_told_once_and_judged_by_its_lines() -> None:
    pairs = [replace(one, condition=Condition("canny", 255 - lines(one.pixels_HWC)))
             for one in drawn(30)]  # fmt: skip
    found = kept(
        [*pairs, pair("blank", picture(99), flat(255)), pair("ink", picture(98), flat(0))]
    )
    assert len(found.ids) == 30
    assert found.verdicts["blank"] == "empty condition"
    assert found.verdicts["ink"] == "saturated condition"
    assert [one.partition(";")[0] for one in found.warnings] == [
        "the conditions are dark lines on white"
    ]


def test_lines_everywhere_among_good_ones_are_saturated() -> None:
    most_HWC = flat(0)
    most_HWC[:40] = 255
    found = kept([*drawn(5), pair("full", picture(50), most_HWC)])
    assert found.verdicts["full"] == "saturated condition"


def test_any_other_condition_is_empty_where_it_is_flat() -> None:
    one = pair("a", picture(0))
    assert verdict(of_kind("tile", one, flat(90))) == "empty condition"
    assert verdict(of_kind("tile", one, picture(0))) == ""
    white_HWC = flat(255)
    white_HWC[:1, :20] = 0  # 20 of 4096 pixels
    assert verdict(of_kind("threshold", one, white_HWC)) == "saturated condition"


def test_another_size_or_shape_is_dropped() -> None:
    found = kept(
        [
            *drawn(3),
            pair("large", picture(7, 96)),
            pair("half", picture(8), lines(picture(8, 32))),
            replace(pair("wide", picture(9)), faults=("condition of another shape",)),
        ]
    )
    assert found.ids == ("0", "1", "2")
    assert list(found.verdicts.values())[3:] == [
        "other size",
        "condition of another shape",
        "condition of another shape",
    ]


def test_a_missing_caption_and_jpeg_are_borne_unless_told_otherwise() -> None:
    pairs = [
        *drawn(3),
        replace(pair("mute", picture(5)), caption="  "),
        replace(pair("soft", picture(6)), faults=("jpeg condition", "transparent")),
    ]
    found = kept(pairs)
    assert len(found.ids) == 5
    assert found.faults == {
        "jpeg condition": ("soft",),
        "no caption": ("mute",),
        "transparent": ("soft",),
    }
    strict = kept(pairs, KeepConfig(drop_uncaptioned=True, drop_jpeg=True))
    assert (strict.verdicts["mute"], strict.verdicts["soft"]) == (
        "no caption",
        "jpeg condition",
    )


# --- traces


@pytest.mark.parametrize("quality", [50, 80, 90])
def test_lines_that_were_a_jpeg_are_known_by_their_blocks(quality: int) -> None:
    clean = [lines(picture(seed, 256)) for seed in range(20)]
    assert not any(has_blocks(one_HWC) for one_HWC in clean)
    assert np.mean([has_blocks(as_jpeg(one_HWC, quality)) for one_HWC in clean]) >= 0.8


def test_ringing_of_a_scaled_condition_is_not_jpeg() -> None:
    scaled = [fit_picture(lines(picture(seed, 192)), 256) for seed in range(20)]
    assert sum(map(has_blocks, scaled)) == 0


def test_a_picture_without_colour_is_known_in_spite_of_noise() -> None:
    grey_HWC = np.repeat(picture(3).mean(axis=2)[..., None], 3, axis=2).astype(np.uint8)
    assert is_greyscale(grey_HWC)
    assert is_greyscale(as_jpeg(grey_HWC))
    grey_HWC[:8, :8, 0] = 255
    assert not is_greyscale(grey_HWC)


# --- the whole set


def test_faults_of_many_pairs_are_told_as_their_share() -> None:
    pairs = drawn(40)
    for index in range(10):
        grey_HWC = np.repeat(picture(index)[..., 1:2], 3, axis=2)
        pairs[index] = replace(pairs[index], pixels_HWC=grey_HWC)
    pairs[20:24] = [replace(one, caption="") for one in pairs[20:24]]
    pairs += [pair(f"again {n}", picture(30 + n % 10)) for n in range(10)]
    assert [one.partition(";")[0] for one in kept(pairs).warnings] == [
        "20% of the pairs are near-duplicates",
        "25% of the pictures are greyscale",
        "10% of the pictures have no caption",
    ]
    assert kept(pairs, KeepConfig(warn_share=0.5)).warnings == ()


def test_captions_that_are_all_the_same_are_told() -> None:
    pairs = [replace(one, caption="a photo") for one in drawn(20)]
    assert kept(pairs).warnings[0].startswith("the captions are all the same")
    assert kept([*pairs[:19], pair("x", picture(50))]).warnings == ()


def test_swapped_colours_are_told_for_conditions_that_have_colours() -> None:
    blurred = [of_kind("tile", one, cv2.blur(one.pixels_HWC, (9, 9))) for one in drawn(40)]
    assert kept(blurred).warnings == ()
    swapped = [
        of_kind("tile", one, np.ascontiguousarray(one.condition.pixels_HWC[..., ::-1]))
        for one in blurred
    ]
    (warning,) = kept(swapped).warnings
    assert "red and blue swapped" in warning


# --- what is told


def test_a_report_counts_reasons_and_names_the_first() -> None:
    pairs = [*drawn(5), *[pair(f"again {n}", picture(n % 5)) for n in range(12)]]
    pairs.append(pair("empty", picture(70), flat(0)))
    examined = list(examine(pairs, SETTINGS))
    report = describe(examined, choose(examined, SETTINGS), SETTINGS)
    assert json.loads(json.dumps(report)) == report
    assert (report["pairs"], report["kept"]) == (18, 5)
    assert report["dropped"] == {"empty condition": 1, "near-duplicate": 12}
    first = report["first"]
    assert isinstance(first, dict)
    assert first["empty condition"] == {"empty": "empty condition"}
    assert len(first["near-duplicate"]) == 10
    assert first["near-duplicate"]["again 7"] == "near-duplicate of 2"


def test_examples_show_a_copy_behind_its_original() -> None:
    found = kept([*drawn(8), pair("again", picture(3)), pair("empty", picture(9), flat(0))])
    assert found.examples(4) == {
        "kept": ("0", "1", "2", "3"),
        "near-duplicate": ("3", "again"),
        "empty condition": ("empty",),
    }
    assert short_reason("near-duplicate of 3") == "near-duplicate"


def test_the_contact_sheet_is_a_picture_with_a_row_for_each_reason(tmp_path: Path) -> None:
    one, two = drawn(2)
    contact_sheet({"kept": [one, two], "empty condition": [two]}, tmp_path / "a.png")
    contact_sheet({"kept": [one, two]}, tmp_path / "b.png")
    contact_sheet({}, tmp_path / "c.png")
    sizes = []
    for name in "abc":
        with Image.open(tmp_path / f"{name}.png") as image:
            sizes.append(image.size)
    assert sizes[0][1] == 2 * sizes[1][1]
    assert sizes[0][0] == sizes[1][0] == 2 * sizes[2][0]
    odd = replace(one, id="$\\frac{x$ a very long name of a picture.png")
    contact_sheet({"near-duplicate": [odd]}, tmp_path / "d.png")


def test_nothing_gives_nothing() -> None:
    found = kept([])
    assert (found.ids, found.warnings, found.examples()) == ((), (), {})
    assert describe([], found, SETTINGS)["kept"] == 0


def test_settings_are_read_from_a_recipe_and_checked() -> None:
    assert fill(KeepConfig, to_table(SETTINGS)) == SETTINGS
    assert fill(KeepConfig, {"duplicates": {"luma": 0.1}}).duplicates.luma == 0.1
    with pytest.raises(ConfigError, match="warn_share is a share"):
        fill(KeepConfig, {"warn_share": 2})
    with pytest.raises(ConfigError, match="luma is to be greater than 0"):
        fill(KeepConfig, {"duplicates": {"luma": 0}})
