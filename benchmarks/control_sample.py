"""What does a picture under a control cost, beside diffusers' own pipeline, and is it the same?

Both sides share the modules of one base, read the same folders of controls, and are asked for
the same prompts, hints, seeds, steps, guidance and sampler. Where it is outside its window, a
control is still computed by the pipeline, and weighed with 0; its hint is encoded anew at each
step, for the prompt and for none.
"""

import itertools
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
import torch
from diffusers import (
    ControlNetModel,
    DDIMScheduler,
    DDPMScheduler,
    MultiControlNetModel,
    PNDMScheduler,
    StableDiffusionControlNetPipeline,
)
from diffusers.utils.logging import disable_progress_bar
from PIL import Image
from stable_diffusion import TOKENS, make_parts, save_pipeline
from stopwatch import Row, arguments, each_in_turn, publish
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from graft.controlnet.annotators.annotator import annotate_picture
from graft.controlnet.annotators.kit import annotator_by_name
from graft.controlnet.control import Control, ControlConfig, Weighting
from graft.controlnet.run import Order, Use, load_control, run
from graft.controlnet.sampling import RunConfig
from graft.models.diffusion import load_diffusion
from graft.models.unet import denoise, write_controlnet
from graft.world.pictures import draw_picture

QUESTION = (
    "control_sample: pictures under controls, graft's run beside diffusers'"
    " StableDiffusionControlNetPipeline, random weights in the proportions of Stable Diffusion"
    " 1.5; apart: the largest difference of a value of the two sides' pictures; moved: that of"
    " pictures with and without the control; latents apart: as a share of the largest latent;"
    " TFLOP: what these calls come to for a picture of 512 pixels at the true size; seconds: of"
    " processor time for both pictures, at a smaller size, the best of the repetitions"
)
PROMPTS = ("a red circle", "a blue star on a white background")
SEEDS = (3, 8)


@dataclass(frozen=True, slots=True)
class Case:
    """What both sides are asked for; a weight for each control."""

    name: str
    weights: tuple[float, ...] = (1.0,)
    end: float = 1.0
    guess: bool = False
    weighting: Weighting = "none"  # as graft names it; diffusers has one, of guess mode
    sampler: type = DDIMScheduler


WHOLE, HALF = Case("whole window"), Case("half window", end=0.5)
CASES = (
    WHOLE,
    HALF,
    Case("weight 0.5", weights=(0.5,)),
    Case("two controls, 1 and 0.5", weights=(1.0, 0.5)),
    Case("guess mode, weighting of diffusers", guess=True, weighting="logspace"),
    Case("guess mode, own weightings", guess=True),
    Case("PNDM", sampler=PNDMScheduler),
    Case("DDPM, which draws noise", sampler=DDPMScheduler),
)


