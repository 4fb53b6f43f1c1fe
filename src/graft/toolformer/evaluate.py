"""How well systems do on tasks, with error bars: base, control, disabled, Toolformer.

Schick et al. 2023, Section 4.2: zero-shot, greedy, the first words or the first number of what
is written. The controls are the base, the base finetuned on the same texts without calls, and
the finetuned model without its tools.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass

from graft.measure.interval import bootstrap_difference, bootstrap_mean
from graft.measure.text import perplexity
from graft.models.language import LanguageModel
from graft.toolformer.call import OPEN
from graft.toolformer.dataset import Text
from graft.toolformer.run import Generation, run
from graft.toolformer.tasks.task import Task
from graft.toolformer.tools.execute import Executor
from graft.toolformer.tools.tool import Tool
from graft.toolformer.writing import RunConfig

System = tuple[LanguageModel, Mapping[str, Tool]]
"""A model and the tools that it may call; without tools, its calls are disabled."""


@dataclass(frozen=True, slots=True)
class TaskResult:
    """Shares in [0, 1]: of right continuations with a 95% interval, of inputs with a call."""

    accuracy: float
    low: float
    high: float
    n: int
    call_rate: float


@dataclass(frozen=True, slots=True)
class Judged:
    """One question: whether what was written is right, and which tools were called."""

    right: bool
    tools: tuple[str, ...] = ()
    """Each once, in the order of their first calls."""
    wrote: str = ""
    """The continuation, with its calls."""

    @property
    def called(self) -> bool:
        """Whether a tool was called."""
        return bool(self.tools)


@dataclass(frozen=True, slots=True)
class Measured:
    """One system's result on one task."""

    task: str
    system: str
    result: TaskResult
    judged: tuple[Judged, ...] = ()
    """Question by question."""


def evaluate(
    systems: Mapping[str, System],
    tasks: Iterable[Task],
    settings: RunConfig,
    *,
    seed: int = 0,
    executor: Executor | None = None,
) -> Iterator[Measured]:
    """Every system on every task, each when it is done."""
    for task in tasks:
        for name, (model, tools) in systems.items():
            judged = judge(task, model, tools, settings, executor=executor)
            yield Measured(task.name, name, summed(judged, seed), tuple(judged))


def evaluate_task(
    task: Task,
    model: LanguageModel,
    tools: Mapping[str, Tool],
    settings: RunConfig,
    *,
    seed: int = 0,
    executor: Executor | None = None,
) -> TaskResult:
    """Let a model continue each question; what it says is judged without its calls."""
    return summed(judge(task, model, tools, settings, executor=executor), seed)


def summed(judged: Sequence[Judged], seed: int) -> TaskResult:
    """The shares of all questions, with an interval whose resamples are those of the seed."""
    accuracy = bootstrap_mean([one.right for one in judged], seed=seed)
    rate = sum(one.called for one in judged) / accuracy.n
    return TaskResult(accuracy.mean, accuracy.low, accuracy.high, accuracy.n, rate)


def judge(
    task: Task,
    model: LanguageModel,
    tools: Mapping[str, Tool],
    settings: RunConfig,
    *,
    executor: Executor | None = None,
) -> list[Judged]:
    """Each question of a task, in its order."""
    prompts = (Text(asked.id, asked.prompt, asked.date) for asked in task.questions)
    generations = run(prompts, model, tools, settings, executor)
    return [
        Judged(question.is_right(one.plain, len(one.calls)), _tools_of(one), one.text)
        for question, one in zip(task.questions, generations, strict=True)
    ]


def _tools_of(generation: Generation) -> tuple[str, ...]:
    return tuple(dict.fromkeys(traced.call.tool for traced in generation.calls))


def measure_perplexity(
    model: LanguageModel, texts: Iterable[Text], *, disabled: bool = False
) -> float:
    """Per token of texts without calls; `disabled` rules out that a call is opened."""
    tokens = [model.encode(text.text) for text in texts]
    return perplexity(model, tokens, disabled=model.encode_after(OPEN) if disabled else ())


def build_report(
    measured: Iterable[Measured], perplexities: Mapping[str, float]
) -> dict[str, object]:
    """As JSON: `{"tasks": {task: {system: {"accuracy", ...}}}, "perplexity": {system: p}}`.

    Where `toolformer` was asked beside others, `over` has the difference of its accuracy to
    each of them, with a 95% interval over pairs of answers to one question. `called` has, of
    the systems that call, the share of a task's questions in which each tool was called.
    """
    tasks: dict[str, dict[str, object]] = {}
    rights: dict[str, dict[str, list[float]]] = {}
    called: dict[str, dict[str, dict[str, float]]] = {}
    for one in measured:
        tasks.setdefault(one.task, {})[one.system] = asdict(one.result)
        rights.setdefault(one.task, {})[one.system] = [float(j.right) for j in one.judged]
        if shares := shares_of_tools(one.judged):
            called.setdefault(one.task, {})[one.system] = shares
    report: dict[str, object] = {"tasks": tasks, "perplexity": dict(perplexities)}
    report |= {"called": called} if called else {}
    over = {task: _over(systems) for task, systems in rights.items() if any(_over(systems))}
    return report | ({"over": over} if over else {})


def shares_of_tools(judged: Sequence[Judged]) -> dict[str, float]:
    """The share of questions in which each tool was called, of the tools that were."""
    counts = Counter(tool for one in judged for tool in one.tools)
    return {tool: count / len(judged) for tool, count in sorted(counts.items())}


def _over(rights: Mapping[str, list[float]]) -> dict[str, object]:
    """Toolformer's accuracy less that of each other system, question by question."""
    taught = rights.get("toolformer")
    return {
        system: asdict(bootstrap_difference(taught, right))
        for system, right in rights.items()
        if taught and right and system != "toolformer"
    }
