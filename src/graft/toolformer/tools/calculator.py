"""The calculator: four operations on written numbers (Schick et al. 2023, Section 3)."""

import bisect
import hashlib
import itertools
import operator
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

from graft.errors import ToolError
from graft.toolformer.call import Call
from graft.toolformer.tools import arithmetic
from graft.toolformer.tools.tool import Context, Demonstration, Prompt, Tool

NAME = "Calculator"
WINDOW_WORDS = 100
"""How far apart the numbers of one calculation may stand (Appendix A)."""
NUMBERS_AT_ONCE = 30
"""Pairs are sought among so many neighbours, so that a page of tables stays affordable."""
OPERANDS_BEFORE = 8
"""The rules look at so many numbers in front of a result."""
CALLS_BY_PAIRS = 2
"""Right calculations the rules propose per number, besides one that is written out."""
LONGEST_WRITTEN_OUT = 120
MAX_POSITIONS = 20
"""Numbers of one text in front of which the rules propose (k, Appendix A)."""

PROMPT = Prompt(
    "Your task is to add calls of a calculator to a text. A call gives a result and helps to "
    'write the number that follows. Write a call as "[Calculator(expression)]", where '
    '"expression" is what to compute.',
    (
        Demonstration(
            "In 8 boxes of 12 pencils are 96 pencils.",
            "In 8 boxes of 12 pencils are [Calculator(8 * 12)] 96 pencils.",
        ),
        Demonstration(
            "Of 250 seats 205 were sold: 82%.",
            "Of 250 seats 205 were sold: [Calculator(205 / 250 * 100)] 82%.",
        ),
        Demonstration(
            "She paid $45 and $19, together $64.",
            "She paid $45 and $19, together [Calculator(45 + 19)] $64.",
        ),
        Demonstration(
            "The mill ran from 1936 to 2004, for 68 years.",
            "The mill ran from 1936 to 2004, for [Calculator(2004 - 1936)] 68 years.",
        ),
        Demonstration(
            "A rope of 7 m makes 4 parts of 1.75 m.",
            "A rope of 7 m makes 4 parts of [Calculator(7 / 4)] 1.75 m.",
        ),
    ),
)

_MENTION = re.compile(
    r"(?<![\w.,:$€£])[$€£]?"
    r"(?P<number>(?:[0-9]{1,3}(?:,[0-9]{3}){1,4}|[0-9]{1,12})(?:\.[0-9]{1,6})?)"
    r"(?P<percent>%)?(?![\w:]|[.,][0-9])"
)
_ANNOUNCED = re.compile(
    r"(?:=|\bequals|\bequal to|\btotal of|\baverage of)\s*[$€£]?[0-9]", re.IGNORECASE
)
_OPERATED_BEFORE = re.compile(r"[0-9)%] ?[-+*/x\u00d7\u00f7\u2212] ?\(?$")
_OPERATED_AFTER = re.compile(r" ?[-+*/x\u00d7\u00f7\u2212] ?[($€£]?[0-9]")
_IN_EXPRESSIONS = (
    "0123456789.,+-*/%()$€£ x\N{MULTIPLICATION SIGN}\N{DIVISION SIGN}\N{MINUS SIGN}"
)
_PLAINLY = str.maketrans({"$": "", "€": "", "£": "", "x": "*"})
_OPERATIONS: dict[str, Callable[[float, float], float]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
}


@dataclass(frozen=True, slots=True)
class Mention:
    """A number as it stands in a text; `word` counts the words in front of it."""

    start: int
    end: int
    word: int
    written: str
    shown: Fraction
    """Its value as it reads: 11.4 for `11.4%`."""
    value: Fraction
    """Its value in a calculation: 0.114 for `11.4%`."""
    estimate: float
    """The same, for a quick look before an exact one."""

    @property
    def is_share(self) -> bool:
        """Whether it is written in percent."""
        return self.written.endswith("%")


