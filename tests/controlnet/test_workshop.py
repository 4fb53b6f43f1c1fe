"""The run's folder: which pairs are for what, and what is drawn for a picture."""

from dataclasses import replace
from pathlib import Path

import pytest

from graft.config import load, to_table
from graft.controlnet.evaluate import EvaluateConfig
from graft.controlnet.teach import evaluate_run, train_control
from graft.controlnet.validation import ValidationConfig
from graft.controlnet.workshop import TeachConfig, Workshop
from graft.errors import ConfigError, StoreError
from graft.store.runs import held
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


def begun_shop(folder: Path) -> Workshop:
    """One whose pictures are annotated, and whose training has begun."""
    shop = shop_of(folder, 20)
    write_json(shop.root / "annotate" / "recipe.json", {})
    shop.begin_division()
    return shop


def test_a_begun_runs_recipe_is_changed_by_a_stage_that_takes_its_settings_only(
    tmp_path: Path,
) -> None:
    shop = shop_of(tmp_path, 20)
    write_json(shop.root / "annotate" / "recipe.json", {})
    later = Workshop.resume(shop.root, ["train.steps=9"])
    assert Workshop.resume(shop.root).config == shop.config
    later.settle()
    assert Workshop.resume(shop.root).config == later.config


def test_what_a_begun_training_goes_by_is_changed_by_the_training_only(
    tmp_path: Path,
) -> None:
    shop = begun_shop(tmp_path)
    given = ["train.steps=9", "validation.pictures=3", "evaluate.pictures=2"]
    later = Workshop.resume(shop.root, [*given, "evaluate.choices=3"])
    later.settle()
    noted = Workshop.resume(shop.root).config
    assert noted == replace(shop.config, evaluate=EvaluateConfig(pictures=8, choices=3))
    later.settle(taught=True)
    assert Workshop.resume(shop.root).config == later.config


def test_a_second_training_beside_a_running_one_leaves_the_recipe(tmp_path: Path) -> None:
    shop = begun_shop(tmp_path)
    later = Workshop.resume(shop.root, ["train.steps=60"])
    with held(shop.root / "train"), pytest.raises(StoreError, match="another process"):
        list(train_control(later))
    assert Workshop.resume(shop.root).config == shop.config


@pytest.mark.parametrize("setting", ["steps=9", "control.light=true"])
def test_a_control_is_not_evaluated_under_other_settings_of_its_training(
    tmp_path: Path, setting: str
) -> None:
    shop = begun_shop(tmp_path)
    settings = to_table(shop.config.train)
    del settings["recompute"]  # how memory is saved may differ
    card = {"settings": settings}
    write_json(shop.root / "train" / "control" / "graft.json", card)
    later = Workshop.resume(shop.root, [f"train.{setting}"])
    name, value = setting.split("=")
    with pytest.raises(StoreError, match=f"taught with other settings: {name} .*is {value};"):
        later.trained()
    assert Workshop.resume(shop.root).config == shop.config


@pytest.mark.parametrize(("part", "was"), [("evaluate", 8), ("validation", 6)])
def test_no_other_pictures_are_evaluated_on_than_the_training_held_out(
    tmp_path: Path, part: str, was: int
) -> None:
    shop = begun_shop(tmp_path)
    later = Workshop.resume(shop.root, [f"{part}.pictures=2"])
    with pytest.raises(StoreError, match=f"{part}.pictures was {was} .* and is 2; put it back"):
        list(evaluate_run(later))
    assert Workshop.resume(shop.root).config == shop.config


def test_an_unknown_condition_leaves_no_run_behind(tmp_path: Path) -> None:
    config = TeachConfig(images=tmp_path, condition="cany")
    with pytest.raises(ConfigError, match="did you mean 'canny'"):
        Workshop.begin(tmp_path / "run", config)
    assert not (tmp_path / "run" / "recipe.json").exists()


def test_the_folder_of_the_pictures_is_no_folder_for_a_run(tmp_path: Path) -> None:
    (tmp_path / "pictures").mkdir()
    config = TeachConfig(images=tmp_path / "pictures")
    with pytest.raises(ConfigError, match="choose another --out, in it or elsewhere"):
        Workshop.begin(tmp_path / "pictures" / ".." / "pictures", config)
    assert list((tmp_path / "pictures").iterdir()) == []
    assert Workshop.begin(tmp_path / "pictures" / "run", config).config == config


def test_a_stage_before_its_time_names_the_one_to_run_first(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="graft controlnet annotate"):
        Workshop.resume(tmp_path)
    shop = Workshop.begin(tmp_path / "run", TeachConfig(images=tmp_path))
    with pytest.raises(StoreError, match="graft controlnet annotate"):
        shop.shards()
    with pytest.raises(StoreError, match="graft controlnet keep"):
        shop.kept()


