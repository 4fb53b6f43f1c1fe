"""What is to be found among a network's weights once a library has read them.

`transformers` and `diffusers` draw weights that a file lacks at random, or leave what memory
held, and say so in a log; a model of which a part is noise would work as if nothing were wrong.
"""

from collections.abc import Iterator, Mapping
from typing import cast

from torch import Tensor, nn

from graft.errors import ModelError


def require_weights(
    place: object, network: nn.Module, told: Mapping[str, object], remedy: str
) -> None:
    """Raise ModelError that names the first weight that `network` was not given.

    Args:
        place: where it comes from, for the message.
        network: what was read.
        told: what `from_pretrained` says with `output_loading_info` and with
            `ignore_mismatched_sizes`; keys that its library knows to be left out are not there.
        remedy: what to do, for the message.
    """
    missing = sorted(cast("set[str]", told["missing_keys"]))
    reshaped = sorted(cast("set[tuple[str, object, object]]", told["mismatched_keys"]))
    _refuse(place, missing, "is missing from its weights", remedy)
    names = [name for name, *_ in reshaped]
    _refuse(place, names, "has another shape than its config.json says", remedy)
    require_numbers(place, dict(network.named_parameters()), remedy)


def require_numbers(place: object, weights: Mapping[str, Tensor], remedy: str) -> None:
    """Raise ModelError that names the first tensor with values that are not finite."""
    _refuse(place, list(_broken(weights)), "holds values that are no numbers", remedy)


def _broken(weights: Mapping[str, Tensor]) -> Iterator[str]:
    for name, tensor in weights.items():
        if not bool(tensor.isfinite().all()):
            yield name


def _refuse(place: object, names: list[str], state: str, remedy: str) -> None:
    if names:
        more = f", and {len(names) - 1} more" if len(names) > 1 else ""
        raise ModelError(f"{place}: the tensor {names[0]} {state}{more}; {remedy}")
