import json
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from graft.config import load
from graft.controlnet.pictures import PictureReader
from graft.controlnet.study.onset import (
    compare_onsets,
    compare_rates,
    onset_variants,
    rate_variants,
    write_mixed_up,
)
from graft.controlnet.study.variants import pairs_of, prepare
from graft.controlnet.workshop import TeachConfig, Workshop
from graft.world.gallery import write_gallery
from graft.world.shipped import FOLDER
from small_bases import make_pipeline
from small_pictures import call_at_length

DEMO = load(TeachConfig, FOLDER.parent / "controlnet.toml", ['images="pictures"'])


def outcome(verdict: str, told: int | None, whole: int | None) -> dict[str, object]:
    return {"verdict": verdict, "onset_step": told, "onset_of_whole_curve": whole}


def test_an_onset_is_off_by_its_share_of_the_whole_curves() -> None:
    found = {
        "canny-0": outcome("converged", 110, 100),
        "canny-1": outcome("learning", None, 100),
        "canny-0-mixed": outcome("will not converge", None, 0),
        "canny-1-mixed": outcome("waiting", None, 0),
    }
    told = compare_onsets(found)
    assert told["off"] == {"canny-0": pytest.approx(0.1), "canny-1": None}
    assert told["converged"] == ["canny-0"]
    assert told["refused"] == ["canny-0-mixed"]


def test_every_seed_and_condition_is_there_straight_and_mixed_up(tmp_path: Path) -> None:
    variants = {
        one.name: one for one in onset_variants(DEMO, tmp_path, ["canny", "tile"], [0, 4])
    }
    assert len(variants) == 8
    assert variants["tile-4"].config.condition == "tile"
    assert variants["tile-4"].config.train.seed == 4
    assert not variants["tile-4"].config.train.stop_when_converged
    mixed = variants["tile-4-mixed"].config
    assert mixed.images == tmp_path / "mixed-tile"
    assert not mixed.keep.drop_misfits  # or few would be left


def test_mixed_up_pairs_have_each_the_condition_of_the_one_before(tmp_path: Path) -> None:
    make_pipeline("sd1", "v_prediction").save_pretrained(tmp_path / "base")
    write_gallery(tmp_path / "pictures", 6, size=32)
    call_at_length(tmp_path / "pictures")
    config = TeachConfig(images=tmp_path / "pictures", base=str(tmp_path / "base"), size=32)
    list(prepare(config, tmp_path))
    shop = Workshop.resume(pairs_of(config, tmp_path))
    write_mixed_up(shop, tmp_path / "mixed")
    true, found = list(shop.pairs()), list(PictureReader(tmp_path / "mixed"))
    for index, one in enumerate(found):
        assert one.caption == true[index].caption
        assert np.array_equal(one.pixels_HWC, true[index].pixels_HWC)
        assert np.array_equal(one.condition_HWC, true[index - 1].condition.pixels_HWC)
    lines = (tmp_path / "mixed" / "metadata.jsonl").read_text().splitlines()
    assert len(lines) == len(found) == 6
    assert set(json.loads(lines[0])) == {"file_name", "text", "conditioning_image"}


def test_several_writers_of_mixed_up_pairs_do_not_collide(tmp_path: Path) -> None:
    make_pipeline("sd1", "v_prediction").save_pretrained(tmp_path / "base")
    write_gallery(tmp_path / "pictures", 4, size=32)
    config = TeachConfig(images=tmp_path / "pictures", base=str(tmp_path / "base"), size=32)
    list(prepare(config, tmp_path))
    shop, mixed = Workshop.resume(pairs_of(config, tmp_path)), tmp_path / "mixed"
    begin = threading.Barrier(4)

    def write(_: int) -> None:
        begin.wait()
        write_mixed_up(shop, mixed)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, range(4)))
    assert len((mixed / "metadata.jsonl").read_text().splitlines()) == 4
    assert {one.name for one in tmp_path.glob("*mixed*")} == {"mixed"}


def half(step: float | None) -> dict[str, object]:
    one = None if step is None else {"mean": step, "low": step, "high": step, "n": 4}
    return {"half_way": one}


def test_steps_that_go_as_one_over_the_rate_have_a_slope_of_minus_one() -> None:
    times = (0.25, 0.5, 1.0, 2.0, 4.0)
    found = {f"all-{one:g}": half(100 / one) for one in times}
    found |= {f"doors-{one:g}": half(100 / one**0.5) for one in times if one != 1.0}
    slopes = compare_rates(found)
    assert slopes["all"]["slope"] == pytest.approx(-1.0)
    assert slopes["doors"]["slope"] == pytest.approx(-0.5)  # all-1 is a point of both
    assert slopes["all"]["low"] == pytest.approx(-1.0, abs=1e-6)
    assert slopes["all"]["steps_at_1"] == pytest.approx(100.0)


def test_a_slope_has_an_interval_from_the_scatter_about_its_line() -> None:
    """Against scipy's own regression."""
    from scipy.stats import linregress, t

    steps = {0.25: 310.0, 0.5: 260.0, 1.0: 100.0, 2.0: 70.0, 4.0: 20.0}
    told = compare_rates({f"all-{one:g}": half(step) for one, step in steps.items()})["all"]
    line = linregress(np.log(list(steps)), np.log(list(steps.values())))
    assert told["slope"] == pytest.approx(line.slope)
    assert told["high"] - told["slope"] == pytest.approx(t.ppf(0.975, 3) * line.stderr)


def test_a_rate_at_which_nothing_is_learnt_is_no_point() -> None:
    found = {"all-0.25": half(None), "all-0.5": half(200.0), "all-1": half(100.0)}
    assert compare_rates(found) == {"all": None, "doors": None}
    found["all-2"] = half(50.0)
    assert compare_rates(found)["all"]["slope"] == pytest.approx(-1.0)


def test_the_rates_are_held_and_only_one_kind_is_scaled() -> None:
    found = {one.name: one.config.train for one in rate_variants(DEMO)}
    base = DEMO.train
    assert found["all-4"].learning_rate == pytest.approx(4 * base.learning_rate)
    assert found["doors-4"].learning_rate == base.learning_rate
    assert found["doors-4"].zero_rate == 4.0
    assert "doors-1" not in found
    assert {(one.decay, one.warm_up, one.average_decay) for one in found.values()} == {
        ("constant", 0.0, 0.0)
    }
