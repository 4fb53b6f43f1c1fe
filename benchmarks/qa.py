"""How often is the question answering tool right, on questions that its reader never saw?

The questions are a file of records with `title`, `question` and `answer` in English (XQuAD's,
which are SQuAD's), the texts are what the tool looks through. Every second title, in
alphabetical order, is for finding how much each sign of the reader counts (`--fit`); the
questions about the others are asked.
"""

import json
import re
import string
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from stopwatch import arguments, publish

from graft.errors import ToolError
from graft.measure.interval import bootstrap_mean
from graft.toolformer.tools.index import Index, build_index
from graft.toolformer.tools.qa import qa_tool
from graft.toolformer.tools.reader import candidates
from graft.toolformer.tools.search import snippet
from graft.toolformer.tools.spans import read_question
from graft.toolformer.tools.tool import Context, Tool

QUESTION = "qa: questions whose reader's weights were found on other articles, in percent"
PASSAGES, STEPS, PENALTY, LEAST_F1 = 5, 40, 1e-3, 0.6
_NAME = re.compile(r"(?:[A-Z][\w'-]*)(?: [A-Z][\w'-]*)*")

Asked = tuple[str, str]


def questions(file: Path, *, held_out: bool) -> list[Asked]:
    """Questions with their answers, of every second title."""
    rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    titles = sorted({row["title"] for row in rows})
    wanted = set(titles[held_out::2])
    return [
        (row["question"]["en"], row["answer"]["en"]) for row in rows if row["title"] in wanted
    ]


def normal(text: str) -> str:
    """As SQuAD compares answers: small letters, no signs, no articles."""
    text = "".join(one for one in text.lower() if one not in string.punctuation)
    return " ".join(re.sub(r"\b(a|an|the)\b", " ", text).split())


def overlap(found: str, wanted: str) -> float:
    """SQuAD's F1 of words."""
    one, other = normal(found).split(), normal(wanted).split()
    shared = sum((Counter(one) & Counter(other)).values())
    return 2 * shared / (len(one) + len(other)) if shared else 0.0


def row(case: str, found: Sequence[str], asked: Sequence[Asked]) -> dict[str, object]:
    """Exact match with its interval, and F1."""
    exact = [
        float(normal(one) == normal(wanted))
        for one, (_, wanted) in zip(found, asked, strict=True)
    ]
    told = bootstrap_mean(exact)
    f1 = [overlap(one, wanted) for one, (_, wanted) in zip(found, asked, strict=True)]
    return {
        "case": case,
        "questions": len(asked),
        "exact match": 100 * told.mean,
        "from": 100 * told.low,
        "to": 100 * told.high,
        "F1": 100 * sum(f1) / len(f1),
    }


def held(case: str, texts: Sequence[str], asked: Sequence[Asked]) -> dict[str, object]:
    """How often a text holds the answer."""
    holds = [
        normal(wanted) in normal(text) for text, (_, wanted) in zip(texts, asked, strict=True)
    ]
    return {
        "case": case,
        "questions": len(asked),
        "holds the answer": 100 * sum(holds) / len(holds),
    }


def answered(question: str, tool: Tool) -> str:
    """The tool's answer without its source, or nothing."""
    try:
        return tool.answer(question, Context())
    except ToolError:
        return ""


def first_name(texts: Sequence[str]) -> str:
    """The first words with capitals of the best passage."""
    found = _NAME.search(texts[0]) if texts else None
    return found[0] if found else ""


def fitted(asked: Sequence[Asked], index: Index) -> dict[str, float]:
    """How much each sign counts, so that the best stretches are likeliest among all."""
    rows = list[tuple[list[dict[str, float]], torch.Tensor]]()
    for question, wanted in asked:
        found = list(
            candidates(read_question(question), index.find(question, PASSAGES), index.rarity)
        )
        f1 = torch.tensor([overlap(one.text, wanted) for one, _ in found])
        if len(f1) and float(f1.max()) >= LEAST_F1:
            rows.append(([signs for _, signs in found], f1.where(f1 >= LEAST_F1, 0.0) ** 3))
    names = sorted({name for signs, _ in rows for one in signs for name in one})
    places = {name: place for place, name in enumerate(names)}
    data = list[tuple[torch.Tensor, torch.Tensor]]()
    for signs, wanted in rows:
        matrix = torch.zeros(len(signs), len(names))
        for number, one in enumerate(signs):
            for name, value in one.items():
                matrix[number, places[name]] = value
        data.append((matrix, (wanted / wanted.sum()).log()))
    weights = torch.zeros(len(names), requires_grad=True)
    search = torch.optim.LBFGS([weights], max_iter=STEPS, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        search.zero_grad()
        missed = [
            (matrix @ weights).logsumexp(0) - (matrix @ weights + log).logsumexp(0)
            for matrix, log in data
        ]
        total = torch.stack(missed).mean() + PENALTY * weights.square().sum()
        total.backward()
        return total

    search.step(loss)
    rounded = {
        name: round(value, 1) for name, value in zip(names, weights.tolist(), strict=True)
    }
    return {name: value for name, value in sorted(rounded.items()) if value}


def measured(asked: Sequence[Asked], index: Path) -> list[dict[str, object]]:
    """The tool beside what is simplest, on the same questions."""
    opened, tool = Index(index), qa_tool(index, passages=PASSAGES, source=False)
    found = [opened.find(question, PASSAGES) for question, _ in asked]
    texts = [[one.text for one in passages] for passages in found]
    snippets = [
        snippet(passages[0], question, 25) if passages else ""
        for passages, (question, _) in zip(found, asked, strict=True)
    ]
    return [
        row("qa", [answered(question, tool) for question, _ in asked], asked),
        row("the first name of the best passage", [first_name(one) for one in texts], asked),
        held("the search tool's snippet", snippets, asked),
        held("the first passage", ["".join(one[:1]) for one in texts], asked),
        held(f"the first {PASSAGES} passages", [" ".join(one) for one in texts], asked),
    ]


def main() -> None:
    """Ask, or find the weights."""
    parser = arguments(QUESTION)
    parser.add_argument("--questions", type=Path, required=True)
    parser.add_argument("--texts", type=Path, required=True)
    parser.add_argument("--fit", type=Path, help="write the weights here, and ask nothing")
    parser.add_argument("--limit", type=int, help="ask so many questions")
    given = parser.parse_args()
    with TemporaryDirectory() as folder:
        index = build_index(given.texts, Path(folder) / "index.sqlite")
        if given.fit:
            weights = fitted(questions(given.questions, held_out=False), Index(index))
            given.fit.write_text(json.dumps(weights, indent=1) + "\n", encoding="utf-8")
        else:
            asked = questions(given.questions, held_out=True)[: given.limit]
            publish("qa", QUESTION, measured(asked, index), given.record)


if __name__ == "__main__":
    main()
