"""What a folder of a language model must hold, and the network that is read out of it."""

import contextlib
from collections.abc import Generator
from pathlib import Path
from typing import cast

from safetensors import SafetensorError
from torch import nn
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForSeq2SeqLM,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from graft.errors import ModelError
from graft.models.quiet import no_progress_bars
from graft.models.weights import require_weights

_SAVE = "save it with model.save_pretrained(folder) and tokenizer.save_pretrained(folder)"
_PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt")
_TOKENIZERS = ("tokenizer.*", "vocab*", "*.model", "*.tiktoken")
_HINT = (
    "Give a folder made by save_pretrained, a hub id (with network, or in the local cache), or "
    "'seedling'."
)


def require_whole(folder: Path) -> None:
    """Raise ModelError that names what is missing in `folder`, and the remedy."""
    if not (folder / "config.json").is_file():
        raise ModelError(f"{folder} is not a model folder: it has no config.json; {_SAVE}")
    if not _any(folder, ("*.safetensors",)):
        pickle = _any(folder, _PICKLES)
        only = f", only {pickle}, a pickle, which can run code and is not read" * bool(pickle)
        raise ModelError(f"{folder} has no weights in safetensors{only}; {_SAVE}")
    if not _any(folder, _TOKENIZERS):
        raise ModelError(f"{folder} has no tokenizer; {_SAVE}")


def reads_then_writes(place: str | Path) -> bool:
    """Whether the model at a folder or hub id is a sequence-to-sequence one.

    Raises:
        ModelError: its configuration cannot be read.
    """
    if place_is_folder(place):
        require_whole(Path(place))
    with _told(place, "config.json"):
        config = AutoConfig.from_pretrained(place, trust_remote_code=False)
    return bool(config.is_encoder_decoder)


def read_model(
    place: str | Path, dtype: str, *, sequences: bool = False
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """The network and the tokenizer at a folder or hub id.

    Args:
        place: the folder or hub id; code that it brings is not run.
        dtype: of the weights.
        sequences: it is a sequence-to-sequence model, else a causal one.

    Raises:
        ModelError: they cannot be read, do not fit each other, or weights are missing, of
            another shape, or no numbers; names the first of them.
    """
    if place_is_folder(place):
        require_whole(Path(place))
    with _told(place, "tokenizer"):
        tokenizer = cast(
            "PreTrainedTokenizerBase",
            AutoTokenizer.from_pretrained(place, trust_remote_code=False),
        )
    kind = AutoModelForSeq2SeqLM if sequences else AutoModelForCausalLM
    with _told(place, "weights"):
        read: object = kind.from_pretrained(
            place,
            trust_remote_code=False,
            use_safetensors=True,
            dtype=dtype,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # told below, by their names
        )
    network, told = cast("tuple[PreTrainedModel, dict[str, object]]", read)
    require_weights(place, network, told, f"fetch the model again, or {_SAVE}")
    # beyond these some tokenizers have marks of chats, which no text is turned into here
    _require_rows(place, network, max(tokenizer.vocab_size, *_ends(tokenizer)))
    return network, tokenizer


def place_is_folder(place: str | Path) -> bool:
    """Whether `place` is a path of this machine and not a hub id.

    Raises ModelError where it looks like a path and nothing is there, or may not be read.
    """
    try:
        there = Path(place).exists()
    except OSError as error:
        raise ModelError(f"{place}: cannot be read: {error.strerror}") from error
    written = str(place)
    if not there and (written.startswith((".", "/", "~")) or written.count("/") > 1):
        raise ModelError(f"{place}: no such folder. {_HINT}")
    return there


@contextlib.contextmanager
def _told(place: str | Path, part: str) -> Generator[None]:
    """Turns what a library says of a part that it cannot read into a ModelError."""
    try:
        with no_progress_bars():
            yield
    except (OSError, ValueError, KeyError, ImportError, SafetensorError) as error:
        raise ModelError(
            f"cannot load the model '{place}': its {part}: {_first_line(error)} {_HINT}"
        ) from error


def _any(folder: Path, patterns: tuple[str, ...]) -> str:
    """The name of a file of these kinds in `folder`, or nothing."""
    found = sorted(path.name for pattern in patterns for path in folder.glob(pattern))
    return found[0] if found else ""


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{lines[0].rstrip('.')}." if lines else f"{type(error).__name__}."


def _require_rows(place: str | Path, network: PreTrainedModel, tokens: int) -> None:
    embedding = network.get_input_embeddings()
    if isinstance(embedding, nn.Embedding) and tokens > embedding.num_embeddings:
        raise ModelError(
            f"{place}: its tokenizer has {tokens} tokens and its network"
            f" {embedding.num_embeddings}; they are of different models; {_SAVE}"
        )


def _ends(tokenizer: PreTrainedTokenizerBase) -> list[int]:
    ids: list[object] = [tokenizer.bos_token_id, tokenizer.eos_token_id]
    return [0, *(one + 1 for one in ids if isinstance(one, int))]
