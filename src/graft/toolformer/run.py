"""Decode with calls: many texts at once, and none waits for another one's tool.

Schick et al. 2023, Section 2, "Inference"; the rules of a single text are in `writing`.
"""

from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, wait
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from graft.errors import DataError
from graft.models.language import Decoder, LanguageModel
from graft.toolformer.dataset import Text
from graft.toolformer.tools.execute import Asker, Executor
from graft.toolformer.tools.tool import Tool
from graft.toolformer.writing import RunConfig, State, TracedCall, Writer


@dataclass(frozen=True, slots=True)
class Generation:
    """A continued text: `text` with its calls written in, `plain` without them."""

    id: str
    prompt: str
    text: str
    plain: str
    calls: tuple[TracedCall, ...]
    cut: int
    """Tokens of the prompt's beginning that did not fit the context."""


@dataclass(frozen=True, slots=True)
class Wrote:
    """A stretch of plain text that was just written."""

    id: str
    text: str


@dataclass(frozen=True, slots=True)
class Called:
    """A call that was just answered, or refused."""

    id: str
    call: TracedCall


Event = Wrote | Called | Generation


def run(
    prompts: Iterable[Text],
    model: LanguageModel,
    tools: Mapping[str, Tool],
    settings: RunConfig,
    executor: Asker | None = None,
) -> Iterator[Generation]:
    """Continue each prompt, calling tools; the generations come in the order of the prompts.

    A prompt that leaves no room in the context for `max_new_tokens` and the calls loses its
    beginning, down to half the context and no further; `Generation.cut` says how much. A text
    that fills the context ends there: a call that is not yet asked is taken back, and an answer
    that does not fit is written as the text's last words.
    """
    early: dict[str, Generation] = {}
    waiting: list[str] = []

    def noted() -> Iterator[Text]:
        for prompt in prompts:
            waiting.append(prompt.id)
            yield prompt

    for event in stream(noted(), model, tools, settings, executor):
        if isinstance(event, Generation):
            early[event.id] = event
            while waiting and waiting[0] in early:
                yield early.pop(waiting.pop(0))


def stream(
    prompts: Iterable[Text],
    model: LanguageModel,
    tools: Mapping[str, Tool],
    settings: RunConfig,
    executor: Asker | None = None,
) -> Iterator[Event]:
    """What happens while prompts are continued, as it happens; each ends in a `Generation`."""
    batch = _Batch(model, tools, settings, executor or Executor())
    queue = iter(prompts)
    while True:
        batch.admit(queue)
        if not batch.writers:
            return
        yield from batch.step()


class _Batch:
    """Writers at the rows of a decoder; a row that falls free takes the next prompt."""

    def __init__(
        self,
        model: LanguageModel,
        tools: Mapping[str, Tool],
        settings: RunConfig,
        executor: Asker,
    ) -> None:
        self.model, self.tools, self.settings = model, tools, settings
        self.executor = executor
        self.decoder: Decoder = model.decoder(settings.rows)
        self.writers: dict[int, Writer] = {}
        self.seen: dict[int, Float[Tensor, " V"]] = {}
        self.told: dict[int, tuple[int, int]] = {}
        self.cut: dict[int, int] = {}
        self._feeds: dict[int, list[int]] = {}

    def admit(self, queue: Iterator[Text]) -> None:
        """Begin as many prompts as there are free rows."""
        for row in range(self.settings.rows):
            if row in self.writers:
                continue
            text = next(queue, None)
            if text is None:
                return
            prompt, cut = self._prompt(text)
            self.writers[row] = Writer(
                text, prompt, self.model, self.tools, self.settings, self.executor
            )
            self.decoder.rewind(row, 0)
            self.told[row], self.cut[row] = (0, 0), cut
            self._feeds[row] = prompt

    def step(self) -> Iterator[Event]:
        """One pass of the model over every row that has something to say."""
        if self._feeds:
            rows = sorted(self._feeds)
            logprob_BV = self.decoder.feed(rows, [self._feeds[row] for row in rows])
            self.seen.update(zip(rows, logprob_BV, strict=True))
            self._feeds = {}
        else:
            pending = [w.question.answer for w in self.writers.values() if w.question.answer]
            wait(pending, return_when=FIRST_COMPLETED)
        for row in list(self.writers):
            self._advance(row)
        if self.settings.wait_for_tools:
            self._take_all()
        for row in list(self.writers):
            yield from self._report(row)

    def _advance(self, row: int) -> None:
        writer = self.writers[row]
        if writer.state is State.WAITING:
            if writer.answered:
                self._plan(row, *writer.take_answer())
        elif row in self.seen:
            self._plan(row, *writer.next_tokens(self.seen.pop(row)))

    def _take_all(self) -> None:
        for row, writer in self.writers.items():
            if writer.state is State.WAITING:
                self._plan(row, *writer.take_answer())

    def _plan(self, row: int, tokens: list[int], length: int | None) -> None:
        writer = self.writers[row]
        if length is not None:
            self.decoder.rewind(row, len(writer.prompt) + length)
        room = self.model.context - 1 - len(writer.prompt) - len(writer.tokens)
        if room < 0 and writer.asking:
            self._plan(row, *writer.take_back())
        elif room < 0:
            writer.state = State.DONE
        elif tokens:
            self._feeds[row] = tokens

    def _report(self, row: int) -> Iterator[Event]:
        writer = self.writers[row]
        written, called = self.told[row]
        plain = self.model.decode(writer.plain)
        done = writer.state is State.DONE
        if len(plain) > written and (done or not plain.endswith("\ufffd")):
            yield Wrote(writer.text.id, plain[written:])
            written = len(plain)
        for call in writer.calls[called:]:
            yield Called(writer.text.id, call)
        self.told[row] = (written, len(writer.calls))
        if done:
            del self.writers[row]
            self._feeds.pop(row, None)
            self.seen.pop(row, None)
            text = self.model.decode(writer.tokens)
            yield Generation(
                writer.text.id,
                writer.text.text,
                text,
                plain,
                tuple(writer.calls),
                self.cut[row],
            )

    def _prompt(self, text: Text) -> tuple[list[int], int]:
        """The prompt's tokens, its beginning cut where it would not leave room to write."""
        tokens = self.model.encode(text.text)
        if not tokens:
            raise DataError(f"prompt {text.id} is empty; give at least one word")
        most = self.model.context - 1 - self.settings.max_new_tokens
        most -= self.settings.max_calls * self.settings.call_tokens * 4
        most = max(most, self.model.context // 2)
        cut = max(0, len(tokens) - most)
        return tokens[cut:], cut