def calculator_tool() -> Tool:
    """The calculator as a tool: `Calculator(400 / 1400)` is answered by `0.29`."""
    return Tool(
        name=NAME,
        answer=answer,
        prompt=PROMPT,
        sees=sees,
        rules=rules,
        helps="Texts with three numbers near each other of which one results from two others,"
        " or that announce a result (Appendix A).",
        limits="+ - * / and brackets on written numbers, two decimals; no powers, no names.",
    )


def answer(argument: str, _context: Context) -> str:
    """The value of `argument`, rounded to two decimals; ToolError if it has none."""
    return arithmetic.write_number(arithmetic.calculate(argument))


def sees(text: str, _context: Context) -> bool:
    """Appendix A: a calculation among near numbers, or a result announced, or 1% of the rest.

    The draw for texts that merely hold three numbers is a hash of the text.
    """
    if _ANNOUNCED.search(text):
        return True
    mentions = read_mentions(text)
    if len(mentions) < 3:
        return False
    return _one_results_from_two(mentions) or _drawn(text)


def rules(text: str, _context: Context) -> list[tuple[int, Call]]:
    """Calculations found in `text` itself, each in front of the number that it results in.

    An expression written out (`48/2 = 24`), or an operation on two numbers before it; with
    each of them the same numbers under another operation, for the filter to reject.
    """
    proposed: list[tuple[int, Call]] = []
    positions: set[int] = set()
    mentions = read_mentions(text)
    for index, mention in enumerate(mentions):
        position = _position(text, mention)
        for argument in dict.fromkeys(_arguments(text, mentions, index)):
            positions.add(position)
            proposed.append((position, Call(NAME, argument)))
        if len(positions) == MAX_POSITIONS:
            break
    return proposed


def read_mentions(text: str) -> list[Mention]:
    """Every number in `text` that stands alone: not `16th`, `10:30` or `1.2.3`."""
    mentions: list[Mention] = []
    counted, word = 0, 0
    for found in _MENTION.finditer(text):
        word += len(text[counted : found.start()].split())
        counted = found.start()
        written = found["number"] + (found["percent"] or "")
        shown = Fraction(found["number"].replace(",", ""))
        value = shown / 100 if found["percent"] else shown
        mentions.append(Mention(*found.span(), word, written, shown, value, float(value)))
    return mentions


def _arguments(text: str, mentions: Sequence[Mention], index: int) -> Iterator[str]:
    result = mentions[index]
    if expression := _written_out(text[: result.start][-LONGEST_WRITTEN_OUT:]):
        yield expression
        match expression.split(" "):
            case [left, symbol, right] if symbol in _OPERATIONS:
                yield f"{left} {_another(symbol)} {right}"
            case _:
                pass
    if _is_operand(text, result):
        return
    before = [
        mention
        for mention in mentions[max(0, index - OPERANDS_BEFORE) : index]
        if result.word - mention.word <= WINDOW_WORDS
    ]
    found = list(itertools.islice(_calculations(before, result), CALLS_BY_PAIRS))
    yield from (argument for argument, _near_miss in found)
    yield from (near_miss for _argument, near_miss in found[:1])


def _calculations(before: Sequence[Mention], result: Mention) -> Iterator[tuple[str, str]]:
    """Operations on two of `before` that give `result`, nearest first, with a near miss."""
    seen: set[tuple[str, frozenset[Fraction]]] = set()
    for right, left in itertools.combinations(reversed(before), 2):
        for symbol, first, second in _orders(left, right):
            same = (symbol, frozenset({left.value, right.value}))
            if same in seen or not _gives(symbol, first, second, result):
                continue
            seen.add(same)
            share = " * 100" if result.is_share else ""
            yield (
                f"{first.written} {symbol} {second.written}{share}",
                f"{first.written} {_another(symbol)} {second.written}",
            )


