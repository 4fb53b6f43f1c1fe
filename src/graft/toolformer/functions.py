"""A model as a tool: a prompt, what it takes, a model, and the tools that the model is given.

`model:FILE.toml` among the names of tools. The tools of such a function may be functions of
the same kind: functions built of functions. A cycle of files is refused when it is declared;
depth, calls, time and cost are bounded over all that one call leads to (`tools.tracing`).
"""

import datetime
import hashlib
import json
import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import cast

from graft.config import fill, to_table
from graft.errors import ConfigError, ModelError, ToolError
from graft.models.generating import CausalGenerator, cut_at
from graft.toolformer.call import ARROW, Call, parse_asked, render
from graft.toolformer.dataset import Text
from graft.toolformer.run import Wrote, stream
from graft.toolformer.tools.declared import FunctionConfig, read_function
from graft.toolformer.tools.described import described_prompt, pattern_rules
from graft.toolformer.tools.execute import Executor
from graft.toolformer.tools.generators import Endpoint, is_endpoint, load_generator
from graft.toolformer.tools.loading import names_reader
from graft.toolformer.tools.offers import ASKED_ANEW
from graft.toolformer.tools.tool import Context, Question, Tool, no_calls
from graft.toolformer.tools.toolbox import tools_by_name
from graft.toolformer.tools.tracing import DEEPEST, Branch, Scope, ask_within, scope_of
from graft.toolformer.train import read_card
from graft.toolformer.writing import RunConfig

KIND = "model"
_TAUGHT = Path("train", "toolformer", "model")
_WORD = re.compile(r"\w+|[^\w\s]")
"""Of a model whose tokens are not known: it has hardly a token that is longer."""
_BEGUN = re.compile(r" ?\[(?=[A-Za-z]\w*\([^][\n]*\)\s*\Z)")


def open_tools(
    names: Iterable[str],
    *,
    corpus: Path | None = None,
    today: datetime.date | None = None,
    index_folder: Path | None = None,
    apart: bool = False,
    executor: Executor | None = None,
) -> dict[str, Tool]:
    """The tools called `names`, as `tools_by_name`, and `model:FILE.toml` among them.

    Args:
        names: as there.
        corpus: as there; what the tools of a file look through, the file itself says.
        today: as there.
        index_folder: as there.
        apart: as there.
        executor: the memory and ledger of what functions ask.

    Raises:
        ConfigError: as there; or a file declares no function, one that contains itself, or
            more of them within each other than it allows.
        ModelError: a function's model cannot be loaded.
    """
    opening = _Opening(today, index_folder, executor or Executor())
    return tools_by_name(
        names,
        corpus=corpus,
        today=today,
        index_folder=index_folder,
        apart=apart,
        kinds={KIND: lambda address: [opening.open(Path(address))]},
        offers=opening.executor.answers or ASKED_ANEW,
    )


class _Opening:
    """Files of functions, each opened once, those that it is built of before it."""

    def __init__(
        self, today: datetime.date | None, index_folder: Path | None, executor: Executor
    ) -> None:
        self.today, self.index_folder, self.executor = today, index_folder, executor
        self._opened: dict[Path, tuple[Tool, int]] = {}
        self._under_way: dict[Path, Path] = {}

    def open(self, path: Path) -> Tool:
        """The function at a path."""
        return self._open(path)[0]

    def _open(self, path: Path) -> tuple[Tool, int]:
        """The function at a path, and how deep it is built."""
        place = path.resolve()
        if place in self._under_way:
            within = list(self._under_way)
            told = [self._under_way[one] for one in within[within.index(place) :]]
            circle = " -> ".join(str(one) for one in [*told, path])
            raise ConfigError(f"a cycle of functions: {circle}; leave one out")
        if len(self._under_way) == DEEPEST:
            raise ConfigError(f"{path}: functions more than {DEEPEST} deep; leave some out")
        if place not in self._opened:
            self._under_way[place] = path
            try:
                self._opened[place] = self._made(path)
            finally:
                del self._under_way[place]
        return self._opened[place]

    def _made(self, path: Path) -> tuple[Tool, int]:
        config, depths = read_function(path), [0]

        def nested(address: str) -> list[Tool]:
            tool, depth = self._open(Path(address))
            depths.append(depth)
            return [tool]

        try:
            tools = tools_by_name(
                [seen_from(path.parent, name) for name in config.tools],
                corpus=None if config.search is None else path.parent / config.search,
                today=self.today,
                index_folder=self.index_folder,
                kinds={KIND: nested},
                offers=self.executor.answers or ASKED_ANEW,
            )
            depth = 1 + max(depths)
            if depth > config.limits.depth:
                raise ConfigError(
                    f"its functions are {depth} deep, itself included, and limits.depth is"
                    f" {config.limits.depth}; raise it, or leave tools out"
                )
            return _Function(config, path.parent, tools, self.executor).as_tool(), depth
        except (ConfigError, ModelError) as error:
            raise type(error)(f"{path}: {error}") from error


