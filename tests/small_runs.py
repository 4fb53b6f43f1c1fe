"""Runs of a control on a tiny random base that lies in a folder, as a user's does."""

from pathlib import Path

from graft.config import load
from graft.controlnet.teach import annotate_pictures, encode_kept, keep_pairs
from graft.controlnet.workshop import TeachConfig, Workshop
from graft.world.gallery import write_gallery
from small_bases import make_pipeline

_SETTINGS = (
    *("size=32", "shard_pictures=8", "validation.run.steps=1", "evaluate.run.steps=1"),
    *("train.steps=2", "train.batch=2", "train.learning_rate=1e-3", "train.hint_rate=100.0"),
    *("train.validate_every=2", "train.gap_every=1", "train.checkpoint_every=1"),
    *("train.average_decay=0", "keep.drop_duplicates=false"),
)


def begin_run(folder: Path, pictures: int, *settings: str) -> Workshop:
    """A run in `folder/run` that is ready to be taught."""
    make_pipeline("sd1", "v_prediction").save_pretrained(folder / "base")
    write_gallery(folder / "pictures", pictures, size=32)
    given = [f"images={folder / 'pictures'}", f"base={folder / 'base'}", *_SETTINGS, *settings]
    shop = Workshop.begin(folder / "run", load(TeachConfig, None, given))
    for stage in (annotate_pictures, keep_pairs, encode_kept):
        list(stage(shop))
    return shop
