"""A run that goes on where pictures or shards have changed meanwhile."""

from itertools import islice
from pathlib import Path

import pytest
import torch

from graft.controlnet import workshop
from graft.controlnet.teach import annotate_pictures, encode_kept, keep_pairs, train_control
from graft.controlnet.workshop import TeachConfig, Workshop
from graft.errors import StoreError
from graft.models.diffusion import DiffusionModel
from graft.store.shards import list_shards
from graft.world.gallery import write_gallery
from small_bases import make_base
from small_pictures import save

COUNT = 10


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workshop:
    """A run on ten pictures, four in a shard; nothing is done yet."""

    def load(_name: str, _device: torch.device) -> DiffusionModel:
        return make_base("sd1", "v_prediction")

    monkeypatch.setattr(workshop, "load_diffusion", load)
    pictures = tmp_path / "pictures"
    write_gallery(pictures, COUNT, size=32)
    (pictures / "metadata.jsonl").unlink()
    config = TeachConfig(images=pictures, base="a tiny one", size=32, shard_pictures=4)
    return Workshop.begin(tmp_path / "run", config)


def stop_after(shop: Workshop, shards: int) -> None:
    """Annotate so many shards and no more, as who is killed."""
    assert len(list(islice(annotate_pictures(shop), shards))) == shards


def test_a_run_whose_pictures_were_deleted_meanwhile_is_not_gone_on_with(
    shop: Workshop,
) -> None:
    stop_after(shop, 1)
    (shop.config.images / "00002.png").unlink()
    with pytest.raises(StoreError, match=r"made of 00002\.png where there is 00003\.png now"):
        list(annotate_pictures(shop))
    assert not (shop.root / "annotate" / "shards" / "manifest.json").exists()


def test_a_run_whose_folder_has_a_picture_more_in_front_is_not_gone_on_with(
    shop: Workshop,
) -> None:
    stop_after(shop, 2)
    save(shop.config.images / "0.png")
    with pytest.raises(StoreError, match=r"choose another --out, or delete .*/annotate$"):
        list(annotate_pictures(shop))


@pytest.mark.parametrize(("left", "told"), [(9, "00009.png"), (8, "00008.png")])
def test_a_run_whose_last_pictures_are_gone_is_not_gone_on_with(
    shop: Workshop, left: int, told: str
) -> None:
    stop_after(shop, 3)
    for number in range(left, COUNT):
        (shop.config.images / f"{number:05d}.png").unlink()
    with pytest.raises(StoreError, match=f"made of {told} where there is none now"):
        list(annotate_pictures(shop))


def test_pictures_that_come_behind_the_finished_shards_are_taken_in(shop: Workshop) -> None:
    stop_after(shop, 1)
    save(shop.config.images / "z.png")
    list(annotate_pictures(shop))
    assert [pair.id for pair in shop.pairs()] == [
        *(f"{number:05d}.png" for number in range(COUNT)),
        "z.png",
    ]
    assert len(list_shards(shop.root / "annotate" / "shards")) == 3


def test_a_shard_that_is_gone_is_named_by_every_stage_that_reads_it(shop: Workshop) -> None:
    list(annotate_pictures(shop))
    list(keep_pairs(shop))
    shard = shop.root / "annotate" / "shards" / "shard-00001.parquet"
    shard.unlink()
    for stage in (keep_pairs, encode_kept, train_control):
        with pytest.raises(
            StoreError, match=r"shard-00001\.parquet: is missing.*; put it back"
        ):
            list(stage(shop))
    assert len(shop.kept()) == COUNT