class _Function:
    """A model, what it is told, and the tools that it is given."""

    def __init__(
        self,
        config: FunctionConfig,
        folder: Path,
        tools: Mapping[str, Tool],
        executor: Executor,
    ) -> None:
        self.config, self.tools, self.executor = config, tools, executor
        self.arguments = config.takes
        place = model_seen_from(folder, config.model)
        self.generator = load_generator(place)
        self.decoding = _decoding_of(config, place)
        if tools and not isinstance(self.generator, CausalGenerator | Endpoint):
            raise ConfigError(
                f"'{config.model}' reads and then writes, so it cannot call tools while it"
                " writes; give it none, or take a causal model"
            )

    def as_tool(self) -> Tool:
        """The function as a tool."""
        config = self.config
        prompt = described_prompt(
            config.name, config.description, self.arguments, config.examples
        )
        rules = no_calls
        if config.pattern:
            rules = pattern_rules(config.name, config.pattern, self.arguments)
        return Tool(
            name=config.name,
            answer=self.answer,
            answer_many=None if self.tools else self.answer_many,
            prompt=prompt,
            rules=rules,
            quoted=self.arguments.text,
            version=self.version,
            timeout_seconds=config.limits.seconds,
            max_result_characters=config.max_result_characters,
            most_calls=config.most_calls,
            cost=config.cost,
            description=config.description,
            arguments=self.arguments,
            helps=config.helps,
            limits=self._told_limits(),
        )

    @property
    def version(self) -> str:
        """Changes with all that its answers hang on, the tools that it is built of too."""
        config = self.config
        told = (
            *(config.prompt, config.stop, to_table(self.decoding), self.generator.version),
            *(list(config.arguments.items()), to_table(config.limits)),
            sorted((name, tool.version) for name, tool in self.tools.items()),
        )
        written = json.dumps(told, ensure_ascii=False)
        return hashlib.blake2b(written.encode(errors="replace"), digest_size=6).hexdigest()

    def answer(self, argument: str, context: Context) -> str:
        """What the model writes to its prompt, with what its tools told it.

        Raises:
            ToolError: it wrote nothing, the prompt is too long, one of its calls came too late,
                or a limit is met.
        """
        scope = scope_of(context)
        scope.bound(self.config.name, self.config.limits, self.config.cost)
        prompt = self._prompt(argument)
        if not self.tools:
            [answer] = self._continued([prompt])
        elif isinstance(self.generator, CausalGenerator):
            answer = self._decoded(self.generator, Text("", prompt, context.date), scope)
        else:
            answer = self._spoken(Text("", prompt, context.date), scope)
        return _answer(answer)

    def answer_many(self, questions: Sequence[Question]) -> list[str | ToolError]:
        """The same for many at once, where no tools are given."""
        prompts = dict[int, str]()
        found = dict[int, str | ToolError]()
        for place, (argument, _) in enumerate(questions):
            try:
                prompts[place] = self._prompt(argument)
            except ToolError as refusal:
                found[place] = refusal
        try:
            written = self._continued(list(prompts.values()))
        except ToolError as refusal:
            if len(questions) == 1:
                return [refusal]
            return [self.answer_many([one])[0] for one in questions]
        for place, text in zip(prompts, written, strict=True):
            try:
                found[place] = _answer(text)
            except ToolError as refusal:
                found[place] = refusal
        return [found[place] for place in range(len(questions))]

    def _prompt(self, argument: str) -> str:
        prompt = self.config.filled(self.arguments.read(argument))
        if not (self._encoded(prompt) if prompt else ""):
            raise ToolError("its prompt is empty; give it at least one word")
        return prompt

    def _encoded(self, prompt: str) -> Sequence[object]:
        """The prompt's tokens, where they are known from here."""
        local = self.generator
        return local.model.encode(prompt) if isinstance(local, CausalGenerator) else prompt

    def _continued(self, prompts: Sequence[str]) -> list[str]:
        tokens, stop = self.config.limits.new_tokens, self.config.stop
        try:
            return self.generator.generate(prompts, max_tokens=tokens, stop=stop)
        except ModelError as error:  # a prompt that does not fit its context
            raise ToolError(str(error)) from error

    def _decoded(self, generator: CausalGenerator, text: Text, scope: Scope) -> str:
        """As `run` decodes: stop at the arrow, ask, insert, go on; until `stop` is written."""
        model, written = generator.model, ""
        if len(model.encode(text.text)) > model.context // 2:
            raise ToolError(f"a prompt longer than half of the context of {model.context}")
        branch = Branch(self.executor, scope)
        for event in stream([text], model, self.tools, self.decoding, branch):
            if scope.late is not None:
                raise scope.late
            scope.require_time()
            if isinstance(event, Wrote):
                written += event.text
                if (cut := cut_at(written, self.config.stop)) != written:
                    return cut
        return written

    def _spoken(self, text: Text, scope: Scope) -> str:
        """The same with a model that only shows what it wrote: its text ends at an arrow."""
        seen, plain, most = text.text, "", self.config.limits.new_tokens
        for calls_left in range(self.decoding.max_calls, -1, -1):
            scope.require_time()
            tokens = most - _words_of(plain) + self.decoding.call_tokens * bool(calls_left)
            [more] = self.generator.generate([seen], max_tokens=tokens, stop=(ARROW,))
            before, call = _begun_in(more)
            plain += before
            done = _first_words(cut_at(plain, self.config.stop), most)
            if call is None or done != plain or not calls_left or _words_of(plain) == most:
                return done
            seen += f"{before} {render(self._asked(call, text, scope))}"
        return plain

    def _asked(self, call: Call, text: Text, scope: Scope) -> Call:
        tool = self.tools.get(call.tool)
        if tool is None or tool.quoted != call.quoted:
            raise ToolError(
                f"its model called {call.tool[:60]!r} in a way that nothing answers"
            )
        answer = ask_within(scope, self.executor, tool, call.argument, text.context)
        return call.answered(answer)

    def _told_limits(self) -> str:
        limits = self.config.limits
        told = f"A model's words, which may be wrong; {limits.new_tokens} tokens at most"
        if self.tools:
            told += f"; asks {', '.join(self.tools)}, {limits.calls} calls at most"
        return f"{told}."


