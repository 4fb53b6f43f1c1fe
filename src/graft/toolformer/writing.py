"""One text being continued: writing, opening a call, asking, waiting for the answer, done.

Schick et al. 2023, Section 2, "Inference", and Section 4.2 for the top-k rule. A `Writer`
decides what is fed next from the log-probabilities that it is shown; it never runs the model,
so that many of them share a batch and none holds up the others.

Legend: V vocabulary.
"""

import time
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from enum import Enum, auto

import numpy as np
from jaxtyping import Float
from torch import Tensor

from graft.errors import ToolError
from graft.models.language import LanguageModel
from graft.toolformer.call import ARROW, CLOSE, OPEN, Call, parse_asked
from graft.toolformer.dataset import Text, call_tokens, generator
from graft.toolformer.tools.execute import Asker
from graft.toolformer.tools.tool import Tool


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """Settings of `run`."""

    top_k: int = 10  # a call opens where its marker is among the k likeliest (Section 4.2)
    max_calls: int = 1  # per text (Section 4.2)
    max_new_tokens: int = 48  # of text; calls do not count
    call_tokens: int = 40  # a call that is longer is taken back
    least_probability: float = 0.0  # a call opens only where its marker is at least so likely
    disabled: tuple[str, ...] = ()  # tools that are not to be called
    temperature: float = 0.0
    rows: int = 32  # texts continued together
    wait_for_tools: bool = False  # hold the batch for answers: same bytes however slow a tool
    seed: int = 0


@dataclass(frozen=True, slots=True)
class TracedCall:
    """A call that was made while writing; `at` is the character of `plain` it stands before."""

    call: Call
    seconds: float
    error: str | None
    at: int


class State(Enum):
    """What a writer is doing."""

    WRITING = auto()
    OPENING = auto()
    ASKING = auto()
    WAITING = auto()
    DONE = auto()


@dataclass(slots=True)
class Question:
    """A call under way: where it began, and what is fed and written of it so far."""

    began: int
    fed: list[int] = field(default_factory=list[int])
    call: Call | None = None
    answer: Future[str] | None = None
    asked_at: float = 0.0