def _orders(left: Mention, right: Mention) -> Iterator[tuple[str, Mention, Mention]]:
    yield from ((symbol, left, right) for symbol in "+*-/")
    yield from ((symbol, right, left) for symbol in "-/")


def _gives(symbol: str, left: Mention, right: Mention, result: Mention) -> bool:
    """Whether the operation tells something, and gives `result` to two decimals."""
    operands = (left.estimate, right.estimate)
    if 0 in operands or (symbol in "*/" and 1 in operands):
        return False
    if (symbol in "-/" and left.value == right.value) or (result.is_share and symbol != "/"):
        return False
    error = abs(_OPERATIONS[symbol](*operands) - result.estimate)
    if error > 0.006 + 1e-12 * result.estimate:  # rounding to two decimals and a float's own
        return False
    exact = arithmetic.apply(symbol, left.value, right.value) * (100 if result.is_share else 1)
    return arithmetic.write_number(exact) == arithmetic.write_number(result.shown)


def _written_out(before: str) -> str | None:
    """The expression that ends `before` with an equals sign, spaced evenly; or None."""
    before = before.rstrip(" ")
    if not before.endswith("="):
        return None
    before = before.rstrip(" =")
    words = before[len(before.rstrip(_IN_EXPRESSIONS)) :].translate(_PLAINLY).split(" ")
    for first in range(len(words)):
        expression = " ".join(words[first:])
        try:
            tree = arithmetic.parse_expression(expression)
        except ToolError:
            continue
        return _spaced(expression) if isinstance(tree, arithmetic.Operation) else None
    return None


def _is_operand(text: str, mention: Mention) -> bool:
    """Whether it stands inside an expression, so that it is no result of what came before."""
    return bool(
        _OPERATED_BEFORE.search(text[max(0, mention.start - 5) : mention.start])
        or _OPERATED_AFTER.match(text[mention.end : mention.end + 5])
    )


def _spaced(expression: str) -> str:
    spaced = " ".join(arithmetic.read_tokens(expression))
    return spaced.replace("( ", "(").replace(" )", ")").replace(" %", "%")


def _another(symbol: str) -> str:
    return {"+": "-", "-": "+", "*": "/", "/": "*"}[symbol]


def _position(text: str, mention: Mention) -> int:
    start = mention.start
    return start - 1 if start and text[start - 1] == " " else start


def _one_results_from_two(mentions: Sequence[Mention]) -> bool:
    """Whether some number is the result of an operation on two others in the same window."""
    words_of: dict[int, list[tuple[int, int]]] = {}  # by value in cents: (word, index)
    for index, mention in enumerate(mentions):
        words_of.setdefault(_cents(mention.estimate), []).append((mention.word, index))
    for low, left in enumerate(mentions):
        for high in range(low + 1, min(low + NUMBERS_AT_ONCE, len(mentions))):
            right = mentions[high]
            if right.word - left.word > WINDOW_WORDS:
                break
            for result in _results(left.estimate, right.estimate):
                places = words_of.get(_cents(result), [])
                if _third_within(places, low, high, right.word - WINDOW_WORDS, left.word):
                    return True
    return False


def _third_within(
    places: list[tuple[int, int]], low: int, high: int, first_word: int, left_word: int
) -> bool:
    start = bisect.bisect_left(places, (first_word, -1))
    return any(
        index not in {low, high} and word <= left_word + WINDOW_WORDS
        for word, index in places[start : start + 3]
    )


def _results(left: float, right: float) -> Iterator[float]:
    yield from (left + right, left - right, right - left, left * right)
    if right:
        yield left / right
    if left:
        yield right / left


def _cents(value: float) -> int:
    return int(value * 100 + 0.5) if value >= 0 else -1


def _drawn(text: str) -> bool:
    digest = hashlib.sha256(text.encode(errors="replace")).digest()
    return int.from_bytes(digest[:8], "big") % 100 == 0
