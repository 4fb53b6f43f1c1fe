"""Where pictures lie: conditions among them, and a run's own pairs."""

from pathlib import Path

import numpy as np
import pytest

from graft.controlnet.annotators.annotator import annotate_picture
from graft.controlnet.annotators.kit import annotator_by_name
from graft.controlnet.condition import Condition
from graft.controlnet.dataset import Pair
from graft.controlnet.pictures import PictureReader
from graft.controlnet.records import PAIR
from graft.controlnet.teach import annotate_pictures
from graft.controlnet.workshop import TeachConfig, Workshop
from graft.store.shards import shard_name, write_shard
from graft.world.pictures import draw_picture
from small_pictures import WHITE, plain, save


@pytest.mark.parametrize("called", ["relative", "round about", "through a link"])
def test_conditions_inside_of_the_folder_are_no_pictures_however_it_is_called(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, called: str
) -> None:
    pictures = tmp_path / "pictures"
    save(pictures / "1.png")
    save(pictures / "hints" / "1.png", plain(WHITE))
    (pictures / "hints" / "metadata.jsonl").write_text('{"file_name": "1.png"}\n')
    (tmp_path / "link").symlink_to(pictures / "hints")
    monkeypatch.chdir(tmp_path)
    conditions = {
        "relative": Path("pictures/hints"),
        "round about": pictures / ".." / "pictures" / "hints",
        "through a link": tmp_path / "link",
    }[called]
    for source in (pictures, Path("pictures")):
        reader = PictureReader(source, conditions=conditions)
        assert [one.id for one in reader] == ["1.png"]
        assert reader.told() == ""


def test_pictures_that_are_links_stay_pictures_beside_conditions(tmp_path: Path) -> None:
    save(tmp_path / "store" / "1.png")
    save(tmp_path / "store" / "hint.png", plain(WHITE))
    (tmp_path / "pictures" / "hints").mkdir(parents=True)
    (tmp_path / "pictures" / "1.png").symlink_to(tmp_path / "store" / "1.png")
    hint = tmp_path / "pictures" / "hints" / "1.png"
    hint.symlink_to(tmp_path / "store" / "hint.png")
    reader = PictureReader(tmp_path / "pictures", conditions=tmp_path / "pictures" / "hints")
    assert [one.id for one in reader] == ["1.png"]
    assert reader.told() == ""


def pair(*, brought: bool) -> Pair:
    rng = np.random.default_rng(0)
    picture = draw_picture(rng, size=32)
    drawn = annotate_picture(annotator_by_name("canny"), picture.pixels_HWC, rng)
    condition = Condition(drawn.kind, drawn.pixels_HWC, drawn.parameters, brought=brought)
    return Pair("1.png", picture.pixels_HWC, picture.caption, condition)


@pytest.mark.parametrize(
    ("kind", "brought", "taken"),
    [
        *(("canny", False, True), ("palette", False, False), (None, False, True)),
        *(("canny", True, True), ("palette", True, True)),
    ],
)
def test_what_a_run_drew_is_no_condition_of_another_kind(
    tmp_path: Path, kind: str | None, *, brought: bool, taken: bool
) -> None:
    """What somebody brought is what they say it is."""
    one = pair(brought=brought)
    write_shard(tmp_path / shard_name(0), [PAIR.to_row(one)], PAIR.schema)
    (found,) = PictureReader(tmp_path, kind=kind)
    assert np.array_equal(found.pixels_HWC, one.pixels_HWC)
    assert (found.condition_HWC is not None) == taken


def test_a_runs_own_pairs_are_drawn_anew_for_another_condition(tmp_path: Path) -> None:
    one = pair(brought=False)
    write_shard(tmp_path / "shards" / shard_name(0), [PAIR.to_row(one)], PAIR.schema)
    config = TeachConfig(images=tmp_path / "shards", condition="palette", size=32)
    shop = Workshop.begin(tmp_path / "run", config)
    list(annotate_pictures(shop))
    (found,) = shop.pairs()
    assert (found.condition.kind, found.condition.brought) == ("palette", False)
    assert not np.array_equal(found.condition.pixels_HWC, one.condition.pixels_HWC)