def seen_from(folder: Path, name: str) -> str:
    """A tool's name as it stands in a file of `folder`, a path in it seen from here."""
    kind, _, address = name.partition(":")
    match kind:
        case "model":
            return f"{kind}:{folder / address}"
        case "openapi" | "mcp" | "mt":
            return f"{kind}:{_words_seen_from(folder, address)}"
        case "qa" if names_reader(name):
            return f"{kind}:{_words_seen_from(folder, address)}"
        case "search" | "qa" if address and _is_there(folder / address):
            return f"{kind}:{folder / address}"
        case file if file.endswith(".py"):
            return f"{folder / file}:{address}"
        case _:
            return name


def _words_seen_from(folder: Path, address: str) -> str:
    """The words of an address, those that name something in `folder` as seen from here."""
    try:
        words = shlex.split(address)
    except ValueError:  # quotes that do not close; who opens it says so
        return address
    seen = [_word_seen_from(folder, word) for word in words]
    return address if seen == words else shlex.join(seen)


def _word_seen_from(folder: Path, word: str) -> str:
    setting, is_setting, place = word.rpartition("=")
    if is_setting and setting == "reader":
        return f"{setting}={model_seen_from(folder, place)}"
    return str(folder / word) if word and _is_there(folder / word) else word


def _is_there(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # too long, or no name at all: a program's text
        return False


def model_seen_from(folder: Path, place: str) -> str:
    """A model's place as it stands in a file of `folder`; of a run its taught model."""
    if is_endpoint(place) or not (folder / place).is_dir():
        return place
    taught = folder / place / _TAUGHT
    return str(taught if taught.is_dir() else folder / place)


def _decoding_of(config: FunctionConfig, place: str) -> RunConfig:
    """How its model calls tools: as the file says, else as the model's card does."""
    card = {} if is_endpoint(place) else read_card(Path(place)) or {}
    known = cast("dict[str, object]", card.get("run", {}))
    given = {key: value for key, value in to_table(config.run).items() if value is not None}
    told = fill(RunConfig, {**known, **given}, f"{place}: graft.json, run")
    tokens = config.limits.new_tokens
    return replace(told, max_new_tokens=tokens, rows=1, wait_for_tools=True)


def _begun_in(written: str) -> tuple[str, Call | None]:
    """What stands in front of the call that a text ends in, and the call; or all of it."""
    begun = _BEGUN.search(written)
    call = None if begun is None else parse_asked(written[begun.end() :])
    return (
        (written, None) if begun is None or call is None else (written[: begun.start()], call)
    )


def _words_of(text: str) -> int:
    return sum(1 for _ in _WORD.finditer(text))


def _first_words(text: str, most: int) -> str:
    """`text` up to so many words and signs."""
    beyond = next(islice(_WORD.finditer(text), most, None), None)
    return text if beyond is None else text[: beyond.start()].rstrip()


def _answer(written: str) -> str:
    if not (answer := written.strip()):
        raise ToolError("its model wrote nothing")
    return answer
