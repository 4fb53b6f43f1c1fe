"""A reader without a network: the stretch of some passages that most likely answers a question.

Every stretch that could be an answer is weighed by what speaks for it (`signs_of`): the rare
words of the question beside it, what its sentence shares with the question before others of its
passage, its shape beside the kind of the question, where it stands, in how many passages. A
linear model over spans, as Rajpurkar et al. 2016 (SQuAD), Section 5, have with a parser, with
the few signs that need none.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from graft.toolformer.tools.passages import Passage, sentences
from graft.toolformer.tools.spans import Asked, Word, read_question, spans_of, words_of

SENTENCES_READ = 6
"""Sentences that answers are looked for in, those first that share most with the question."""
LONGEST_PASSAGE = 6000
"""Characters of a passage that are read."""
LEAST_SHARED = 0.15
"""A sentence and its passage share so much of the question, by weight, or are not read."""

Rarity = Callable[[str], float]
"""How much a word tells: the less, the more passages have it."""


@dataclass(frozen=True, slots=True)
class Found:
    """A possible answer, where it stands, and how much speaks for it."""

    text: str
    title: str
    score: float


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence that may hold the answer, and what it shares with the question."""

    text: str
    words: list[Word]
    title: str
    rank: int
    share: float
    around: float
    apart: float
    """Of what the question shares with the passage, how much this one has before others."""


def read_answers(
    question: str, passages: Sequence[Passage], rarity: Rarity, weights: dict[str, float]
) -> list[Found]:
    """Possible answers, the likeliest first, each text once; none where nothing is shared."""
    asked = read_question(question)
    best = dict[str, Found]()
    for span, signs in candidates(asked, passages, rarity):
        score = sum(weights.get(name, 0.0) * value for name, value in signs.items())
        key = span.text.lower()
        if key not in best or best[key].score < score:
            best[key] = Found(span.text, span.title, score)
    return sorted(best.values(), key=lambda one: -one.score)


def candidates(
    asked: Asked, passages: Sequence[Passage], rarity: Rarity
) -> Iterator[tuple[Found, dict[str, float]]]:
    """Every stretch that could be an answer, and the signs for and against it."""
    weight = {word.stem: rarity(word.lower) for word in asked.telling}
    total = sum(weight.values()) or 1.0
    weight = {one: value / total for one, value in weight.items()}
    texts = [passage.text[:LONGEST_PASSAGE].lower() for passage in passages]
    for sentence in _sentences(passages, weight):
        reading = _Reading(asked, weight, sentence, texts, rarity)
        for first, behind in spans_of(sentence.words):
            words = sentence.words
            text = sentence.text[words[first].start : words[behind - 1].end]
            yield Found(text, sentence.title, 0.0), reading.signs_of(first, behind)


def _sentences(passages: Sequence[Passage], weight: dict[str, float]) -> list[Sentence]:
    """The sentences that share most with the question."""
    found = list[Sentence]()
    for rank, passage in enumerate(passages):
        cut = [(one, words_of(one)) for one in sentences(passage.text[:LONGEST_PASSAGE])]
        title = {word.stem for word in words_of(passage.title)}
        every = title.union(*({word.stem for word in words} for _, words in cut))
        around = sum(value for one, value in weight.items() if one in every)
        tells = _tells_apart([{word.stem for word in words} for _, words in cut], weight)
        for text, words in cut:
            stems = {word.stem for word in words}
            share = sum(value for one, value in weight.items() if one in stems)
            apart = sum(value for one, value in tells.items() if one in stems)
            if share > 0 and around >= LEAST_SHARED:
                found.append(Sentence(text, words, passage.title, rank, share, around, apart))
    found.sort(key=lambda one: -(one.share + 0.5 * one.around - 0.05 * one.rank))
    return found[:SENTENCES_READ]


