"""What a folder of a Stable Diffusion pipeline must hold, and what is read out of it."""

import contextlib
import importlib
import json
from collections.abc import Generator, Iterator, Mapping
from pathlib import Path
from typing import cast

import torch
from diffusers.models.modeling_utils import ModelMixin
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion import (
    StableDiffusionPipeline,
)
from diffusers.pipelines.stable_diffusion_xl.pipeline_stable_diffusion_xl import (
    StableDiffusionXLPipeline,
)
from huggingface_hub import hf_hub_download
from safetensors import SafetensorError
from torch import nn
from transformers import PreTrainedModel

from graft.errors import ModelError
from graft.models.quiet import no_pipeline_bars
from graft.models.unet import require_usual
from graft.models.weights import require_weights

SEEDLING = "seedling"
PARTS = ("unet", "vae", "text_encoder", "text_encoder_2")

_FOLDER = Path(__file__).parent / "seedlings" / "diffusion"
_TOKENIZERS = ("tokenizer", "tokenizer_2")
_FOLDERS = (*PARTS, *_TOKENIZERS, "scheduler")
_WORDS = ("tokenizer.json", "merges.txt", "*.model")
_AGAIN = "fetch the base again, or save it with pipeline.save_pretrained(folder)"
_CONVERT = (
    "convert it with diffusers: StableDiffusionPipeline.from_single_file(file)"
    ".save_pretrained(folder), or with StableDiffusionXLPipeline for an XL one"
)

Pipeline = StableDiffusionPipeline | StableDiffusionXLPipeline
_Network = ModelMixin | PreTrainedModel


def read_pipeline(name: str, unet: nn.Module | None = None) -> Pipeline:
    """The pipeline from where it is kept, with its own U-Net or around a given one.

    Raises:
        ModelError: a part or a weight of it is missing, of another shape, or no number, or it
            is of another family; says nothing of `name`, which `naming` does.
    """
    source = str(_FOLDER) if name == SEEDLING else name
    given: dict[str, object] = {} if unet is None else {"unet": unet}
    with no_pipeline_bars():
        index = _index_of(source)
        family = _family_of(index)
        _require_parts(Path(source), index)
        for part, kind in _networks_of(index):
            if part not in given:
                given[part] = _read_part(source, part, kind)
        return family.from_pretrained(
            source, use_safetensors=True, dtype=torch.float32, safety_checker=None, **given
        )


@contextlib.contextmanager
def naming(name: str) -> Generator[None]:
    """Puts the model's name before what is wrong with it."""
    try:
        yield
    except ModelError as error:
        raise ModelError(f"{name}: {error}") from error
    except (OSError, ValueError, KeyError, TypeError, ImportError, SafetensorError) as error:
        first = next(iter(str(error).strip().splitlines()), repr(error))
        raise ModelError(
            f"{name}: cannot be loaded as a diffusion pipeline: {first}; name a hub id, a"
            " folder with model_index.json and safetensors, or 'seedling'"
        ) from error


def _index_of(source: str) -> dict[str, object]:
    """What a pipeline is made of, read before any weights are."""
    name, folder = "model_index.json", Path(source)
    if folder.is_file():
        raise ModelError(f"is a single file, and a base is a folder; {_CONVERT}")
    if not folder.is_dir() and _is_path(source):
        raise FileNotFoundError("there is no such folder")
    path = folder / name if folder.is_dir() else Path(hf_hub_download(source, name))
    index: object = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(index, dict):
        raise ModelError(f"{path} does not tell its parts by their names; {_AGAIN}")
    return cast("dict[str, object]", index)


def _is_path(source: str) -> bool:
    """Whether it names a folder of this machine, be it there or not, and no hub id."""
    if source.startswith((".", "/", "~")) or source.count("/") != 1:
        return True
    return Path(source).parent.is_dir()


def _family_of(index: Mapping[str, object]) -> type[Pipeline]:
    """The pipeline's class, known before its weights are loaded."""
    classes = (StableDiffusionPipeline, StableDiffusionXLPipeline)
    families = {one.__name__: one for one in classes}
    kind = str(index.get("_class_name"))
    if kind not in families:
        raise ModelError(
            f"is a {kind}; take a text-to-image pipeline of the Stable Diffusion 1, 2 or XL"
            " family"
        )
    return families[kind]


def _require_parts(folder: Path, index: Mapping[str, object]) -> None:
    """Refuse a folder that lacks a part, for a tokenizer is made of nothing without a word."""
    for part in _FOLDERS if folder.is_dir() else ():
        if _is_there(index, part):
            if not any((folder / part).glob("*")):
                raise ModelError(f"{folder / part} is missing or empty; save the pipeline anew")
            if part in _TOKENIZERS:
                _require_words(folder / part)


def _is_there(index: Mapping[str, object], part: str) -> bool:
    return cast("list[str | None]", index.get(part) or [None])[0] is not None


def _require_words(folder: Path) -> None:
    if not any(path for pattern in _WORDS for path in folder.glob(pattern)):
        raise ModelError(
            f"{folder} has neither tokenizer.json nor vocab.json with merges.txt, so that every"
            f" prompt would be the same; {_AGAIN}"
        )


def _networks_of(index: Mapping[str, object]) -> Iterator[tuple[str, type[_Network]]]:
    """The parts that have weights, each with its class; other libraries' are left out."""
    for part in PARTS:
        if _is_there(index, part):
            library, name = cast("list[str]", index[part])
            if library in ("diffusers", "transformers"):
                kind: object = getattr(importlib.import_module(library), name, None)
                if not isinstance(kind, type) or not issubclass(kind, _Network):
                    raise ModelError(f"its {part} is a {name}, no network of {library}'s")
                yield part, kind


def _read_part(source: str, part: str, kind: type[_Network]) -> nn.Module:
    """One network, of which every weight was in its file."""
    read: object = kind.from_pretrained(
        source,
        subfolder=part,
        use_safetensors=True,
        dtype=torch.float32,
        output_loading_info=True,
        ignore_mismatched_sizes=True,  # told below, by their names
    )
    network, told = cast("tuple[nn.Module, dict[str, object]]", read)
    if isinstance(network, UNet2DConditionModel):
        require_usual(network)
    place = Path(source) / part if Path(source).is_dir() else f"its {part}"
    require_weights(place, network, told, _AGAIN)
    return network