def tiled_shop(folder: Path, pictures: int, **more: int) -> Workshop:
    """Twelve tiles of each picture, some of them not kept."""
    config = TeachConfig(
        images=folder / "pictures",
        tiles=3,
        validation=ValidationConfig(pictures=more.get("watched", 6)),
        evaluate=EvaluateConfig(pictures=more.get("tested", 8)),
    )
    shop = Workshop.begin(folder / f"tiled-{pictures}-{len(more)}", config)
    tiles = [f"{n}.png#{at // 4},{at % 4}" for n in range(pictures) for at in range(12)]
    write_json(shop.root / "keep" / "kept.json", {"ids": tiles[:-5]})
    return shop


def pictures_in(ids: tuple[str, ...]) -> set[str]:
    return {name.partition("#")[0] for name in ids}


def test_tiles_of_one_picture_are_all_for_one_thing(tmp_path: Path) -> None:
    parts = tiled_shop(tmp_path, 24).begin_division()
    three = [pictures_in(ids) for ids in (parts.training, parts.validation, parts.evaluation)]
    assert [len(pictures) for pictures in three] == [16, 4, 4]  # a fifth is held out for each
    assert len(set.union(*three)) == 24
    assert len(parts.training) in range(16 * 12 - 5, 16 * 12 + 1)  # nothing of them is lost
    assert (len(parts.validation), len(parts.evaluation)) == (6, 8)
    assert len({*parts.training, *parts.validation, *parts.evaluation}) == (
        len(parts.training) + 14
    )


def test_of_each_picture_one_tile_is_taken_before_a_second_of_any(tmp_path: Path) -> None:
    parts = tiled_shop(tmp_path, 30).begin_division()
    assert [len(pictures_in(parts.evaluation[:count])) for count in (6, 8)] == [6, 6]
    assert len(pictures_in(parts.validation)) == 6
    assert len(pictures_in(parts.training[:18])) == 18


def test_of_many_pictures_so_many_are_held_out_as_are_asked_for(tmp_path: Path) -> None:
    parts = tiled_shop(tmp_path, 60, tested=3, watched=2).begin_division()
    assert (len(parts.evaluation), len(parts.validation)) == (3, 2)
    assert len(pictures_in(parts.training)) == 55


def test_of_fewer_than_five_pictures_none_is_held_out_however_many_tiles(
    tmp_path: Path,
) -> None:
    parts = tiled_shop(tmp_path, 4).begin_division()
    assert (len(parts.validation), len(parts.evaluation)) == (0, 0)


def test_the_same_seed_divides_alike_and_another_otherwise(tmp_path: Path) -> None:
    shop = tiled_shop(tmp_path, 24)
    begun = shop.begin_division()
    again = Workshop(tmp_path / "again", shop.config)
    other = Workshop(tmp_path / "other", replace(shop.config, seed=1))
    for one in (again, other):
        write_json(one.root / "keep" / "kept.json", {"ids": shop.kept()[::-1]})
    assert again.begin_division() == begun
    assert pictures_in(other.begin_division().evaluation) != pictures_in(begun.evaluation)


def test_without_tiles_each_pair_is_its_own_picture_whatever_its_name(tmp_path: Path) -> None:
    shop = shop_of(tmp_path, 0)
    names = [f"same#{n}" for n in range(20)]
    write_json(shop.root / "keep" / "kept.json", {"ids": names})
    assert len(shop.begin_division().evaluation) == 4


def test_pictures_divided_before_there_were_tiles_stay_where_they_were(tmp_path: Path) -> None:
    parts = shop_of(tmp_path, 12).begin_division()
    assert (parts.evaluation, parts.validation) == (("5.png", "6.png"), ("3.png", "11.png"))
    assert parts.training == tuple(f"{n}.png" for n in (8, 9, 2, 7, 10, 0, 1, 4))


def test_a_begun_run_is_not_cut_otherwise(tmp_path: Path) -> None:
    shop = tiled_shop(tmp_path, 5)
    write_json(shop.root / "annotate" / "recipe.json", {})
    with pytest.raises(StoreError, match="was begun with tiles = 3, not 4"):
        Workshop.begin(shop.root, replace(shop.config, tiles=4))


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        *(("limit=0", "limit is at least 1"), ("limit=-1", "limit is at least 1")),
        *(("shard_pictures=0", "shard_pictures is at least 1"), ("seed=-1", "seed is at")),
        *(("validation.pictures=-3", "pictures is at"), ("evaluate.pictures=-1", "at least 0")),
        ("train.learning_rate=-1", "train: learning_rate is above 0"),
    ],
)
def test_settings_that_make_no_sense_are_refused_by_name(setting: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        load(TeachConfig, None, ["images=pictures", setting])


def test_no_tiles_at_all_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="tiles is at least 1"):
        TeachConfig(images=tmp_path, tiles=0)
