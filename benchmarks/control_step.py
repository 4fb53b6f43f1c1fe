"""What does a step of teaching a control cost, beside diffusers' own modules and script?

Both learn the same control of the same base from the same pictures, at the script's defaults.
The script's pictures, hints and tokens lie ready as tensors; ours are read as training reads
them, latents from their file and hints from PNG. A step is of four pictures, the script's
default; where it says so, their gradients are added up a picture or two at a time, which gives
the same step (`train.batch=1 train.accumulate=4`; of the script, its own accumulation).
"""

import argparse
import functools
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import cycle, islice
from pathlib import Path

import numpy as np
import torch
from diffusers import ControlNetModel
from diffusers.utils.logging import disable_progress_bar
from live import Live, fill_with_fakes
from resident import resident_mib
from stable_diffusion import Script, ids_of, make_parts, save_pipeline
from stopwatch import Row, arguments, each_in_turn, publish
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode
from transformers import CLIPTokenizer

from graft.controlnet.annotators.annotator import annotate_picture
from graft.controlnet.annotators.kit import annotator_by_name
from graft.controlnet.control import ControlConfig, Controlled
from graft.controlnet.dataset import Pair
from graft.controlnet.latents import encode_pairs
from graft.controlnet.lessons import Lesson, read_lessons
from graft.controlnet.records import encode_png
from graft.controlnet.trainee import TrainConfig, Trainee, loss_of_pictures
from graft.models.diffusion import load_diffusion, to_hint, to_signed
from graft.models.recompute import Recompute
from graft.train.loop import fit
from graft.world.pictures import draw_picture

QUESTION = (
    "control_step: a step of teaching a control, graft beside the modules of diffusers arranged"
    " as its train_controlnet.py, neither with a running average; peaks in MiB are the rise of"
    " a process's resident memory, everything counted; activations are the bytes of tensors"
    " alive beyond the weights and their gradients, batch of 1 at 512 pixels, with attention's"
    " matrices written out (as the meta device has it) or fused (as processors and GPUs do)"
)
BATCH = 4
CANNY = annotator_by_name("canny")


@dataclass(frozen=True, slots=True)
class Way:
    """How a step of graft is taken: what is calculated again, and in how many parts."""

    recompute: Recompute = False
    parts: int = 1


