"""Stories about amounts: what two numbers make, by adding, taking away, times and shares."""

from dataclasses import dataclass

import numpy as np

from graft.world.plain import aside, people
from graft.world.story import Half, Story, Use, pair, pick, tell, vary

THINGS = (
    "apples stamps coins books shells eggs nails bricks candles buttons tickets letters plums "
    "ropes cups lamps fish sheep stones pencils marbles cards bottles chairs seeds flowers"
).split()

ADD = (
    "{P} had {a} {t}. <Then|Later|In the afternoon> {he} <bought|found|picked up|got> {b} more.",
    "There were {a} {t} in the <box|barn|shop> and {b} {t} in the <cellar|attic|boat>.",
    "{P} <collected|counted|sold> {a} {t} <in the morning|before noon> and {b} <in the evening|after noon>.",
    "{P} <owned|kept> {a} {t}, and {Q} gave {him} {b} more.",
    "A <ship|cart|train> carried {a} {t}. <At the next stop|In the port> {b} {t} were <added|loaded>.",
    "{P} has {a} {t} and {Q} has {b} {t}. They put them together.",
    "The <school|museum|mill> <had|held> {a} {t} and <ordered|received> another {b}.",
    "{P} <made|packed> {a} {t} on one day and {b} {t} on the next.",
    "The first <shelf|bag|room> held {a} {t}, the second held {b}.",
    "{Q} lent {P} {b} {t}, though {P} <already had|had> {a} of {his} own.",
    "A <farmer|trader> <brought|fetched> {a} {t} from the <north|coast> and {b} from the <south|hills>.",
    "To the {a} {t} that {P} <had|kept at home>, {Q} added {b}.",
)
SUBTRACT = (
    "{P} had {a} {t}. <Then|Later|On the way> {he} <lost|sold|gave away|broke> {b} of them.",
    "There were {a} {t} in the <box|barn|shop>. {Q} <took|carried off> {b}.",
    "{P} <baked|made|bought> {a} {t} and <used|gave away> {b} of them.",
    "A <ship|cart|train> carried {a} {t}. <In the port|On the road> {b} {t} were <unloaded|lost>.",
    "Of the {a} {t} in the <museum|school|mill>, {b} were <broken|stolen|sent back>.",
    "{P} <needed|wanted> {a} {t} but <was short of|still lacked> {b}.",
    "{P} owed {Q} {a} {t} and has <paid back|returned> {b}.",
    "The <trader|farmer> brought {a} {t} to the market and sold {b}.",
    "{a} {t} stood in the yard, until {Q} <removed|took away> {b}.",
    "{P} kept {a} {t} <in a drawer|at home> but <mice ruined|the flood ruined> {b}.",
    "From {his} {a} {t}, {P} <gave|sent> {b} to {Q}.",
    "{Q} <handed back|threw out> {b} of the {a} {t} that {P} had <lent|left> there.",
)
MULTIPLY = (
    "{P} has {a} <boxes|bags|baskets> with {b} {t} in each.",
    "Each of the {a} <rooms|shelves|boats> holds {b} {t}.",
    "{P} bought {a} {t} for {b} <coins|dollars|crowns> each.",
    "There are {a} rows of {t}, and every row has {b}.",
    "Every <day|week>, {P} <sells|makes|collects> {b} {t}, and {he} did so for {a} <days|weeks>.",
    "{a} <workers|children|sailors> <carried|brought> {b} {t} each.",
    "A <crate|sack> holds {b} {t}, and {Q} <loaded|ordered> {a} of them.",
    "{P} <works|walks> {a} <hours|days> and <earns|finds> {b} {t} in each.",
    "The <mill|school> has {a} <floors|halls>, each with {b} {t}.",
    "One <bag|chest> has {b} {t}. {P} has {a} such <bags|chests>.",
    "{P} filled {a} <jars|drawers>, {b} {t} to each.",
    "With {b} {t} per <house|table>, {Q} <served|supplied> {a} <houses|tables>.",
)
DIVIDE = (
    "{P} <shared|divided> {a} {t} equally among {b} <children|friends|workers>.",
    "{a} {t} were packed into {b} <boxes|bags>, the same number in each.",
    "{P} put {a} {t} in {b} equal <rows|piles>.",
    "{b} <sailors|neighbours> split {a} {t} evenly.",
    "The {a} {t} were spread over {b} <shelves|tables>, equally many on each.",
    "{P} <earned|got> {a} {t} for {b} <days|weeks> of work, every <day|week> the same.",
    "It took {b} <carts|trips> to carry {a} {t}, all equally full.",
    "{P} cut the {a} {t} into {b} equal <heaps|lots>.",
    "{a} {t} had to last for {b} <days|weeks>, the same each time.",
    "Between {b} <families|houses>, {a} {t} were given out fairly.",
    "{Q} laid {a} {t} in {b} <drawers|boats>, as many in one as in the next.",
    "Among {b} <cousins|guests>, {P} handed round {a} {t} in equal parts.",
)
TOTALS = (
    "<In the end|Now|Altogether> there were @{r} {t}.",
    "That makes @{r} {t} <in all|altogether>.",
    "How many {t} are there <now|in all>? The answer is @{r}.",
    "The <total|sum|number of {t}> is @{r}.",
    "<So|Then> {P} <counted|wrote down> @{r} {t}.",
    '"How many {t}?" asked {Q}. "It is @{r}," said {P}.',
    "<All in all|Together> it came to @{r} {t}.",
    "{P} <worked it out|did the sum>: @{r} {t}.",
)
RESTS = (
    "<In the end|Now|After that> there were @{r} {t}.",
    "That leaves @{r} {t}.",
    "How many {t} are left? The answer is @{r}.",
    "The <rest|difference|number left> is @{r}.",
    "<So|Then> {P} <counted|wrote down> @{r} {t}.",
    '"How many are left?" asked {Q}. "It is @{r}," said {P}.',
    "<Only|Still> @{r} {t} <remained|were left>.",
    "{P} <worked it out|did the sum>: @{r} {t}.",
)
PARTS = (
    "<In the end|Now> each had @{r} {t}.",
    "That makes @{r} {t} for each.",
    "How many {t} are there in each part? The answer is @{r}.",
    "The <share|part|number in each> is @{r}.",
    "<So|Then> {P} <counted|wrote down> @{r} {t} for each.",
    '"How many for each?" asked {Q}. "It is @{r}," said {P}.',
    "<Every one|Each> got @{r} {t}.",
    "{P} <worked it out|did the sum>: @{r} {t}.",
)