class Sides:
    """One base with two controls, as graft and as diffusers hold them."""

    def __init__(self, folder: Path, narrower: int, pixels: int, steps: int) -> None:
        self.steps = steps
        save_pipeline(narrower, folder / "base")
        self.model = load_diffusion(str(folder / "base"))
        self.noise = self.model.pipeline.scheduler.config
        self.controls: list[Control] = []
        read: list[ControlNetModel] = []
        for seed in (1, 2):
            place = folder / f"control-{seed}"
            self._draw_control(seed, place)
            self.controls.append(load_control(place, self.model))
            read.append(ControlNetModel.from_pretrained(place))
        self.read = read
        parts = self.model.pipeline.components
        self.pipelines = {
            count: StableDiffusionControlNetPipeline(
                **parts, controlnet=control, requires_safety_checker=False
            )
            for count, control in ((1, read[0]), (2, MultiControlNetModel(read)))
        }
        for pipeline in self.pipelines.values():
            pipeline.set_progress_bar_config(disable=True)
        self.hints = [edges(number, pixels) for number in (1, 2)]

    def _draw_control(self, seed: int, place: Path) -> None:
        """A control that is heard: its zero convolutions begin with Gaussian weights."""
        config = ControlConfig(joints="gaussian")
        control = Control(self.model.unet, self.model.shrinking, config, seed=seed)
        write_controlnet(self.model.unet, control.state_dict(), control.hint_channels, place)

    def take(self, sampler: type) -> None:
        """Both sides' sampler, with the noise that the base was trained with."""
        made = sampler.from_config(self.noise, skip_prk_steps=True)
        for pipeline in (self.model.pipeline, *self.pipelines.values()):
            pipeline.scheduler = made

    def graft(self, case: Case) -> np.ndarray:
        """Pictures [B, H, W, 3] by `run`."""
        chosen = zip(self.controls, self.hints, case.weights, strict=False)
        uses = [Use(control, hint, weight, end=case.end) for control, hint, weight in chosen]
        orders = itertools.starmap(Order, zip(PROMPTS, SEEDS, strict=True))
        settings = RunConfig(
            steps=self.steps, spacing="as saved", guess=case.guess, weighting=case.weighting
        )
        return np.stack(list(run(orders, self.model, uses, settings)))

    def diffusers(self, case: Case) -> np.ndarray:
        """The same by the pipeline, which reads the prompt in guess mode too."""
        count = len(case.weights)
        hints = [Image.fromarray(hint) for hint in self.hints[:count]]
        found = self.pipelines[count](
            [""] * len(PROMPTS) if case.guess else list(PROMPTS),
            image=hints if count > 1 else hints[0],
            num_inference_steps=self.steps,
            guidance_scale=RunConfig().guidance,
            generator=[torch.Generator().manual_seed(seed) for seed in SEEDS],
            controlnet_conditioning_scale=(
                list(case.weights) if count > 1 else case.weights[0]
            ),
            control_guidance_end=case.end,
            guess_mode=case.guess,
            output_type="np",
        )
        return (found.images * 255).round().astype(np.uint8)


def edges(number: int, pixels: int) -> np.ndarray:
    """The edges of a picture of the little world."""
    rng = np.random.default_rng(number)
    picture = draw_picture(rng, size=pixels)
    return annotate_picture(annotator_by_name("canny"), picture.pixels_HWC, rng).pixels_HWC


@dataclass(frozen=True, slots=True)
class Calls:
    """How often parts were called, and with how many pictures and branches in all."""

    count: int
    rows: int

    @classmethod
    def with_inputs(cls, inputs: Sequence[Tensor]) -> "Calls":
        """Told by what they were called with."""
        return cls(len(inputs), sum(map(len, inputs)))


@dataclass(frozen=True, slots=True)
class Seen:
    """One side's answer to a case, and what it called."""

    pictures: np.ndarray
    latents: Tensor
    denoiser: Calls
    control: Calls
    hint: Calls


def see(
    work: Callable[[Case], np.ndarray], case: Case, sides: Sides, controls: Sequence[nn.Module]
) -> Seen:
    """One side's answer, watched. The last parts are, for graft walks through a U-Net's."""
    model = sides.model
    with (
        inputs_of([model.vae], "post_quant_conv") as latents,
        inputs_of([model.unet], "conv_out") as denoiser,
        inputs_of(controls, "controlnet_mid_block") as control,
        inputs_of(controls, "controlnet_cond_embedding") as hint,
    ):
        pictures = work(case)
    calls = (Calls.with_inputs(given) for given in (denoiser, control, hint))
    return Seen(pictures, latents[0], *calls)


@contextmanager
def inputs_of(modules: Sequence[nn.Module], name: str) -> Iterator[list[Tensor]]:
    """What the parts of that name are called with, call by call."""
    calls: list[Tensor] = []

    def note(_: nn.Module, given: tuple[Tensor, ...]) -> None:
        calls.append(given[0])

    parts = [cast("nn.Module", getattr(module, name)) for module in modules]
    handles = [part.register_forward_pre_hook(note) for part in parts]
    try:
        yield calls
    finally:
        for handle in handles:
            handle.remove()


@dataclass(frozen=True, slots=True)
class Work:
    """TFLOP at the true size: of each part for one picture on one branch, and of the rest."""

    denoiser: float
    control: float
    hint: float
    rest: float

    def of(self, seen: Seen) -> float:
        """Of one of the pictures, by the calls that were seen."""
        walked = self.denoiser * seen.denoiser.rows + self.control * seen.control.rows
        return self.rest + (walked + self.hint * seen.hint.rows) / len(seen.pictures)


