"""The written form of a tool call: `[Calculator(27 * 3) -> 81]`.

A tool of several arguments is written with their names, and JSON behind them, in which round
brackets stand for square ones: `[Convert(amount=3.5, units=("km", "mi")) -> 2.17]`.

The only module that knows how a call looks in text; everything else handles `Call`.
For every call that can be built, `parse(render(call)) == call`.

Schick et al. 2023, Section 2 and footnote 1: ` [`, `]` and `->` stand for <API>, </API> and
the arrow; the vocabulary of the model is not changed. A call is written with the space in
front and none behind, so that `text[:i] + call + text[i:]` reads well before a word.
"""

import json
import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import cast

OPEN = " ["
ARROW = " ->"
CLOSE = "]"

# No arrow in the argument, and no way back into a result: hostile texts stay linear.
_WRITTEN = re.compile(
    r"\[(?P<tool>[A-Za-z]\w*+)\((?P<argument>(?:(?!->)[^][\n])*?)\)"
    r"(?: ->(?: (?P<result>[^][\n]*+))?)?\]"
)
_ASKED = re.compile(r"(?P<tool>[A-Za-z]\w*)\((?P<argument>[^][\n]*)\)\Z")
_STRING = r'"(?:[^"\\]|\\.)*+"'
_STRING_OR_BRACKET = re.compile(r'"(?:[^"\\]|\\.)*+(?:"|\\?\Z)|[][()]')  # linear, closed or not
_NAME = re.compile(rf"\s*+(?:(?P<bare>[^\s,()\[\]{{}}\"=/?&<>!]++)|(?P<quoted>{_STRING}))\s*+=")
_BARE_NAME = re.compile(r"[^\W\d]\w*")
_BARE_VALUE = re.compile(r"[^\s,()\[\]{}\"][^,()\[\]{}\"]*+")
_TO_ESCAPE = re.compile(r"[][\ud800-\udfff]|(?<=-)>|[^\S ]")
_SOFTENED = str.maketrans({"[": "(", "]": ")"})
_BREAKS = re.compile(r"\s+")  # every line break and control space that `str.split` knows


Json = None | bool | int | float | str | Sequence[object] | Mapping[str, object]
"""What an argument of a tool with several can be; numbers are finite."""


@dataclass(frozen=True, slots=True)
class Call:
    """One use of one tool. `result` is None until the tool has answered.

    `quoted` says how the argument is written: `Search("the river Osk")` or
    `Calculator(27 * 3)`. Raises ValueError for what could not be read back.
    """

    tool: str
    argument: str
    result: str | None = None
    quoted: bool = False

    def __post_init__(self) -> None:
        """Refuse brackets, line breaks and arrows where they would end the call early."""
        if not re.fullmatch(r"[A-Za-z]\w*", self.tool):
            raise ValueError(f"not a tool's name: {self.tool!r}")
        if set(self.argument + (self.result or "")) & set("[]\n") or "->" in self.argument:
            raise ValueError(f"not writable as a call: {self.argument!r}, {self.result!r}")
        if not self.quoted and _is_quoted(self.argument):
            raise ValueError(f"a bare argument in quotes: {self.argument!r}")

    def answered(self, result: str) -> "Call":
        """The same call with `result`, made harmless: one line, no brackets, no arrow.

        Half of a character, which no file can hold, becomes a question mark.
        """
        result = result.encode(errors="replace").decode()
        harmless = _BREAKS.sub(" ", result.translate(_SOFTENED)).strip().replace("->", "→")
        return replace(self, result=harmless)


def render(call: Call) -> str:
    """Write `call` as the model reads and writes it, without the space in front."""
    return f"{OPEN[1:]}{render_asked(call)}{render_answer(call)}"


def render_asked(call: Call) -> str:
    """The part that asks: `Calculator(27 * 3)`."""
    argument = f'"{call.argument}"' if call.quoted else call.argument
    return f"{call.tool}({argument})"


def render_answer(call: Call) -> str:
    """The part that answers: ` -> 81]`, ` ->]` for an empty result, `]` for none."""
    if call.result is None:
        return CLOSE
    return f"{ARROW} {call.result}{CLOSE}" if call.result else f"{ARROW}{CLOSE}"


def parse(text: str) -> Call | None:
    """Read the first call in `text`, or None if there is none."""
    return next((call for call, _ in calls_in(text)), None)


def calls_in(text: str) -> Iterator[tuple[Call, str]]:
    """Every call in `text`, each with what follows it."""
    for found in _WRITTEN.finditer(text):
        answered = ARROW in text[found.end("argument") : found.end()]
        call = _built(found["tool"], found["argument"])
        if call is not None:
            result = (found["result"] or "") if answered else None
            yield replace(call, result=result), text[found.end() :]


def parse_asked(text: str) -> Call | None:
    """Read `Calculator(27 * 3)`: what a model wrote between the opening and the arrow.

    Takes spaces, commas, nested parentheses and any script in the argument, and nothing
    before the name or after the last parenthesis but spaces.
    """
    found = _ASKED.match(text.strip(" "))
    return None if found is None else _built(found["tool"], found["argument"])


