"""The written form of a tool call: `[Calculator(27 * 3) -> 81]`.

The only module that knows how a call looks in text; everything else handles `Call`.
For every call that can be built, `parse(render(call)) == call`.

Schick et al. 2023, Section 2 and footnote 1: ` [`, `]` and `->` stand for <API>, </API> and
the arrow; the vocabulary of the model is not changed. A call is written with the space in
front and none behind, so that `text[:i] + call + text[i:]` reads well before a word.
"""

import re
from dataclasses import dataclass, replace

OPEN = " ["
ARROW = " ->"
CLOSE = "]"

# No arrow in the argument, and no way back into a result: hostile texts stay linear.
_WRITTEN = re.compile(
    r"\[(?P<tool>[A-Za-z]\w*+)\((?P<argument>(?:(?!->)[^][\n])*?)\)"
    r"(?: ->(?: (?P<result>[^][\n]*+))?)?\]"
)
_ASKED = re.compile(r"(?P<tool>[A-Za-z]\w*)\((?P<argument>[^][\n]*)\)\Z")
_SOFTENED = str.maketrans({"[": "(", "]": ")"})
_BREAKS = re.compile(r"\s+")  # every line break and control space that `str.split` knows


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
    found = _WRITTEN.search(text)
    if found is None:
        return None
    answered = ARROW in text[found.end("argument") : found.end()]
    call = _built(found["tool"], found["argument"])
    if call is None:
        return None
    return replace(call, result=found["result"] or "") if answered else call


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


def _built(tool: str, written: str) -> Call | None:
    quoted = _is_quoted(written)
    argument = written[1:-1] if quoted else written
    if "->" in argument:
        return None
    return Call(tool, argument, quoted=quoted)


def _is_quoted(written: str) -> bool:
    return len(written) >= 2 and written[0] == written[-1] == '"'