class Writer:
    """The state of one text; `tokens` is the continuation, calls included, as fed so far."""

    def __init__(
        self,
        text: Text,
        prompt: list[int],
        model: LanguageModel,
        tools: Mapping[str, Tool],
        settings: RunConfig,
        executor: Asker,
    ) -> None:
        self.text, self.prompt, self.model, self.settings = text, prompt, model, settings
        self.executor = executor
        self.tools = {
            name: tool for name, tool in tools.items() if name not in settings.disabled
        }
        self.state = State.WRITING
        self.tokens: list[int] = []
        self.plain: list[int] = []
        self.calls: list[TracedCall] = []
        self.marker = model.encode_after(OPEN)
        self.question = Question(0)
        self._shut_at: set[int] = set()
        self._rng = generator(settings.seed, "run", text.id)

    def next_tokens(self, logprob_V: Float[Tensor, " V"]) -> tuple[list[int], int | None]:
        """What to feed next, and to which length of `tokens` to rewind before that, if at all.

        Nothing is to be fed while the writer waits or is done. A length of -1 means that the
        last token of the prompt is fed again.
        """
        match self.state:
            case State.WRITING:
                return self._write(logprob_V), None
            case State.OPENING:
                return self._open_further(logprob_V)
            case State.ASKING:
                return self._ask_further(logprob_V)
            case _:
                return [], None

    def take_answer(self) -> tuple[list[int], int | None]:
        """What to feed once the tool is back: the rest of the call, or the text without it."""
        question = self.question
        assert question.call is not None
        assert question.answer is not None
        seconds = time.perf_counter() - question.asked_at
        try:
            call = question.call.answered(question.answer.result())
        except ToolError as refusal:
            self._trace(question.call, seconds, str(refusal))
            return self.take_back()
        self._trace(call, seconds, None)
        whole = call_tokens(self.model, call)
        same = _common(whole, question.fed)
        self.state = State.WRITING
        del self.tokens[question.began + same :]
        return self._feed(whole[same:]), question.began + same

    def take_back(self) -> tuple[list[int], int | None]:
        """Forget the call and go on from before it; it is not opened there again.

        Gives what `next_tokens` gives.
        """
        self._shut_at.add(self.question.began)
        self.state = State.WRITING
        del self.tokens[self.question.began :]
        last = self.tokens[-1] if self.tokens else self.prompt[-1]
        return [last], self.question.began - 1

    @property
    def asking(self) -> bool:
        """Whether a call is begun and not asked yet."""
        return self.state in (State.OPENING, State.ASKING)

    @property
    def answered(self) -> bool:
        """Whether the tool that is waited for is back."""
        return self.question.answer is not None and self.question.answer.done()

    def _write(self, logprob_V: Float[Tensor, " V"]) -> list[int]:
        if self._may_open(logprob_V, 0):
            self.state = State.OPENING
            self.question = Question(len(self.tokens))
            return self._feed_question([self.marker[0]])
        token = self._choose(self._without_marker(logprob_V))
        if token == self.model.end or len(self.plain) >= self.settings.max_new_tokens:
            self.state = State.DONE
            return []
        self.plain.append(token)
        return self._feed([token])

    def _open_further(self, logprob_V: Float[Tensor, " V"]) -> tuple[list[int], int | None]:
        done = len(self.question.fed)
        if done == len(self.marker):
            self.state = State.ASKING
            return self._ask_further(logprob_V)
        if self._may_open(logprob_V, done):
            return self._feed_question([self.marker[done]]), None
        return self.take_back()

    def _may_open(self, logprob_V: Float[Tensor, " V"], part: int) -> bool:
        if part == 0 and (
            not self.tools
            or len(self.calls) >= self.settings.max_calls
            or len(self.tokens) in self._shut_at
        ):
            return False
        likely = logprob_V[self.marker[part]]
        rank = int((logprob_V > likely).sum())
        over = float(likely.exp()) >= self.settings.least_probability
        return rank < self.settings.top_k and over

    def _ask_further(self, logprob_V: Float[Tensor, " V"]) -> tuple[list[int], int | None]:
        question = self.question
        token = self._choose(logprob_V)
        written = self.model.decode([*question.fed[len(self.marker) :], token])
        if ARROW in written or CLOSE in written:
            call = parse_asked(written.partition(CLOSE)[0].partition(ARROW)[0])
            return self._submit(call)
        too_long = len(question.fed) - len(self.marker) >= self.settings.call_tokens
        if token == self.model.end or "\n" in written or too_long:
            return self.take_back()
        return self._feed_question([token]), None

    def _submit(self, call: Call | None) -> tuple[list[int], int | None]:
        tool = None if call is None else self.tools.get(call.tool)
        if call is None or tool is None or call.quoted != tool.quoted:
            return self.take_back()
        self.state = State.WAITING
        self.question.call, self.question.asked_at = call, time.perf_counter()
        self.question.answer = self.executor.submit(tool, call.argument, self.text.context)
        return [], None

    def _trace(self, call: Call, seconds: float, error: str | None) -> None:
        at = len(self.model.decode(self.plain))
        self.calls.append(TracedCall(call, seconds, error, at))

    def _feed(self, tokens: list[int]) -> list[int]:
        self.tokens += tokens
        return tokens

    def _feed_question(self, tokens: list[int]) -> list[int]:
        self.question.fed += tokens
        return self._feed(tokens)

    def _without_marker(self, logprob_V: Float[Tensor, " V"]) -> Float[Tensor, " V"]:
        """p(<API>) = 0 (footnote 5): the token that would complete the marker is ruled out."""
        before = self.marker[:-1]
        tail = [*self.prompt, *self.tokens][-len(before) :] if before else []
        if tail != before:
            return logprob_V
        ruled = logprob_V.clone()
        ruled[self.marker[-1]] = -np.inf
        return ruled

    def _choose(self, logprob_V: Float[Tensor, " V"]) -> int:
        if self.settings.temperature == 0:
            return int(logprob_V.argmax())
        cumulative = (logprob_V / self.settings.temperature).softmax(-1).double().cumsum(-1)
        draw = self._rng.random() * float(cumulative[-1])
        return int((cumulative <= draw).sum())


def _common(left: list[int], right: list[int]) -> int:
    """How many tokens two lists share from the start."""
    pairs = zip(left, right, strict=False)
    return next((k for k, (a, b) in enumerate(pairs) if a != b), min(len(left), len(right)))
