"""The paper's benchmarks, read from the formats in which their authors published them.

Each loader takes the original file, or JSON lines with the same fields under plain names, and
asks with the paper's zero-shot prompts (Schick et al. 2023, Section 4.2).
"""

import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import cast

from graft.errors import DataError
from graft.toolformer.tasks.files import (
    Fields,
    json_lines,
    json_of,
    load_task,
    task_of,
    text_of,
)
from graft.toolformer.tasks.task import Question, Task

FACTS = "Please complete the following text so that it is factually correct: {}"
MATHS = "{} The answer is"
QUESTIONS = "Answer the following question: {}"
CROSS_LINGUAL = (
    "Your task is to answer a question based on the following paragraph: {} Now answer the "
    "following question in English: {}"
)
GOOGLE_RE = {
    "place_of_birth": "{} was born in [MASK] .",
    "date_of_birth": "{} (born [MASK]).",
    "place_of_death": "{} died in [MASK] .",
}
"""How LAMA asks for the relations of Google-RE, whose files hold only names."""

_MASK = "[MASK]"
_PLAIN_NUMBER = re.compile(r"\s*(-?[0-9][0-9,]*(?:\.[0-9]+)?)\s*(?:\([^()]*\))?\s*")
_DESCRIPTION = re.compile(r'\(description (?:"((?:[^"\\]|\\.)*)"|([^()"]+))\)')


def load_benchmark(kind: str, path: Path) -> Task:
    """The task in `path`, which is of one of `KINDS`.

    Raises:
        DataError: the kind is unknown, or the file cannot be used; names the record.
    """
    if kind not in KINDS:
        raise DataError(f"unknown kind of task '{kind}'; there are {', '.join(KINDS)}")
    return KINDS[kind](path)


def open_task(named: str) -> Task:
    """The task of a recipe: `FILE` in graft's own format, or `KIND:FILE`, as `asdiv:a.xml`.

    Raises:
        DataError: as `load_benchmark`.
    """
    kind, colon, path = named.partition(":")
    if colon and (kind in KINDS or not Path(named).exists()):
        return load_benchmark(kind, Path(path))
    return load_task(Path(named))


def open_tasks(named: Iterable[str]) -> list[Task]:
    """The tasks of a recipe, in order.

    Raises:
        DataError: a file cannot be used, or two tasks have one name.
    """
    opened = {name: open_task(name) for name in named}
    names: dict[str, str] = {}
    for file, task in opened.items():
        if (other := names.setdefault(task.name, file)) != file:
            raise DataError(
                f"{other} and {file}: both tasks are called '{task.name}'; rename one"
            )
    return list(opened.values())


def load_asdiv(path: Path) -> Task:
    """ASDiv from its XML or JSON lines; problems whose answer is no number are left out."""
    problems = _asdiv_xml(path) if path.suffix.lower() == ".xml" else _asdiv_lines(path)
    questions = [
        Question(name, MATHS.format(asked.strip()), (answer,), "first_number")
        for name, asked, answer in problems
    ]
    return task_of("asdiv", questions, path)


def load_lama(path: Path) -> Task:
    """LAMA's cloze sentences; as in the paper, only those that end in what is missing."""
    questions: list[Question] = []
    for number, record in json_lines(path):
        sentence, answer = _cloze(record, path, number)
        before, _, after = sentence.partition(_MASK)
        if after.strip() in ("", ".") and before.strip():
            name = _name(record, ("uuid", "id"), number)
            prompt = FACTS.format(before.strip())
            questions.append(Question(name, prompt, (answer,), "within_5_words"))
    return task_of(path.stem, questions, path)


def load_questions(path: Path) -> Task:
    """WebQuestions or NQ-open, from JSON lines or one JSON list; a word of 20 must be right."""
    questions: list[Question] = []
    for number, record in _records(path):
        asked = _first(record, ("question", "utterance", "qText"))
        answers = _answers(record)
        if asked is None or not answers:
            raise DataError(f"{path}, record {number}: no question, or no answer to it")
        name, prompt = _name(record, ("id", "qId"), number), QUESTIONS.format(asked)
        questions.append(Question(name, prompt, answers, "within_20_words"))
    return task_of(path.stem, questions, path)


def load_squad(path: Path, asked_in: Path | None = None) -> Task:
    """XQuAD, MLQA or SQuAD: a paragraph and a question, both in one language or in two.

    The paragraphs and answers are those of `path`, the questions those of the same ids in
    `asked_in`. In JSON lines of all languages, a language is chosen by `load_xquad_lines`.
    """
    asked = {name: question for name, _, question, _ in _squad(asked_in or path)}
    questions = [
        Question(name, CROSS_LINGUAL.format(context, asked[name]), answers, "within_10_words")
        for name, context, _, answers in _squad(path)
        if name in asked
    ]
    return task_of((asked_in or path).stem, questions, path)


