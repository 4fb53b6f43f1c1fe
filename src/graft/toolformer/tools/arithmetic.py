"""Exact decimal arithmetic over a small syntax tree; nothing is ever evaluated as code.

    sum     = product (("+" | "-") product)*
    product = signed (("*" | "/") signed)*
    signed  = "-" signed | atom "%"?
    atom    = number | "(" sum ")"

Bounded in characters, digits, depth and magnitude, so that every text is answered or refused
at once. Only the ASCII digits count as digits.
"""

import re
from dataclasses import dataclass
from fractions import Fraction
from typing import assert_never

from graft.errors import ToolError

MAX_CHARACTERS = 200
MAX_DEPTH = 16
MAX_DIGITS = 20
MAX_MAGNITUDE = 10**20

_SYNONYMS = str.maketrans(
    {"\N{MULTIPLICATION SIGN}": "*", "\N{DIVISION SIGN}": "/", "\N{MINUS SIGN}": "-"}
)
_TOKEN = re.compile(r"[0-9.,]+|[-+*/()%]")
_NUMBER = re.compile(r"(?:[0-9]+|[1-9][0-9]{0,2}(?:,[0-9]{3})+)(?:\.[0-9]+)?|\.[0-9]+")


@dataclass(frozen=True, slots=True)
class Number:
    """A literal."""

    value: Fraction


@dataclass(frozen=True, slots=True)
class Negated:
    """Unary minus."""

    operand: "Tree"


@dataclass(frozen=True, slots=True)
class Percent:
    """The operand divided by 100."""

    operand: "Tree"


@dataclass(frozen=True, slots=True)
class Operation:
    """`left symbol right`, with `symbol` one of + - * /."""

    symbol: str
    left: "Tree"
    right: "Tree"


Tree = Number | Negated | Percent | Operation


def calculate(expression: str) -> Fraction:
    """The exact value of `expression`; ToolError if it has none or is out of bounds."""
    return value_of(parse_expression(expression))


def parse_expression(expression: str) -> Tree:
    """The syntax tree of `expression`, operations of equal rank to the left first.

    Raises:
        ToolError: it is not arithmetic, or longer or deeper than is allowed.
    """
    parser = _Parser(read_tokens(expression))
    tree = parser.sum(depth=0)
    if parser.ahead is not None:
        raise ToolError(f"unexpected {parser.ahead!r}")
    return tree


def read_tokens(expression: str) -> list[str]:
    """Numbers and signs in order; Unicode's times, divided by and minus become ASCII."""
    if len(expression) > MAX_CHARACTERS:
        raise ToolError(f"longer than {MAX_CHARACTERS} characters")
    ascii_only = expression.translate(_SYNONYMS)
    foreign = _TOKEN.sub("", ascii_only).replace(" ", "")
    if foreign:
        raise ToolError(f"not arithmetic: {foreign[:20]!r}")
    return _TOKEN.findall(ascii_only)


def read_number(written: str) -> Fraction:
    """The value of `1,234.5` or `.5`; misplaced commas are refused, not guessed."""
    if not _NUMBER.fullmatch(written):
        raise ToolError(f"not a number: {written[:20]!r}")
    digits = written.replace(",", "")
    if len(digits.replace(".", "")) > MAX_DIGITS:
        raise ToolError(f"more than {MAX_DIGITS} digits: {written[:20]!r}")
    return Fraction(digits)


def value_of(tree: Tree) -> Fraction:
    """Compute `tree` exactly; ToolError on division by zero or beyond the magnitude."""
    match tree:
        case Number(value):
            result = value
        case Negated(operand):
            result = -value_of(operand)
        case Percent(operand):
            result = value_of(operand) / 100
        case Operation(symbol, left, right):
            result = apply(symbol, value_of(left), value_of(right))
        case _:
            assert_never(tree)
    if abs(result) > MAX_MAGNITUDE:
        raise ToolError("the result is too large")
    return result


def apply(symbol: str, left: Fraction, right: Fraction) -> Fraction:
    """`left symbol right`; ToolError when dividing by zero."""
    match symbol:
        case "+":
            return left + right
        case "-":
            return left - right
        case "*":
            return left * right
        case _:
            if right == 0:
                raise ToolError("division by zero")
            return left / right


def write_number(value: Fraction) -> str:
    """Plain notation, rounded half up (away from zero) to two decimals: `57798.51`, `-3`."""
    cents = int(abs(value) * 100 + Fraction(1, 2))
    sign = "-" if value < 0 and cents else ""
    return f"{sign}{cents // 100}.{cents % 100:02d}".rstrip("0").rstrip(".")


class _Parser:
    """Recursive descent, one method per line of the grammar."""

    def __init__(self, tokens: list[str]) -> None:
        self._tokens = tokens
        self._next = 0

    @property
    def ahead(self) -> str | None:
        """The token to come, or None at the end."""
        return self._tokens[self._next] if self._next < len(self._tokens) else None

    def sum(self, depth: int) -> Tree:
        tree = self._product(depth)
        while symbol := self._take("+", "-"):
            tree = Operation(symbol, tree, self._product(depth))
        return tree

    def _product(self, depth: int) -> Tree:
        tree = self._signed(depth)
        while symbol := self._take("*", "/"):
            tree = Operation(symbol, tree, self._signed(depth))
        return tree

    def _signed(self, depth: int) -> Tree:
        if depth > MAX_DEPTH:
            raise ToolError("too deeply nested")
        if self._take("-"):
            return Negated(self._signed(depth + 1))
        tree = self._atom(depth)
        return Percent(tree) if self._take("%") else tree

    def _atom(self, depth: int) -> Tree:
        if self._take("("):
            tree = self.sum(depth + 1)
            if not self._take(")"):
                raise ToolError("a parenthesis is not closed")
            return tree
        written = self.ahead
        if written is None:
            raise ToolError("a number is missing")
        if written in set("+*/)%"):
            raise ToolError(f"a number is missing before {written!r}")
        self._next += 1
        return Number(read_number(written))

    def _take(self, *wanted: str) -> str | None:
        token = self.ahead
        if token not in wanted:
            return None
        self._next += 1
        return token