def _tells_apart(sentences_of: Sequence[set[str]], asked: Iterable[str]) -> dict[str, float]:
    """How well each word of the question tells a passage's sentences apart; 1 in all.

    What a passage is about stands in all of its sentences, and what is asked of it in one.
    """
    having = {one: sum(one in stems for stems in sentences_of) for one in asked}
    telling = {
        one: math.log((1 + len(sentences_of)) / (1 + count))
        for one, count in having.items()
        if count
    }
    total = sum(telling.values()) or 1.0
    return {one: value / total for one, value in telling.items()}


class _Reading:
    """A sentence as one question sees it: what is counted once for all of its stretches."""

    def __init__(
        self,
        asked: Asked,
        weight: dict[str, float],
        sentence: Sentence,
        texts: list[str],
        rarity: Rarity,
    ) -> None:
        self.asked, self.weight, self.sentence = asked, weight, sentence
        self.texts, self.rarity = texts, rarity
        self.words = sentence.words
        self.shared = [place for place, word in enumerate(self.words) if word.stem in weight]
        order = [one.stem for one in asked.words]
        asked_pairs = set(pairwise(order))
        stems = [one.stem for one in self.words]
        pairs = set(pairwise(stems))
        self.pairs = len(asked_pairs & pairs) / (len(asked_pairs) or 1)

    def signs_of(self, first: int, behind: int) -> dict[str, float]:
        """What speaks for the stretch from `first` to before `behind`, and against it."""
        words, kind = self.words[first:behind], self.asked.kind
        before = self._word(first - 1)
        after = self._word(behind)
        own = sum(word.stem in self.weight for word in words) / len(words)
        form = "subject" if self.asked.subject else "object"
        shape = shape_of(words)
        signs = {
            "share": self.sentence.share,
            "around": self.sentence.around,
            "apart": self.sentence.apart,
            "rank": float(self.sentence.rank),
            "pairs": self.pairs,
            "own": own,
            "own, all": float(own == 1),
            "near": self._nearness(first, behind),
            f"words {min(len(words), 6)}": 1.0,
            f"{kind}: {shape}": 1.0,
            f"{kind}: behind {_class_of(before)}": 1.0,
            f"before {_class_of(after)}": 1.0,
            f"{form}, {self._side(first, behind)}": 1.0,
            "behind what the question ends in": float(self._goes_on(first)),
            "passages": sum(self._text(first, behind) in text for text in self.texts[:5]) / 5,
        }
        signs |= _of_borders(words, before, after)
        signs |= self._of_head(words, before, after)
        return signs

    def _text(self, first: int, behind: int) -> str:
        start, end = self.words[first].start, self.words[behind - 1].end
        return self.sentence.text[start:end].lower()

    def _word(self, place: int) -> Word | None:
        return self.words[place] if 0 <= place < len(self.words) else None

    def _goes_on(self, first: int) -> bool:
        """Whether the sentence says the question's last word, and then the stretch.

        `What is Havburg known for?` and `Havburg is known for its boats.`
        """
        before = self._word(first - 1)
        if before is not None and before.lower in _OPENING:
            before = self._word(first - 2)
        last = self.asked.words[-1:]
        return before is not None and any(before.stem == one.stem for one in last)

    def _nearness(self, first: int, behind: int) -> float:
        """The question's words outside, by weight, the nearer the more."""
        nearest = dict[str, float]()
        for place in self.shared:
            if not first <= place < behind:
                away = first - place if place < first else place - behind + 1
                one = self.words[place].stem
                nearest[one] = max(nearest.get(one, 0.0), 1 / (1 + away))
        return sum(self.weight[one] * value for one, value in nearest.items())

    def _side(self, first: int, behind: int) -> str:
        """Where it stands beside the words that the sentence shares with the question."""
        outside = [place for place in self.shared if not first <= place < behind]
        if not outside:
            return "alone"
        if behind <= outside[0]:
            return "first"
        return "last" if first > outside[-1] else "between"

    def _of_head(
        self, words: list[Word], before: Word | None, after: Word | None
    ) -> dict[str, float]:
        """What the word behind `which` or `how many` has to do with it."""
        head, kind = self.asked.head, self.asked.kind
        if not head:
            return {}
        number = "number, " if kind in ("many", "much") else ""
        return {
            f"{number}head follows": float(after is not None and after.stem == head),
            "head before": float(before is not None and before.stem == head),
            f"{number}head at its end": float(len(words) > 1 and words[-1].stem == head),
        }