def load_xquad_lines(path: Path, language: str) -> Task:
    """Questions in `language` about English paragraphs, from JSON lines of all languages."""
    questions: list[Question] = []
    for number, record in json_lines(path):
        context, asked, answer = (
            text_of(_nested(record, field, path, number), spoken, path, number)
            for field, spoken in (("context", "en"), ("question", language), ("answer", "en"))
        )
        prompt = CROSS_LINGUAL.format(context, asked)
        name = text_of(record, "id", path, number)
        questions.append(Question(name, prompt, (answer,), "within_10_words"))
    return task_of(f"xquad_{language}", questions, path)


KINDS: dict[str, Callable[[Path], Task]] = {
    "graft": load_task,
    "asdiv": load_asdiv,
    "lama": load_lama,
    "questions": load_questions,
    "squad": load_squad,
}


def _asdiv_xml(path: Path) -> Iterator[tuple[str, str, str]]:
    try:
        root = ElementTree.parse(path).getroot()
    except (OSError, ElementTree.ParseError) as error:
        raise DataError(f"{path}: not readable as XML ({error})") from error
    for number, problem in enumerate(root.iter("Problem"), start=1):
        asked = f"{problem.findtext('Body', '')} {problem.findtext('Question', '')}".strip()
        if not asked:
            raise DataError(f"{path}, record {number}: a problem without a question")
        answer = _PLAIN_NUMBER.fullmatch(problem.findtext("Answer", ""))
        if answer is not None:
            yield problem.get("ID", str(number)), asked, answer[1]


def _asdiv_lines(path: Path) -> Iterator[tuple[str, str, str]]:
    for number, record in json_lines(path):
        asked, answer = text_of(record, "question", path, number), record.get("answer")
        if isinstance(answer, int | float):
            yield str(record.get("id", number)), asked, f"{answer:.12g}"


def _cloze(record: Fields, path: Path, number: int) -> tuple[str, str]:
    """The sentence with its mask, and what belongs there."""
    named = "obj_label" if "obj_label" in record else "answer"
    answer = text_of(record, named, path, number)
    relation = str(record.get("pred", "")).rpartition("/")[2]
    if relation in GOOGLE_RE:
        subject = text_of(record, "sub_label", path, number)
        return GOOGLE_RE[relation].replace("{}", subject), answer
    masked = record.get("masked_sentences")
    if isinstance(masked, list) and masked:
        return " ".join(str(sentence) for sentence in cast("list[object]", masked)), answer
    return text_of(record, "query", path, number), answer


def _records(path: Path) -> Iterator[tuple[int, Fields]]:
    if path.suffix.lower() != ".json":
        yield from json_lines(path)
        return
    listed = json_of(path)
    for number, record in enumerate(_list(listed, path), start=1):
        if not isinstance(record, dict):
            raise DataError(f"{path}, record {number}: not a record")
        yield number, cast("Fields", record)


def _first(record: Fields, names: tuple[str, ...]) -> object:
    return next((record[name] for name in names if record.get(name) is not None), None)


def _name(record: Fields, names: tuple[str, ...], number: int) -> str:
    name = _first(record, names)
    return str(number if name is None else name)


def _answers(record: Fields) -> tuple[str, ...]:
    """A list of answers, one alone, or WebQuestions' `(list (description "Jazmyn Bieber"))`."""
    written = _first(record, ("answers", "answer"))
    if isinstance(written, list):
        return tuple(str(answer) for answer in cast("list[object]", written))
    if isinstance(written, str):
        return (written,)
    described = _DESCRIPTION.findall(str(record.get("targetValue", "")))
    return tuple(quoted or bare.strip() for quoted, bare in described)


def _squad(path: Path) -> Iterator[tuple[str, str, str, tuple[str, ...]]]:
    """Id, paragraph, question and answers of every question."""
    whole = json_of(path)
    try:
        for article in cast("dict[str, list[dict[str, list[dict[str, object]]]]]", whole)[
            "data"
        ]:
            for paragraph in article["paragraphs"]:
                for asked in cast("list[dict[str, object]]", paragraph["qas"]):
                    answers = cast("list[dict[str, str]]", asked["answers"])
                    said = tuple(dict.fromkeys(answer["text"] for answer in answers))
                    if said:  # SQuAD 2.0 has questions without an answer
                        yield (
                            str(asked["id"]),
                            str(paragraph["context"]),
                            str(asked["question"]),
                            said,
                        )
    except (KeyError, TypeError) as error:
        raise DataError(f"{path}: not in the form of SQuAD ({error!r})") from error


def _nested(record: Fields, name: str, path: Path, number: int) -> Fields:
    value = record.get(name)
    if not isinstance(value, dict):
        raise DataError(f"{path}, record {number}: its {name!r} is not by language")
    return cast("Fields", value)


def _list(value: object, path: Path) -> list[object]:
    if not isinstance(value, list):
        raise DataError(f"{path}: not a list of records")
    return cast("list[object]", value)