@dataclass(frozen=True, slots=True)
class Operation:
    """One of the four operations, with the shapes that tell of it."""

    sign: str
    openings: tuple[str, ...]
    endings: tuple[str, ...]


OPERATIONS = (
    Operation("+", ADD, TOTALS),
    Operation("-", SUBTRACT, RESTS),
    Operation("*", MULTIPLY, TOTALS),
    Operation("/", DIVIDE, PARTS),
)


def amount_story(rng: np.random.Generator, half: Half, *, asides: bool = True) -> Story:
    """Two amounts and what becomes of them; the result stands at the end."""
    operation = pick(rng, OPERATIONS)
    a, b, result = numbers(rng, operation.sign, half)
    slots = people(rng, half) | {"t": pick(rng, THINGS), "a": str(a), "b": str(b)}
    slots |= {"r": str(result), "him": "him" if slots["he"] == "he" else "her"}
    opening, ending = pair(rng, operation.openings, operation.endings, half)
    sentences = [
        vary(rng, opening, slots),
        aside(rng, slots) if asides and rng.random() < 0.25 else "",
        vary(rng, ending, slots),
    ]
    argument = f"{a} {operation.sign} {b}"
    use = Use(0, "Calculator", argument, str(result), str(result))
    return tell("amounts", sentences, use)


def numbers(rng: np.random.Generator, sign: str, half: Half) -> tuple[int, int, int]:
    """Two whole numbers of the half and what the operation makes of them."""
    while True:
        a, b, result = _drawn(rng, sign)
        if (_mixed(a, b) % 5 == 0) == (half == "held"):
            return a, b, result


def _drawn(rng: np.random.Generator, sign: str) -> tuple[int, int, int]:
    match sign:
        case "+":
            a, b = int(rng.integers(12, 1000)), int(rng.integers(12, 1000))
            return a, b, a + b
        case "-":
            b, rest = int(rng.integers(12, 900)), int(rng.integers(12, 900))
            return b + rest, b, rest
        case "*":
            a, b = int(rng.integers(3, 100)), int(rng.integers(12, 100))
            return a, b, a * b
        case _:
            b, part = int(rng.integers(3, 40)), int(rng.integers(12, 100))
            return b * part, b, part


def _mixed(a: int, b: int) -> int:
    return (a * 2654435761 + b * 40503) >> 7
