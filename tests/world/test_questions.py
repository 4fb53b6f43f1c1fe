import datetime
import json
import re
from pathlib import Path

import numpy as np
import pytest

from graft.toolformer.call import parse
from graft.toolformer.tasks.files import load_task
from graft.toolformer.tools.calculator import calculator_tool
from graft.toolformer.tools.calendar import write_date
from graft.toolformer.tools.index import build_index
from graft.toolformer.tools.search import search_tool
from graft.toolformer.tools.tool import Context
from graft.world.facts import Fact
from graft.world.foreign import draw_phrase
from graft.world.names import held_out
from graft.world.questions import (
    ALL,
    METRICS,
    corpus,
    corpus_facts,
    encyclopedia,
    facts_about,
    question_facts,
    questions,
)

N = 100
ASKED = questions(1, N)
ASKED_OF_ALL = questions(1, N, ALL)
TEXTS = corpus(1, 4 * N)


def lines(path: Path, records: list[dict[str, object]]) -> Path:
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


@pytest.mark.parametrize("task", METRICS)
def test_every_task_is_read_and_its_answers_are_right(tmp_path: Path, task: str) -> None:
    loaded = load_task(lines(tmp_path / f"{task}.jsonl", ASKED_OF_ALL[task]))
    assert len({(question.prompt, question.date) for question in loaded.questions}) == N
    for question in loaded.questions:
        assert question.prompt == question.prompt.strip()
        for answer in question.answers:
            said = answer if question.date is None else write_date(question.date)
            assert question.is_right(f" {said}. And then", 0)
            assert said not in question.prompt
        assert not question.is_right(" Nobody knew.", 1)


def test_the_sums_of_arithmetic_are_right() -> None:
    calculator = calculator_tool()
    for question in ASKED["arithmetic"]:
        a, b = re.findall("[0-9]+", str(question["prompt"]))[-2:]
        results = set()
        for x, y in ((a, b), (b, a)):
            for sign in "+-*/":
                results.add(calculator.answer(f"{x} {sign} {y}", Context()))
        assert set(question["answers"]) <= results


def test_dates_are_those_of_the_day_on_which_is_asked() -> None:
    for question in ASKED["dates"]:
        assert question["answers"] == [question["date"]]
        assert datetime.date.fromisoformat(str(question["date"]))


def test_a_plain_question_is_the_first_two_sentences_of_a_dated_text() -> None:
    for question in ASKED["plain"]:
        assert len(re.findall(r"[.!?]\"?(?: |$)", str(question["prompt"]))) == 2
        assert str(question["prompt"])[-1] in '.!?"'
        assert question["answers"] == []
        assert question["date"]


def test_the_corpus_has_a_quarter_of_each_kind_and_no_call_in_it() -> None:
    kinds = [str(text["id"]).split("-")[0] for text in TEXTS]
    assert {kind: kinds.count(kind) for kind in kinds} == {
        "amounts": N,
        "days": N,
        "facts": N,
        "plain": N,
    }
    assert len({text["id"] for text in TEXTS}) == 4 * N
    assert not any(
        parse(str(text["text"])) or set("[@{<|") & set(str(text["text"])) for text in TEXTS
    )
    dated = [bool(text["date"]) for text in TEXTS]
    assert all(dated[1::4])
    assert N / 3 < sum(dated[3::4]) < 2 * N / 3
    assert not any(dated[0::4] + dated[2::4])


def test_texts_for_all_tools_are_told_in_turn_and_only_questions_ask() -> None:
    texts = corpus(1, 6 * 20, ALL)
    kinds = [str(text["id"]).split("-")[0] for text in texts]
    names = ("amounts", "days", "facts", "questions", "foreign", "plain")
    assert {kind: kinds.count(kind) for kind in kinds} == dict.fromkeys(names, 20)
    asking = ["?" in str(text["text"]) for text in texts]
    assert all(asking[3::6])
    assert not any(asking[2::6])
    for task in ("arithmetic", "dates", "plain"):
        assert ASKED_OF_ALL[task] == ASKED[task]


