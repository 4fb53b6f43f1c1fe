"""A run of a control on a tiny random base that lies in a folder, as a user's does."""

import shutil
from pathlib import Path

from graft.config import load
from graft.controlnet.control import Control
from graft.controlnet.teach import annotate_pictures, encode_kept, keep_pairs, train_control
from graft.controlnet.workshop import TeachConfig, Workshop
from graft.models.unet import write_controlnet
from graft.world.gallery import write_gallery
from small_bases import make_base, make_pipeline
from small_controls import stirred

_SETTINGS = (
    *("size=32", "validation.run.steps=1", "evaluate.run.steps=1", "train.steps=2"),
    *("train.batch=4", "train.learning_rate=1e-3", "train.checkpoint_every=1"),
    *("train.average_decay=0", "train.control.unlock_decoder=true"),
)


class TaughtRun:
    """Five pictures: three to learn from, one watched, one evaluated on; the start is gone."""

    def __init__(self, folder: Path) -> None:
        self.folder, start = folder, folder / "start"
        make_pipeline("sd1", "v_prediction").save_pretrained(folder / "base")
        write_gallery(folder / "pictures", 5, size=32)
        write_start(start)
        given = [f"images={folder / 'pictures'}", f"base={folder / 'base'}"]
        given += [f"train.start_from={start}", *_SETTINGS]
        shop = Workshop.begin(folder / "run", load(TeachConfig, None, given))
        for stage in (annotate_pictures, keep_pairs, encode_kept):
            list(stage(shop))
        self.notes = [progress.note for progress in train_control(shop)]
        shutil.rmtree(start)

    def copied(self, root: Path, *settings: str) -> Workshop:
        """The run once more in `root`, some settings changed."""
        shutil.copytree(self.folder / "run", root)
        return Workshop.resume(root, settings)


def write_start(folder: Path) -> None:
    """A control to begin with, whose weights are no zeros."""
    base = make_base("sd1", "v_prediction")
    control = Control(base.unet, base.shrinking)
    stirred(control)
    write_controlnet(base.unet, control.state_dict(), control.hint_channels, folder)
