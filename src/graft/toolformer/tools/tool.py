"""The tool contract: what every tool is, and nothing about any of them."""

import datetime
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from graft.errors import ToolError
from graft.toolformer.call import Call
from graft.toolformer.tools.arguments import Arguments


class LateError(ToolError):
    """The tool did not answer in time, or what it needs is away; another time it may."""


class BoundError(LateError):
    """A call and all that it led to would have gone beyond a limit; asked alone it may not."""


def own_kind(refusal: ToolError) -> type[ToolError]:
    """Graft's own class of a refusal; a tool's class may be built from anything."""
    if isinstance(refusal, BoundError):
        return BoundError
    return LateError if isinstance(refusal, LateError) else ToolError


@dataclass(frozen=True, slots=True)
class Context:
    """What a tool may know besides its argument: the text it is asked from, and its date.

    `within` is the call that it is asked within, where a tool asks others (see `tracing`).
    """

    date: datetime.date | None = None
    text: str = ""
    within: object | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Demonstration:
    """One example of the annotation prompt: a text, and where which call stands in it.

    `output` is `text` with calls written into it (Schick et al. 2023, Appendix A.2). `date` is
    the day it was written, where the answers hang on it.
    """

    text: str
    output: str
    date: datetime.date | None = None


@dataclass(frozen=True, slots=True)
class Prompt:
    """What is told to a model so that it proposes calls of one tool."""

    instruction: str
    demonstrations: tuple[Demonstration, ...] = ()


SHORTEST_SECONDS, LONGEST_SECONDS = 1e-6, 86_400.0
MOST_RETRIES = 100

Question = tuple[str, Context]
"""An argument, and from where it is asked."""


def anywhere(_text: str, _context: Context) -> bool:
    """The prefilter of a tool that may help any text."""
    return True


def no_calls(_text: str, _context: Context) -> list[tuple[int, Call]]:
    """The rules of a tool that has none."""
    return []


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """A named function from text to text, with what the stages need to know of it.

    Args:
        name: as it is written in a call, e.g. `Calculator`.
        answer: the function; raises `ToolError` when it has no answer, `LateError` when
            another time it may have one.
        answer_many: the same for many arguments at once, where that is cheaper: an answer or an
            error for each, in their order.
        prompt: for proposals by the model.
        sees: the document prefilter (Appendix A): may this text profit from the tool?
        rules: proposals found in the text itself, as (character position, unanswered call);
            the call belongs in front of the text from that position on.
        quoted: whether its argument is written in quotes.
        by_text: whether its answer hangs on the text that it is asked from.
        copies: whether its argument is copied from the text; then calls whose argument stands
            only behind them are dropped (Appendix A).
        version: changes whenever the same argument may get another answer.
        timeout_seconds: a call that takes longer counts as having no answer; many at once may
            take as many times as long.
        max_result_characters: a longer result is cut.
        most_at_once: questions that are put to `answer_many` together.
        most_calls: calls that may run at the same time; others wait.
        retries: how often what came too late is asked again, after a wait that doubles.
        cost: of one call that is asked and not remembered, in a unit of yours.
        place: where it stands in Python, if it is none that graft brings.
        description: what it does, where its prompt is written from that.
        arguments: what it takes, where that is known beyond one line of text.
        helps: which texts it can help, in a line or two.
        limits: what it cannot do.
    """

    name: str
    answer: Callable[[str, Context], str]
    answer_many: Callable[[Sequence[Question]], Sequence[str | ToolError]] | None = None
    prompt: Prompt = field(default_factory=lambda: Prompt(""))
    sees: Callable[[str, Context], bool] = anywhere
    rules: Callable[[str, Context], list[tuple[int, Call]]] = no_calls
    quoted: bool = False
    by_text: bool = False
    copies: bool = False
    version: str = "1"
    timeout_seconds: float = 5.0
    max_result_characters: int = 300
    most_at_once: int = 64
    most_calls: int = 16
    retries: int = 0
    cost: float = 0.0
    place: str | None = None
    description: str = ""
    arguments: Arguments | None = None
    helps: str = ""
    limits: str = ""

    def __post_init__(self) -> None:
        """Refuse what no call could be made with."""
        require_bounds(self)


def require_bounds(settings: object) -> None:
    """Raise ValueError where a limit of a tool, or of settings for one, holds for no call.

    Of settings those that are None are not given.
    """
    bounds = {
        **dict.fromkeys(("max_result_characters", "most_at_once", "most_calls"), (1, math.inf)),
        "timeout_seconds": (SHORTEST_SECONDS, LONGEST_SECONDS),
        "retries": (0, MOST_RETRIES),
        "cost": (0, math.inf),
    }
    for name, (least, most) in bounds.items():
        value = getattr(settings, name)
        if value is None or (least <= value <= most and math.isfinite(value)):
            continue
        raise ValueError(
            f"{name} is at least {least:g} and "
            + (f"at most {most:g}" if math.isfinite(most) else "finite")
        )