def true_work() -> Work:
    """Counted without numbers, on the meta device; attention's matrices written out."""
    with torch.device("meta"):
        parts = make_parts()
        control = Control(parts["unet"])
        noisy, words = torch.zeros(1, 4, 64, 64), torch.zeros(1, TOKENS, 768)
        time, features = torch.zeros(1, dtype=torch.int64), torch.zeros(1, 320, 64, 64)
        hint, ids = torch.zeros(1, 3, 512, 512), torch.zeros(2, TOKENS, dtype=torch.int64)

        def read_and_decode() -> None:
            parts["text_encoder"](ids)
            parts["vae"].decode(noisy)

        return Work(
            denoiser=operations(lambda: denoise(parts["unet"], noisy, time, words)),
            control=operations(lambda: control(noisy, time, words, features)),
            hint=operations(lambda: control.encode_hint(hint)),
            rest=operations(read_and_decode),
        )


def operations(work: Callable[[], object]) -> float:
    """TFLOP of a calculation."""
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        work()
    return counter.get_total_flops() / 1e12


def compare(sides: Sides, case: Case, work: Work) -> dict[str, object]:
    """A case's row: how far the sides are apart, and what each of them did."""
    sides.take(case.sampler)
    theirs = see(sides.diffusers, case, sides, sides.read)
    ours = see(sides.graft, case, sides, sides.controls)
    plain = sides.graft(Case("", (0.0,), guess=case.guess))
    apart = (ours.latents - theirs.latents).abs().max() / theirs.latents.abs().max()
    return {
        "case": case.name,
        "apart, of 255": furthest(ours.pictures, theirs.pictures),
        "moved, of 255": furthest(ours.pictures, plain),
        "latents apart": float(apart),
        "hints encoded, diffusers": theirs.hint.count,
        "hints encoded, graft": ours.hint.count,
        "controls computed, diffusers": theirs.control.count,
        "controls computed, graft": ours.control.count,
        "TFLOP, diffusers": work.of(theirs),
        "TFLOP, graft": work.of(ours),
    }


def furthest(one: np.ndarray, other: np.ndarray) -> int:
    """The largest difference of bytes."""
    return int(np.abs(one.astype(int) - other.astype(int)).max())


def timed(sides: Sides, repeats: int) -> dict[str, dict[str, float]]:
    """Seconds of the whole and of the half window on both sides, all four in turn.

    Of processor time, the best of all: other work on the machine is to count little.
    """
    sides.take(DDIMScheduler)
    works = [
        lambda side=side, case=case: side(case)
        for case in (WHOLE, HALF)
        for side in (sides.diffusers, sides.graft)
    ]
    found = [one.best for one in each_in_turn(works, repeats, time.process_time)]
    return {WHOLE.name: seconds(*found[:2]), HALF.name: seconds(*found[2:])}


def seconds(theirs: float, ours: float) -> dict[str, float]:
    """The timed columns."""
    return {
        "seconds, diffusers": theirs,
        "seconds, graft": ours,
        "seconds, graft / diffusers": ours / theirs,
    }


def half_of_whole(rows: Sequence[Row]) -> Row:
    """What the half window takes of the whole one's work and time."""
    columns = ("TFLOP, diffusers", "TFLOP, graft", "seconds, diffusers", "seconds, graft")
    whole, half = (cast("dict[str, float]", row) for row in rows[:2])
    shares = {column: half[column] / whole[column] for column in columns}
    return {"case": "half window / whole window", **shares}


def main() -> None:
    """Compare all cases, time two."""
    parser = arguments(QUESTION)
    parser.add_argument("--narrower", type=int, default=4, help="than Stable Diffusion 1.5")
    parser.add_argument("--pixels", type=int, default=128)
    parser.add_argument("--steps", type=int, default=20)
    given = parser.parse_args()
    disable_progress_bar()
    with tempfile.TemporaryDirectory() as place:
        sides = Sides(Path(place), given.narrower, given.pixels, given.steps)
        work = true_work()
        rows = [compare(sides, case, work) for case in CASES]
        times = timed(sides, given.repeats)
    rows = [{**row, **times.get(str(row["case"]), {})} for row in rows]
    publish("control_sample", QUESTION, [*rows, half_of_whole(rows)], given.record)


if __name__ == "__main__":
    main()
