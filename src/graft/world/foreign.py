"""Stories in which somebody says something in Spanish, and what it means follows.

What it means is written down here, word for word: no engine was asked.
"""

import numpy as np

from graft.world.names import held_out
from graft.world.plain import aside, people
from graft.world.story import Half, Story, Use, pair, pick, tell, vary

Phrase = tuple[str, str]
"""Spanish, and English."""

WHO: tuple[Phrase, ...] = (
    ("el perro", "the dog"),
    ("el gato", "the cat"),
    ("la abuela", "the grandmother"),
    ("el hombre viejo", "the old man"),
    ("la mujer", "the woman"),
    ("el niño", "the boy"),
    ("la niña", "the girl"),
    ("el panadero", "the baker"),
    ("el pescador", "the fisherman"),
    ("el caballo blanco", "the white horse"),
    ("la vaca", "the cow"),
    ("el pájaro", "the bird"),
)
DOES: tuple[Phrase, ...] = (
    ("duerme", "sleeps"),
    ("canta", "sings"),
    ("trabaja", "works"),
    ("vive", "lives"),
    ("come", "eats"),
)
WHERE: tuple[Phrase, ...] = (
    ("en la escuela", "in the school"),
    ("en el campo", "in the field"),
    ("en el jardín", "in the garden"),
    ("debajo de la mesa", "under the table"),
    ("en la plaza", "in the square"),
    ("en el bosque", "in the forest"),
    ("en la iglesia", "in the church"),
)
TAKES: tuple[Phrase, ...] = (
    ("compra", "buys"),
    ("vende", "sells"),
    ("busca", "looks for"),
)
WHAT: tuple[Phrase, ...] = (
    ("un sombrero azul", "a blue hat"),
    ("un libro nuevo", "a new book"),
    ("pan", "bread"),
    ("queso", "cheese"),
    ("una puerta verde", "a green door"),
    ("las flores amarillas", "the yellow flowers"),
)
OPENINGS = (
    'On the <gate|wall|door> was written "{f}"',
    '{P} read "{f}" on the <sign|plate|old letter>',
    '{P} <called|shouted|cried> "{f}"',
    'The <song|story|poem> began with "{f}"',
    'A <sailor|stranger|guest> said "{f}"',
    'In the <book|letter> stood "{f}"',
    '"{f}" was painted on the <ship|boat|wall>',
    '{Q} <wrote|whispered|sang> "{f}"',
)
TELLINGS = (
    ", which means @{e}.",
    ", that is @{e}.",
    ", in English @{e}.",
    " and means @{e}.",
    ", meaning @{e}.",
    ", which is to say @{e}.",
    ", which stands for @{e}.",
    ", and that is @{e}.",
)


def draw_phrase(rng: np.random.Generator, half: Half) -> Phrase:
    """A sentence and its meaning; one in five sentences is held out."""
    while True:
        two, three = (DOES, WHERE) if rng.random() < 0.5 else (TAKES, WHAT)
        parts = [pick(rng, one) for one in (WHO, two, three)]
        spanish, english = (" ".join(part[side] for part in parts) for side in (0, 1))
        if held_out(spanish) == (half == "held"):
            return spanish, english


def foreign_story(rng: np.random.Generator, half: Half) -> Story:
    """A text in which a foreign sentence is told and explained, perhaps among other things."""
    spanish, english = draw_phrase(rng, half)
    slots = people(rng, half) | {"f": spanish, "e": english}
    before = aside(rng, slots) if rng.random() < 0.25 else ""
    after = aside(rng, slots) if rng.random() < 0.25 else ""
    opening, telling = pair(rng, OPENINGS, TELLINGS, half)
    told = vary(rng, opening + telling, slots)
    return tell("foreign", [before, told, after], Use(0, "MT", spanish, english, english))
