"""Every recipe in `recipes/` is one that the command named in it takes."""

from pathlib import Path

import pytest

from graft.config import load
from graft.toolformer.workshop import TeachConfig

RECIPES = sorted((Path(__file__).parents[1] / "recipes").glob("*.toml"))


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_a_recipe_is_read_and_says_how_it_is_run(recipe: Path) -> None:
    config = load(TeachConfig, recipe, ['corpus="texts.jsonl"'])
    assert config.tools
    said = recipe.read_text(encoding="utf-8")
    assert f"--config recipes/{recipe.name}" in said
    assert "# Expected: " in said


def test_there_is_a_recipe_for_real_text() -> None:
    assert "word-problems" in {path.stem for path in RECIPES}