def test_what_is_asked_of_all_tools_is_not_told_in_the_corpus() -> None:
    read = {fact.subject for fact in corpus_facts(1, 6 * N, ALL)}
    assert not read & {fact.subject for fact in question_facts(1, N, ALL)}
    told = " ".join(str(text["text"]) for text in corpus(1, 6 * N, ALL))
    for question in ASKED_OF_ALL["foreign"]:
        spanish = re.findall('"(.*?)"', str(question["prompt"]))[-1]
        assert spanish not in told
        assert str(question["answers"][0]) not in told  # type: ignore[index]


def test_every_foreign_sentence_has_one_meaning() -> None:
    rng = np.random.default_rng(1)
    phrases = {draw_phrase(rng, half) for half in ("read", "held") for _ in range(300)}
    assert len({spanish for spanish, _ in phrases}) == len(phrases)
    assert len({english for _, english in phrases}) == len(phrases)


def test_corpus_and_questions_have_no_subject_no_pair_of_numbers_and_no_day_in_common() -> None:
    read = {fact.subject for fact in corpus_facts(1, 4 * N)}
    held = {fact.subject for fact in question_facts(1, N)}
    assert not read & held
    assert all(held_out(subject.split()[0]) for subject in held)

    def numbers(texts: list[dict[str, object]], field: str) -> set[tuple[str, ...]]:
        return {tuple(re.findall("[0-9]+", str(text[field]))[:2]) for text in texts}

    assert not numbers(TEXTS[0::4], "text") & numbers(ASKED["arithmetic"], "prompt")
    assert not {t["date"] for t in TEXTS[1::4]} & {q["date"] for q in ASKED["dates"]}


def test_the_same_seed_tells_the_same_and_more_of_it_begins_alike() -> None:
    assert corpus(1, 40) == TEXTS[:40]
    assert corpus(2, 40) != TEXTS[:40]
    for task, few in questions(1, 10).items():
        assert few == ASKED[task][:10]
        assert few != questions(2, 10)[task]
    facts = question_facts(1, 10)
    assert encyclopedia(1, facts) == encyclopedia(1, facts)


def test_every_fact_stands_once_in_the_encyclopedia_beside_the_others_of_its_subject() -> None:
    facts = question_facts(1, N) + corpus_facts(1, 4 * N)
    articles = {str(one["title"]): str(one["text"]) for one in encyclopedia(1, facts)}
    assert len(articles) == 2 * len({fact.subject for fact in facts})
    whole = " ".join(articles.values())
    for fact in facts:
        assert articles[fact.subject].count(fact.sentence) == 1
        assert whole.count(fact.sentence) == 1
    sentences = [len(re.findall(r"\.(?: |$)", text)) for text in articles.values()]
    assert min(sentences) == 2
    assert max(sentences) == 5


def test_the_facts_of_a_subject_agree_wherever_they_are_told() -> None:
    for fact in question_facts(1, N):
        if fact.relation == "born":
            assert fact in facts_about(1, fact.subject, "person")
            assert fact.value != fact.subject
    assert facts_about(1, "Mara Lind", "person") != facts_about(2, "Mara Lind", "person")


def test_an_unknown_fact_is_refused() -> None:
    made_up = Fact("Mara Lind", "born", "Nowhere", "Mara Lind was born in Nowhere.")
    with pytest.raises(ValueError, match="not in the world of seed 1: Mara Lind was born in"):
        encyclopedia(1, [made_up])


def test_search_finds_the_sentence_that_answers(tmp_path: Path) -> None:
    facts = question_facts(1, N) + corpus_facts(1, 4 * N)
    source = lines(tmp_path / "encyclopedia.jsonl", encyclopedia(1, facts))
    search = search_tool(build_index(source, tmp_path / "index.sqlite"))
    found = [search.answer(fact.query, Context()) == fact.snippet for fact in facts]
    assert sum(found) >= 0.95 * len(facts)
