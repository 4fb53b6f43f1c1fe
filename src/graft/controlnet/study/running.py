"""Finished controls at work: weighted by resolution, and two at once.

Fidelity is that of pictures held out from every run that takes part.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import cast, get_args

import numpy as np

from graft.config import changed
from graft.controlnet.control import Controlled, Weighting
from graft.controlnet.dataset import Pair
from graft.controlnet.fidelity import fidelities
from graft.controlnet.grids import grid, write_picture
from graft.controlnet.run import one_decoder
from graft.controlnet.sampling import RunConfig, Steering, sample
from graft.controlnet.validation import seed_of
from graft.controlnet.workshop import Workshop
from graft.errors import ConfigError, DataError
from graft.measure.interval import bootstrap_mean
from graft.scale.progress import Progress

_SHOWN = 8


@dataclass(frozen=True, slots=True)
class Share:
    """How much of one control takes part: its weight, and during which share of the steps."""

    weight: float = 1.0
    start: float = 0.0
    end: float = 1.0


TOGETHER: Mapping[str, tuple[Share | None, Share | None]] = {
    "none": (None, None),
    "first alone": (Share(), None),
    "second alone": (None, Share()),
    "both": (Share(), Share()),
    "both at 0.7": (Share(0.7), Share(0.7)),
    "both at 0.5": (Share(0.5), Share(0.5)),
    "first, then second": (Share(end=0.5), Share(start=0.5)),
    "second, then first": (Share(start=0.5), Share(end=0.5)),
}


def study_weighting(
    run: Path, guidances: Sequence[float], found: dict[str, object]
) -> Iterator[Progress]:
    """Fidelity under each form of resolution weighting and each guidance; fills `found`.

    Section 3.2 of the paper. Other than with `none`, the control acts on the branch with the
    prompt alone; without guidance (1) there is no other branch.

    Raises:
        ConfigError: no guidance is named, or one that is no number.
        DataError: the run holds out no picture.
    """
    if not guidances:
        raise ConfigError("no guidance is named; give one number or more, as 1.5,3,5")
    shop = Workshop.resume(run)
    plain, forms = shop.config.evaluate.run, cast("tuple[Weighting, ...]", get_args(Weighting))
    cases = [
        changed(plain, guidance=guidance, weighting=form)
        for guidance in guidances
        for form in forms
    ]
    pairs = shop.chosen(shop.division().evaluation)
    if not pairs:
        raise DataError(
            f"{run}: holds out no picture to evaluate on; teach one with evaluate.pictures of 1"
            " or more, from five pictures or more"
        )
    controlled = shop.trained()
    rows = [[pair.condition.pixels_HWC for pair in pairs[:_SHOWN]]]
    for done, settings in enumerate(cases, start=1):
        guidance, form = settings.guidance, settings.weighting
        pictures = _sample(shop, pairs, [(controlled, pairs, Share())], settings)
        of_form = cast("dict[str, object]", found.setdefault(form, {}))
        of_form[f"{guidance:g}"] = _fidelity(shop, pictures, pairs)
        rows.append(list(pictures[:_SHOWN]))
        yield Progress("study weighting", done, len(cases), "settings", f"{form}, {guidance:g}")
    write_picture(run / "study" / "weighting-pictures.png", grid(rows))


def study_together(
    first: Path, second: Path, out: Path, found: dict[str, object]
) -> Iterator[Progress]:
    """Two controls of one base on the same pictures: each alone, both, in turn; fills `found`.

    Raises:
        ConfigError: the runs have other bases, or no picture that both held out, or both have
            an unlocked decoder.
    """
    shops = [Workshop.resume(first), Workshop.resume(second)]
    if shops[0].config.base != shops[1].config.base:
        raise ConfigError(f"{first} and {second} have other bases: they cannot run together")
    if shops[0].config.condition == shops[1].config.condition:
        raise ConfigError(f"{first} and {second} follow the same condition; take two of them")
    names = set(shops[0].division().evaluation) & set(shops[1].division().evaluation)
    shared = [name for name in shops[0].division().evaluation if name in names]
    if not shared:
        raise ConfigError(
            f"{first} and {second} hold out no picture in common; teach both from the same"
            " folder with the same seed"
        )
    pairs = [shop.chosen(shared) for shop in shops]
    controls = [shop.trained() for shop in shops]
    one_decoder(controlled.decoder for controlled in controls)  # or they cannot be run at once
    rows = [[pair.condition.pixels_HWC for pair in own[:_SHOWN]] for own in pairs]
    settings = shops[0].config.evaluate.run
    for done, (name, shares) in enumerate(TOGETHER.items(), start=1):
        acting = [
            (control, own, share)
            for control, own, share in zip(controls, pairs, shares, strict=True)
            if share is not None
        ]
        pictures = _sample(shops[0], pairs[0], acting, settings)
        found[name] = {
            shop.config.condition: _fidelity(shop, pictures, own)
            for shop, own in zip(shops, pairs, strict=True)
        }
        rows.append(list(pictures[:_SHOWN]))
        yield Progress("study together", done, len(TOGETHER), "settings", name)
    rows.append([pair.pixels_HWC for pair in pairs[0][:_SHOWN]])
    write_picture(out / "together-pictures.png", grid(rows))


def _sample(
    shop: Workshop,
    pairs: Sequence[Pair],
    acting: Sequence[tuple[Controlled, Sequence[Pair], Share]],
    settings: RunConfig,
) -> np.ndarray:
    """A picture [N, H, W, 3] for each pair, from the noise that `evaluate` takes."""
    steerings = [
        Steering(
            controlled.control,
            np.stack([pair.condition.pixels_HWC for pair in own]),
            share.weight,
            share.start,
            share.end,
        )
        for controlled, own, share in acting
    ]
    words = shop.model.embed([pair.caption for pair in pairs])
    seeds = [seed_of(f"{shop.config.evaluate.seed}/{pair.id}") for pair in pairs]
    empty = shop.model.embed([""])
    decoder = one_decoder(controlled.decoder for controlled, _, _ in acting)
    return sample(shop.model, words, empty, seeds, steerings, settings, decoder=decoder)


def _fidelity(shop: Workshop, pictures: np.ndarray, pairs: Sequence[Pair]) -> dict[str, float]:
    values = fidelities(shop.annotator, list(pictures), [pair.condition for pair in pairs])
    return asdict(bootstrap_mean(values))