def strip(text: str) -> str:
    """`text` without its calls."""
    return re.sub(r" ?" + _WRITTEN.pattern, "", text)


def render_arguments(values: Mapping[str, Json]) -> str:
    """Write named values as they stand between a call's parentheses.

    `parse_arguments(render_arguments(values), values)` gives them back, whatever their strings
    hold. Raises ValueError for what JSON has no word for, such as NaN.
    """
    written = ", ".join(
        f"{name if _BARE_NAME.fullmatch(name) else _written(name)}={_written(value)}"
        for name, value in values.items()
    )
    return f"{written} " if _is_quoted(written) else written  # or it would be one string


def called_names(theirs: Sequence[str]) -> list[str]:
    """What arguments are called in calls, where others name them: `sort-by` is `sort_by`.

    A name that is a bare word stays; of others that would be the same the later get numbers.
    """
    called = {one: one for one in theirs if _BARE_NAME.fullmatch(one)}
    taken, numbers = set(called), Counter[str]()
    for one in theirs:
        if one not in called:
            name = plain = _bare(one)
            while name in taken:
                numbers[plain] += 1
                name = f"{plain}_{numbers[plain] + 1}"
            called[one] = name
            taken.add(name)
    return [called[one] for one in theirs]


def parse_arguments(
    written: str, names: Sequence[str], others: Mapping[str, str] | None = None
) -> dict[str, Json]:
    """Read what stands between a call's parentheses as values for `names`.

    A value may also stand without its name, in the place that it has in `names`, and a word
    without quotes: `Convert(3.5, km, into=mi)`.

    Args:
        written: what stands there.
        names: of the values, in their order.
        others: names that stand for one of those.

    Raises:
        ValueError: a value that cannot be read, or a name that is unknown or comes twice.
    """
    values = dict[str, Json]()
    for place, (name, value) in enumerate(_arguments(written)):
        if name is None and place >= len(names):
            raise ValueError(f"{place + 1} values, and there are {len(names)} arguments")
        name = names[place] if name is None else (others or {}).get(name, name)
        if name not in names:
            raise ValueError(f"no argument '{name}'; there are: {', '.join(names) or 'none'}")
        if name in values:
            raise ValueError(f"the argument '{name}' twice")
        values[name] = value
    return values


def _bare(name: str) -> str:
    word = re.sub(r"\W+", "_", name).strip("_") or "argument"
    return word if _BARE_NAME.fullmatch(word) else f"_{word}"


def _built(tool: str, written: str) -> Call | None:
    quoted = _is_quoted(written)
    argument = written[1:-1] if quoted else written
    if "->" in argument:
        return None
    return Call(tool, argument, quoted=quoted)


def _is_quoted(written: str) -> bool:
    return len(written) >= 2 and written[0] == written[-1] == '"'


def _written(value: Json) -> str:
    text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    return _STRING_OR_BRACKET.sub(_disarmed, text)


def _disarmed(found: re.Match[str]) -> str:
    """A string without what would end the call; round brackets for square ones."""
    if found[0] in "[]":
        return "(" if found[0] == "[" else ")"
    return _TO_ESCAPE.sub(lambda one: f"\\u{ord(one[0]):04x}", found[0])


def _arguments(written: str) -> Iterator[tuple[str | None, Json]]:
    """Each argument's name, if it has one, and its value."""
    text = _STRING_OR_BRACKET.sub(_squared, written)
    at = _after_space(text, 0)
    while at < len(text):
        named = _NAME.match(text, at)
        at = _after_space(text, named.end() if named else at)
        value, at = _value(text, at)
        yield _name_in(named), value
        at = _after_space(text, at)
        if at < len(text) and text[at] != ",":
            raise ValueError(f"no comma before {text[at : at + 20]!r}")
        at = _after_space(text, at + 1)


def _squared(found: re.Match[str]) -> str:
    return {"(": "[", ")": "]", "[": "(", "]": ")"}.get(found[0], found[0])


def _name_in(named: re.Match[str] | None) -> str | None:
    if named is None:
        return None
    return named["bare"] or cast("str", json.loads(named["quoted"], strict=False))


def _value(text: str, at: int) -> tuple[Json, int]:
    """The JSON value or bare word that begins at `at`, and where it ends."""
    if bare := _BARE_VALUE.match(text, at):
        return _word(bare[0].strip()), bare.end()
    try:
        return cast("tuple[Json, int]", _DECODER.raw_decode(text, at))
    except (ValueError, RecursionError):
        raise ValueError(f"not a value: {text[at : at + 20]!r}") from None


def _word(written: str) -> Json:
    """What JSON reads in a word without brackets and quotes; else the word itself."""
    try:
        return cast("Json", _DECODER.decode(written))
    except ValueError:
        return written


def _finite(written: str) -> float:
    number = float(written)
    if not math.isfinite(number):
        raise ValueError(f"not a finite number: {written}")
    return number


_DECODER = json.JSONDecoder(parse_float=_finite, parse_constant=_finite, strict=False)


def _after_space(text: str, at: int) -> int:
    while at < len(text) and text[at].isspace():
        at += 1
    return at
