"""Every recipe in `recipes/` is one that the command named in it takes."""

from pathlib import Path

import pytest

from graft.config import load
from graft.controlnet.workshop import TeachConfig as ControlConfig
from graft.controlnet.workshop import Workshop
from graft.toolformer.workshop import TeachConfig

RECIPES = sorted((Path(__file__).parents[1] / "recipes").glob("*.toml"))


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_a_recipe_is_read_and_says_how_it_is_run(recipe: Path) -> None:
    said = recipe.read_text(encoding="utf-8")
    if "graft controlnet teach" in said:
        shop = Workshop(recipe.parent, load(ControlConfig, recipe, ['images="pictures"']))
        assert shop.annotator.name == shop.config.condition
    else:
        assert load(TeachConfig, recipe, ['corpus="texts.jsonl"']).tools
    assert f"--config recipes/{recipe.name}" in said
    assert "# Expected: " in said


def test_there_is_a_recipe_for_real_text_and_one_for_photographs() -> None:
    assert {"word-problems", "photographs"} <= {path.stem for path in RECIPES}


def test_photographs_are_cut_mirrored_and_learnt_from_without_words() -> None:
    [recipe] = [path for path in RECIPES if path.stem == "photographs"]
    config = load(ControlConfig, recipe, ['images="pictures"'])
    assert config.tiles == 4
    assert config.train.flip
    assert config.train.no_prompt == 1.0
    # guidance sets the prompt against the empty one, and here they are the same
    assert config.validation.run.guidance == config.evaluate.run.guidance == 1.0