WAYS = {
    "activations kept": Way(),
    "cheap ones recomputed": Way("cheap"),
    "all recomputed": Way(recompute=True),
    "a picture at a time": Way(parts=BATCH),
    "cheap ones recomputed, two pictures at a time": Way("cheap", BATCH // 2),
}
SCRIPT, APIECE = "the script", "the script, a picture at a time"


def pairs_of(count: int, pixels: int) -> list[Pair]:
    """Pictures of the little world with their edges."""
    pairs: list[Pair] = []
    for number in range(count):
        rng = np.random.default_rng(number)
        picture = draw_picture(rng, size=pixels)
        condition = annotate_picture(CANNY, picture.pixels_HWC, rng)
        pairs.append(Pair(f"{number:03d}", picture.pixels_HWC, picture.caption, condition))
    return pairs


class Ours:
    """graft's own training without its checks; no running average, for the script has none."""

    def __init__(self, folder: Path, pairs: list[Pair], way: Way) -> None:
        model = load_diffusion(str(folder))
        encoded = encode_pairs(pairs, model, folder / "latents", "random")
        self.lessons = [
            Lesson(pair.id, encoded, index, encode_png(pair.condition.pixels_HWC))
            for index, pair in enumerate(pairs)
        ]
        self.empty = model.embed([""])
        model.rest_encoders()
        settings = TrainConfig(
            batch=BATCH // way.parts,
            accumulate=way.parts,
            learning_rate=5e-6,
            recompute=way.recompute,
            average_decay=0.0,
        )
        self.trainee = Trainee(model, CANNY, settings)

    def train(self, steps: int) -> None:
        """So many steps."""
        trainee = self.trainee
        trainee.settings = replace(trainee.settings, steps=steps)
        taken = fit(
            read_lessons(self.lessons, self.empty, trainee.model, trainee.settings, 0),
            functools.partial(loss_of_pictures, trainee),
            trainee.optimizer,
            lambda _: 1.0,
            waits_at=lambda step: step == steps,
        )
        for _ in taken:
            trainee.average.update(trainee.live)


class Theirs:
    """The script's modules with everything that it reads ready in memory."""

    def __init__(self, folder: Path, pairs: list[Pair], parts: int) -> None:
        self.script, self.parts = Script.load(folder), parts
        tokenizer = CLIPTokenizer.from_pretrained(folder, subfolder="tokenizer")
        self.batches: list[tuple[Tensor, Tensor, Tensor]] = []
        for at in range(0, len(pairs), BATCH):
            chosen = pairs[at : at + BATCH]
            pixels = to_signed(np.stack([pair.pixels_HWC for pair in chosen]))
            hints = to_hint(np.stack([pair.condition.pixels_HWC for pair in chosen]))
            ids = ids_of(tokenizer, [pair.caption for pair in chosen])
            self.batches.append((pixels, ids, hints))

    def train(self, steps: int) -> None:
        """So many steps."""
        self.script.train(list(islice(cycle(self.batches), steps)), self.parts)


def trained(side: str, folder: Path, pixels: int) -> Ours | Theirs:
    """One of `WAYS`, or the script, ready to train."""
    pairs = pairs_of(2 * BATCH, pixels)
    if side in (SCRIPT, APIECE):
        return Theirs(folder, pairs, parts=BATCH if side == APIECE else 1)
    return Ours(folder, pairs, WAYS[side])


def sides(ways: Sequence[str]) -> list[str]:
    """The script's two, and ours."""
    return [SCRIPT, APIECE, *ways]


def speeds(
    folder: Path, pixels: int, steps: int, repeats: int, ways: Sequence[str]
) -> Iterator[Row]:
    """Pictures per second, by threads."""
    before, compared = torch.get_num_threads(), sides(ways)
    for threads in (1, 2):
        torch.set_num_threads(threads)
        works = [
            functools.partial(trained(side, folder, pixels).train, steps) for side in compared
        ]
        timed = dict(zip(compared, each_in_turn(works, repeats), strict=True))
        found = {side: steps * BATCH / one.median for side, one in timed.items()}
        what = f"pictures/s, {pixels} pixels, {threads} thread{'s' * (threads > 1)}"
        yield from beside(what, found)
    torch.set_num_threads(before)


def beside(what: str, found: dict[str, float]) -> Iterator[Row]:
    """Each of our ways beside the script as it is; and both a picture at a time."""
    for side, way in WAYS.items():
        if side not in found:
            continue
        yield row(f"{what}, {side}", found[SCRIPT], found[side])
        if way.parts == BATCH:
            yield row(f"{what}, {side}, as the script", found[APIECE], found[side])


def row(case: str, script: float, graft: float) -> Row:
    """One measure of both."""
    return {"case": case, "script": script, "graft": graft, "graft / script": graft / script}


def peaks(folder: Path, pixels: int, ways: Sequence[str]) -> Iterator[Row]:
    """Peak memory of each, in a process of its own."""
    found = {side: peak(side, folder, pixels) for side in sides(ways)}
    yield from beside(f"peak MiB, {pixels} pixels", found)


def peak(side: str, folder: Path, pixels: int) -> float:
    """MiB by which resident memory rises from before the weights are read to its highest."""
    given = ["--child", side, "--folder", str(folder), "--pixels", str(pixels)]
    command = [sys.executable, __file__, *given]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return float(json.loads(said.splitlines()[-1]))


def be_measured(side: str, folder: Path, pixels: int) -> None:
    """Take three steps in this process and print the rise in MiB."""
    torch.set_num_threads(2)
    before = resident_mib("VmRSS")
    trained(side, folder, pixels).train(3)
    sys.stdout.write(json.dumps(resident_mib("VmHWM") - before) + "\n")


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one picture at the true size; bytes are of activations."""

    operations: int
    kept: int
    highest: int


def true_size() -> Iterator[Row]:
    """Operations, and activations kept and at their peak; only shapes are calculated."""
    whole = [SCRIPT, *(side for side, way in WAYS.items() if way.parts == 1)]
    fused = {side: cost(side, fused=True) for side in whole}
    written = {side: cost(side, fused=False) for side in whole}
    tera, gib = 1e12, 2**30
    yield row("true size: GiB of weights, gradients, optimizer", *_states())
    theirs = written[SCRIPT]
    for side in whole[1:]:
        name = f"true size, {side}: "
        yield row(f"{name}TFLOP", theirs.operations / tera, written[side].operations / tera)
        for attention, costs in (("written out", written), ("fused", fused)):
            one, other = costs[SCRIPT], costs[side]
            tail = f"attention {attention}"
            yield row(f"{name}GiB kept, {tail}", one.kept / gib, other.kept / gib)
            yield row(f"{name}GiB at peak, {tail}", one.highest / gib, other.highest / gib)


def _states() -> tuple[float, float]:
    """GiB in single precision that each side holds beside activations."""
    with torch.device("meta"):
        parts = make_parts()
        control = Controlled(parts["unet"], 8, ControlConfig())
    counts = {name: sum(p.numel() for p in part.parameters()) for name, part in parts.items()}
    learning = sum(p.numel() for p in control.parameters())
    encoder = sum(p.numel() for p in parts["vae"].encoder.parameters())
    theirs = sum(counts.values()) + 4 * learning  # weights, gradients, AdamW's two moments
    ours = counts["unet"] + counts["vae"] - encoder + 4 * learning
    return 4 * theirs / 2**30, 4 * ours / 2**30


@contextmanager
def shapes(*, fused: bool) -> Iterator[None]:
    """Tensors without numbers: the meta device's, or fakes of a processor's."""
    mode = FakeTensorMode(allow_non_fake_inputs=True) if fused else torch.device("meta")
    with mode:
        yield


def cost(side: str, *, fused: bool) -> Cost:
    """Forward and backward of one picture of 512 pixels at the true size."""
    with torch.device("meta"):
        parts = make_parts()
        control = ControlNetModel.from_unet(parts["unet"], load_weights_from_unet=False)
        script = Script(parts, control)
        recompute = False if side == SCRIPT else WAYS[side].recompute
        ours = Controlled(parts["unet"], 8, ControlConfig(), recompute=recompute)
    modules = (*parts.values(), control, ours)
    with shapes(fused=fused):
        if fused:
            fill_with_fakes(*modules)
        learning = [p for one in (control, ours) for p in one.parameters()]
        for parameter in learning:
            parameter.grad = torch.zeros_like(parameter)
        loss = _loss_of(side, script, ours)
        with Live() as live:
            found = loss()
            kept, highest = live.now, live.peak
            found.backward()
            highest = max(highest, live.peak)
        del found
        with FlopCounterMode(display=False) as counter:
            if not fused:  # fused attention is not counted
                loss().backward()
    return Cost(counter.get_total_flops(), kept, highest)


def _loss_of(side: str, script: Script, ours: Controlled) -> Callable[[], Tensor]:
    """A step's loss on what each side is given."""
    hint = torch.zeros(1, 3, 512, 512)
    if side == SCRIPT:
        pixels, ids = torch.zeros(1, 3, 512, 512), torch.zeros(1, 77, dtype=torch.int64)
        return lambda: script.loss(pixels, ids, hint)
    latents, words = torch.zeros(1, 4, 64, 64), torch.zeros(1, 77, 768)
    noise, time = torch.zeros(1, 4, 64, 64), torch.zeros(1, dtype=torch.int64)

    def loss() -> Tensor:
        noisy = script.scheduler.add_noise(latents, noise, time)
        return (ours(noisy, time, words, hint) - noise).square().mean()

    return loss


def main() -> None:
    """Measure all; or, as a child, be the process whose memory is measured."""
    parser = arguments(QUESTION)
    parser.add_argument("--narrower", type=int, default=4, help="than Stable Diffusion 1.5")
    parser.add_argument("--pixels", type=int, nargs="+", default=[256, 512])
    parser.add_argument("--steps", type=int, default=1, help="in each counted run")
    parser.add_argument("--case", default="", help="name of a record without the true size")
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=[*WAYS], help="of graft")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    disable_progress_bar()
    if given.child is not None:
        be_measured(given.child, given.folder, *given.pixels)
        return
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "base"
        save_pipeline(given.narrower, folder)
        rows = list[Row]()
        for pixels in given.pixels:
            rows += speeds(folder, pixels, given.steps, given.repeats, given.ways)
            rows += peaks(folder, pixels, given.ways)
    whole = [] if given.case else [*true_size()]
    publish("control_step", QUESTION, [*rows, *whole], given.record, case=given.case)


if __name__ == "__main__":
    main()
