"""The bytes of all tensors that are alive, and modules of which only the shapes are real."""

import weakref
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class Live(TorchDispatchMode):
    """Counts the bytes of tensors made while it lasts, from their making to their end.

    A storage counts once, however many tensors look at it; what was there before counts as
    nothing, and so does what a kernel takes for itself and gives back.
    """

    def __init__(self) -> None:
        super().__init__()
        self.now = self.peak = 0
        self._known: dict[int, int] = {}

    def __torch_dispatch__(
        self,
        func: torch._ops.OpOverload,
        types: Sequence[type],
        args: tuple[object, ...] = (),
        kwargs: Mapping[str, object] | None = None,
    ) -> object:
        for tensor in _tensors((args, kwargs)):
            self._add(tensor, new=False)
        out = func(*args, **(kwargs or {}))
        for tensor in _tensors(out):
            self._add(tensor, new=True)
        return out

    def _add(self, tensor: Tensor, *, new: bool) -> None:
        storage = tensor.untyped_storage()
        key = storage._cdata
        if key not in self._known:
            self._known[key] = storage.nbytes() if new else 0
            self.now += self._known[key]
            self.peak = max(self.peak, self.now)
            weakref.finalize(storage, self._end, key)

    def _end(self, key: int) -> None:
        self.now -= self._known.pop(key)


def _tensors(found: object) -> Iterator[Tensor]:
    return (leaf for leaf in tree_leaves(found) if isinstance(leaf, Tensor))


def fill_with_fakes(*modules: nn.Module) -> None:
    """Inside a fake mode: put fakes of the processor in place of parameters without storage."""
    for module in chain.from_iterable(one.modules() for one in modules):
        for name, old in module._parameters.items():
            if old is not None and old.device.type == "meta":
                fake = torch.empty(tuple(old.shape), dtype=old.dtype)
                module._parameters[name] = nn.Parameter(fake, requires_grad=old.requires_grad)
        for name, old in module._buffers.items():
            if old is not None and old.device.type == "meta":
                module._buffers[name] = torch.zeros(tuple(old.shape), dtype=old.dtype)
