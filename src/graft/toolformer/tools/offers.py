"""What servers and services offer: asked of them, or as it is kept beside their answers."""

from collections.abc import Callable
from typing import Protocol, runtime_checkable


@runtime_checkable
class Offers(Protocol):
    """Says what a place offers, as a text, when its tools are loaded."""

    @property
    def asks(self) -> bool:
        """Whether anybody is asked at all; else no secret is needed either."""
        ...

    def offered(self, place: str, ask: Callable[[], str]) -> str:
        """What the server or service at `place` offers.

        Args:
            place: as `mcp:python server.py`.
            ask: asks it.

        Raises:
            ConfigError: it cannot be asked.
            StoreError: it is not to be asked, and what it offers is not kept.
        """
        ...


class AskedAnew:
    """Every place is asked, and nothing is kept."""

    asks = True

    def offered(self, place: str, ask: Callable[[], str]) -> str:  # noqa: ARG002
        """What it says."""
        return ask()


ASKED_ANEW = AskedAnew()
