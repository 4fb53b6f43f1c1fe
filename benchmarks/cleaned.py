"""Does training on the cleaned set reach what training on the clean one does?

The same pictures of the little world, four times: as they are; with faults put into them and
all taken that can be read; with the same faults, and only what `keep` leaves; and as they are,
but no more of them than that. Each is taught with several seeds, for two trainings on the very
same pictures differ too. Each control is put to the same pictures, which none of them has seen.
"""

import json
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from faults import FAULTS, mix, write
from stopwatch import arguments, publish

from graft.cli.progress import show
from graft.config import load
from graft.controlnet.annotators.annotator import annotate_picture
from graft.controlnet.annotators.kit import annotator_by_name
from graft.controlnet.dataset import Pair
from graft.controlnet.fidelity import fidelities
from graft.controlnet.keep import KeepConfig
from graft.controlnet.sampling import Steering, sample
from graft.controlnet.teach import teach
from graft.controlnet.workshop import TeachConfig, Workshop
from graft.measure.interval import bootstrap_difference, bootstrap_mean
from graft.world.pictures import draw_picture
from graft.world.shipped import FOLDER

QUESTION = (
    "cleaned: fidelity of a control taught from clean pictures, from the same with faults in"
    " them, and from what `keep` leaves of those"
)
CANNY = annotator_by_name("canny")
EVERYTHING = KeepConfig(
    drop_duplicates=False,
    drop_misfits=False,
    least_lit=0.0,
    most_lit=1.0,
    least_contrast=0.0,
    most_white=1.0,
)
"""Whatever can be read."""


def drawn(count: int, seed: int, size: int) -> list[Pair]:
    """Pictures of the little world whose captions do not say where things are."""
    pairs = list[Pair]()
    for number in range(count):
        rng = np.random.default_rng((seed, number))
        picture = draw_picture(rng, size=size, placed=False)
        condition = annotate_picture(CANNY, picture.pixels_HWC, rng)
        pairs.append(Pair(f"{seed}-{number}", picture.pixels_HWC, picture.caption, condition))
    return pairs


def write_folder(folder: Path, pairs: Sequence[Pair], spoiled: float, mixed: float) -> None:
    """Pictures, captions and conditions; a share with a fault each, a share mixed up."""
    folder.mkdir()
    files = write(folder, [pair.pixels_HWC for pair in pairs], CANNY, foreign=False)
    for one, pair in zip(files, pairs, strict=True):
        one.caption.write_text(pair.caption)
    order = np.random.default_rng(1).permutation(len(files)).tolist()
    faulty, wrong = round(spoiled * len(files)), round(mixed * len(files))
    names = [name for name in FAULTS if name != "red and blue swapped"]  # edges are grey
    for at, number in enumerate(order[:faulty]):
        FAULTS[names[at % len(names)]](files[number])
    if wrong:
        mix([files[number] for number in order[faulty : faulty + wrong]])


def taught(folder: Path, out: Path, keep: KeepConfig, settings: Sequence[str]) -> Workshop:
    """A run of the demonstration's recipe on a folder."""
    given = [
        f"images={json.dumps(str(folder / 'pictures'))}",
        f"conditions={json.dumps(str(folder / 'conditions'))}",
        "train.stop_when_converged=false",
        *settings,
    ]
    config = load(TeachConfig, FOLDER.parent / "controlnet.toml", given)
    shop = Workshop.begin(out, replace(config, keep=keep))
    show(teach(shop))
    return shop


def judged(shop: Workshop, pairs: Sequence[Pair]) -> list[float]:
    """The fidelity of a picture under each pair's hint and caption."""
    controlled, model = shop.trained(), shop.model
    pictures = sample(
        model,
        model.embed([pair.caption for pair in pairs]),
        model.embed([""]),
        list(range(len(pairs))),
        [Steering(controlled.control, np.stack([p.condition.pixels_HWC for p in pairs]))],
        shop.config.evaluate.run,
    )
    return fidelities(CANNY, list(pictures), [pair.condition for pair in pairs])


def measure(
    folder: Path,
    counts: tuple[int, int],
    shares: tuple[float, float],
    seeds: Sequence[int],
    settings: Sequence[str],
) -> list[dict[str, object]]:
    """A row for each of the four, over all seeds."""
    pictures, held_out = counts
    given = [f"images={json.dumps(str(folder))}", *settings]
    config = load(TeachConfig, FOLDER.parent / "controlnet.toml", given)
    size = Workshop(folder, config).size
    pairs, asked = drawn(pictures, 21, size), drawn(held_out, 22, size)
    if not (folder / "clean").exists():
        write_folder(folder / "clean", pairs, 0.0, 0.0)
    if not (folder / "spoiled").exists():
        write_folder(folder / "spoiled", pairs, *shares)
    cases = {
        "clean": (folder / "clean", KeepConfig()),
        "spoiled, everything taken": (folder / "spoiled", EVERYTHING),
        "spoiled, cleaned by keep": (folder / "spoiled", KeepConfig()),
        "clean, no more than that": (folder / "clean", KeepConfig()),
    }
    rows, found = list[dict[str, object]](), dict[str, list[list[float]]]()
    learnt = kept = 0
    for number, (name, (source, keep)) in enumerate(cases.items()):
        fewer = [f"train.pairs={learnt}"] if "no more" in name else []
        found[name] = []
        for seed in seeds:
            run = folder / f"run-{number}-{seed}"
            shop = taught(source, run, keep, [*settings, f"train.seed={seed}", *fewer])
            found[name].append(judged(shop, asked))
            learnt = learnt if fewer else len(shop.division().training)
            kept = len(shop.kept())
        rows.append(
            _row(name, found[name], found["clean"]) | {"pairs": kept, "learnt from": learnt}
        )
    return rows


def _row(
    name: str, found: Sequence[Sequence[float]], clean: Sequence[Sequence[float]]
) -> dict[str, object]:
    """Of fidelities by seed and picture; intervals over pictures, seeds averaged."""
    of_pictures = np.mean(found, axis=0).tolist()
    mean = bootstrap_mean(of_pictures)
    over = bootstrap_difference(of_pictures, np.mean(clean, axis=0).tolist())
    by_seed = [float(np.mean(one)) for one in found]
    return {
        "case": name,
        "fidelity": mean.mean,
        "from": mean.low,
        "to": mean.high,
        "over clean": over.mean,
        "over, from": over.low,
        "over, to": over.high,
        "by seed": ", ".join(f"{one:.3f}" for one in by_seed),
    }


def main() -> None:
    """Teach four controls with each seed; go on in `--folder` where it was stopped."""
    parser = arguments(QUESTION)
    parser.add_argument("--pictures", type=int, default=800)
    parser.add_argument("--held-out", type=int, default=96)
    parser.add_argument("--spoiled", type=float, default=0.3, help="share with a fault")
    parser.add_argument("--mixed", type=float, default=0.3, help="share mixed up")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="of training")
    parser.add_argument("--folder", type=Path, help="to work in, and to go on in")
    parser.add_argument("--set", nargs="*", default=[], dest="settings", help="of the recipe")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = given.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        counts, shares = (given.pictures, given.held_out), (given.spoiled, given.mixed)
        rows = measure(folder, counts, shares, given.seeds, given.settings)
    publish("cleaned", QUESTION, rows, given.record)


if __name__ == "__main__":
    main()
