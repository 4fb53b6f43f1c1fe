import pytest

from graft.config import load
from graft.controlnet.study.ablations import (
    INSUFFICIENT,
    ablation_variants,
    compare_ablations,
    picture_variants,
    prompts_of,
)
from graft.controlnet.workshop import TeachConfig
from graft.world.shipped import FOLDER
from small_pairs import pairs_of

DEMO = load(TeachConfig, FOLDER.parent / "controlnet.toml", ['images="pictures"'])


def test_each_kind_of_prompt_is_what_it_is_called() -> None:
    pairs = pairs_of(6)
    captions = [pair.caption for pair in pairs]
    assert prompts_of(pairs, "none") == [""] * 6
    assert prompts_of(pairs, "insufficient") == [INSUFFICIENT] * 6
    assert prompts_of(pairs, "perfect") == captions
    for own, other in zip(captions, prompts_of(pairs, "conflicting"), strict=True):
        assert other in captions
        assert other != own


def test_where_all_captions_are_the_same_none_can_conflict() -> None:
    [pair] = pairs_of(1)
    assert prompts_of([pair, pair], "conflicting") == [pair.caption] * 2


def test_each_ablation_changes_the_control_and_nothing_else() -> None:
    found = {one.name: one.config for one in ablation_variants(DEMO)}
    assert set(found) == {"zero", "gaussian", "light", "middle-only", "unlocked"}
    assert len({one.train.control for one in found.values()}) == 5
    assert len({one.train.learning_rate for one in found.values()}) == 1
    assert found["zero"].train.control == DEMO.train.control


def test_the_number_of_pictures_is_all_that_changes() -> None:
    variants = picture_variants(DEMO, (30, 100))
    assert [(one.name, one.config.train.pairs) for one in variants] == [
        ("30", 30),
        ("100", 100),
    ]
    assert len({one.config.train.steps for one in variants}) == 1


def test_what_an_ablation_loses_is_told_for_each_kind_of_prompt() -> None:
    kinds = ("none", "insufficient", "conflicting", "perfect")
    prompts = {
        "zero": {kind: {"mean": 0.8} for kind in kinds},
        "light": {kind: {"mean": 0.8 - 0.1 * index} for index, kind in enumerate(kinds)},
    }
    lost = compare_ablations({"zero": {}, "light": {}}, prompts)["lost"]
    assert lost == {"light": {kind: pytest.approx(0.1 * at) for at, kind in enumerate(kinds)}}
