"""The run's folder: which pairs are for what, and what is drawn for a picture."""

from dataclasses import replace
from pathlib import Path

import pytest

from graft.controlnet.evaluate import EvaluateConfig
from graft.controlnet.validation import ValidationConfig
from graft.controlnet.workshop import TeachConfig, Workshop
from graft.errors import ConfigError, StoreError
from graft.store.whole import write_json


def shop_of(folder: Path, count: int) -> Workshop:
    config = TeachConfig(
        images=folder / "pictures",
        validation=ValidationConfig(pictures=6),
        evaluate=EvaluateConfig(pictures=8),
    )
    shop = Workshop.begin(folder / f"run-{count}", config)
    write_json(shop.root / "keep" / "kept.json", {"ids": [f"{n}.png" for n in range(count)]})
    return shop


def test_every_pair_is_for_one_thing(tmp_path: Path) -> None:
    parts = shop_of(tmp_path, 100).begin_division()
    sizes = len(parts.training), len(parts.validation), len(parts.evaluation)
    assert sizes == (86, 6, 8)
    assert len({*parts.training, *parts.validation, *parts.evaluation}) == 100


def test_of_few_pairs_at_most_a_fifth_is_held_out_for_each(tmp_path: Path) -> None:
    parts = shop_of(tmp_path, 12).begin_division()
    assert (len(parts.training), len(parts.validation), len(parts.evaluation)) == (8, 2, 2)
    lonely = shop_of(tmp_path, 4).begin_division()
    assert (len(lonely.training), len(lonely.evaluation)) == (4, 0)


def test_what_was_learnt_from_is_never_evaluated_on(tmp_path: Path) -> None:
    shop = shop_of(tmp_path, 100)
    begun = shop.begin_division()
    wider = Workshop(shop.root, replace(shop.config, evaluate=EvaluateConfig(pictures=20)))
    assert wider.division() == begun
    with pytest.raises(StoreError, match="other pairs are kept or held out"):
        wider.begin_division()
    write_json(shop.root / "keep" / "kept.json", {"ids": ["1.png"]})
    assert shop.division() == begun
    with pytest.raises(StoreError, match="other pairs are kept or held out"):
        shop.begin_division()


def test_what_is_drawn_for_a_picture_hangs_on_its_id_and_the_seed(tmp_path: Path) -> None:
    shop = shop_of(tmp_path, 5)
    first, again, other = (shop.picture_rng(name).random() for name in ("a", "a", "b"))
    assert first == again != other
    seeded = Workshop(shop.root, replace(shop.config, seed=1))
    assert seeded.picture_rng("a").random() != first


def test_a_begun_run_is_refused_to_another_recipe_and_stays(tmp_path: Path) -> None:
    shop = shop_of(tmp_path, 5)
    write_json(shop.root / "annotate" / "recipe.json", {})
    with pytest.raises(StoreError, match="condition = 'canny', not 'tile'"):
        Workshop.begin(shop.root, replace(shop.config, condition="tile"))
    assert Workshop.resume(shop.root).config == shop.config


def test_an_unknown_condition_leaves_no_run_behind(tmp_path: Path) -> None:
    config = TeachConfig(images=tmp_path, condition="cany")
    with pytest.raises(ConfigError, match="did you mean 'canny'"):
        Workshop.begin(tmp_path / "run", config)
    assert not (tmp_path / "run" / "recipe.json").exists()


def test_a_stage_before_its_time_names_the_one_to_run_first(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="graft controlnet annotate"):
        Workshop.resume(tmp_path)
    shop = Workshop.begin(tmp_path / "run", TeachConfig(images=tmp_path))
    with pytest.raises(StoreError, match="graft controlnet annotate"):
        shop.shards()
    with pytest.raises(StoreError, match="graft controlnet keep"):
        shop.kept()