def shape_of(words: list[Word]) -> str:
    """What a stretch looks like: a date, a year, a number, a name, a phrase."""
    if any(one.month for one in words) and any(one.number for one in words):
        return "date"
    if words[0].year and len(words) == 1:
        return "year"
    if any(
        one.text[0] in "$£€" or one.text[-1] in "%" or one.lower == "percent" for one in words
    ):
        return "money or share"
    if words[0].number:
        return "number" if len(words) == 1 else "number of"
    if any(one.year for one in words):
        return "phrase with a year"
    if any(one.number for one in words):
        return "phrase with a number"
    telling = [one for one in words if not one.little and not one.sign]
    capitals = sum(one.capital for one in telling)
    if capitals == len(telling):
        return "name" if len(telling) > 1 else "capital"
    return "phrase with a name" if capitals else "phrase"


def _of_borders(words: list[Word], before: Word | None, after: Word | None) -> dict[str, float]:
    """Whether it is cut out of something that belongs together."""
    left = None if before is None or before.little or before.sign else before
    right = None if after is None or after.little or after.sign else after
    return {
        "cuts on the left": float(left is not None),
        "cuts on the right": float(right is not None),
        "cuts a name on the left": float(
            left is not None and left.capital and words[0].capital
        ),
        "cuts a name on the right": float(
            right is not None and right.capital and words[-1].capital
        ),
        "cuts a number": float(left is not None and left.number and words[0].number),
        "number before": float(left is not None and left.number),
        "number behind": float(right is not None and right.number),
        "and inside": float(any(one.lower in ("and", "or") for one in words)),
        "of inside": float(any(one.lower == "of" for one in words)),
        "verb-like inside": float(any(one.lower in _VERBS for one in words)),
        "little words inside": float(
            sum(one.little for one in words) - any(one.lower in ("of", "and") for one in words)
        ),
        "comma inside": float(any(one.text == "," for one in words)),
        "ends in ed": float(words[-1].lower.endswith("ed")),
        "ends in ly": float(words[-1].lower.endswith("ly")),
        "begins in ed": float(words[0].lower.endswith("ed")),
        "begins in ly": float(words[0].lower.endswith("ly")),
        "verb-like": float(len(words) == 1 and words[0].lower.endswith(("ed", "ing"))),
    }


_VERBS = frozenset("is are was were has have had be been did does do can will would".split())
_OPENING = frozenset("the a an his her its their".split())
_CLASSES = {
    **dict.fromkeys(("in", "at", "on", "near", "within", "around"), "in"),
    **dict.fromkeys(("from", "since", "until", "during", "between", "after", "before"), "from"),
    **dict.fromkeys(("is", "are", "was", "were", "be", "been", "being"), "is"),
    **dict.fromkeys(("the", "a", "an"), "the"),
    **dict.fromkeys(("his", "her", "its", "their"), "its"),
    **dict.fromkeys(("that", "which", "who", "it", "he", "she", "they"), "who"),
    **{one: one for one in ("of", "by", "to", "as", "for", "with", "and", "than", ",", "(")},
    **{one: one for one in (".", ")", '"')},
}


def _class_of(word: Word | None) -> str:
    """What kind of word stands beside a stretch."""
    if word is None:
        return "the end"
    if word.lower in _CLASSES:
        return _CLASSES[word.lower]
    if word.sign:
        return "a sign"
    if word.little:
        return "a little word"
    return "a number" if word.number else ("a capital" if word.capital else "a word")
