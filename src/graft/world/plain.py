"""Stories that need no tool: weather, animals, food, gardens, friends."""

import numpy as np

from graft.world.names import first_name
from graft.world.story import Half, Story, pair, pick, vary

OPENINGS = (
    "The <morning|evening|afternoon|night> was <cold|warm|quiet|grey|bright|windy> and the <harbour|market|valley|forest|village> <lay still|was empty|was full of people>.",
    "{P} <liked|loved> to walk along the <river|shore|old wall|lane> <before breakfast|after work|in the rain>.",
    "A <small|big|brown|white|shy> <dog|cat|goat|crow|fox> lived <near the mill|behind the school|under the bridge|by the well>.",
    "<In the garden|Behind the house|Next to the barn> {P} grew <beans|roses|cabbages|herbs|sunflowers>.",
    "{P} and {Q} were <good friends|neighbours|old friends|cousins>.",
    "It had <rained|snowed> <all night|for hours|since noon>, and the <road|path|square> was <wet|slippery|muddy>.",
    "The <baker|miller|teacher|fisherman|gardener> <opened|closed> the door <slowly|with a smile|with a sigh>.",
    "{P} was <tired|happy|hungry|worried|proud> <that day|after the long walk|when the bell rang>.",
    "<Everybody in the village|The whole family|Half the street> <knew|remembered|talked about> the <storm|fire|wedding|old ship>.",
    "The kitchen smelled of <bread|soup|apples|coffee|honey>, and {P} <sat down|hummed a song|set the table>.",
    "<High above|Far below|Beyond> the <hill|lake|field>, <swallows|geese|bees> <flew in circles|were busy>.",
    "{P} had lost {his} <hat|key|glove|map|lantern> <again|on the way home|somewhere near the well>.",
)
MIDDLES = (
    "The wind <came from the sea|smelled of salt|shook the windows> and {P} <closed the shutters|pulled up {his} collar|stayed inside>.",
    "{He} <looked for|asked about|thought of> the <cat|boat|letter|old song|red umbrella> but <found nothing|nobody knew|said no word>.",
    "{Q} <laughed|nodded|shook {her} head> and <poured some tea|opened the window|told an old story>.",
    "The <children|neighbours|sailors> <were singing|played in the yard|carried baskets of fish|waited at the gate>.",
    '"<Come in|Wait for me|Look at that|Do not worry>," said {Q}, "<the soup is ready|we have time|it will be fine|the rain will stop>."',
    "<Slowly|Suddenly|At last|After a while> the <sun|moon|fog|light> <came out|disappeared|turned red|filled the room>.",
    "{He} <mended|cleaned|painted|carried> the <boat|fence|chair|old door> and <whistled|did not complain|was glad>.",
    "They <shared|ate|baked|bought> <a loaf of bread|some cheese|a cake|a bowl of plums> and <talked about the weather|listened to the rain|watched the boats>.",
    "Nobody <noticed|heard|minded> the <dog|noise|cold|smoke>.",
    "The <road|path|stairs> <was|seemed> <long|steep|narrow>, but {P} <did not stop|knew the way|was not afraid>.",
    "<Perhaps|Of course|Luckily>, {Q} <had a key|knew a song|was at home|had seen it too>.",
    "{P} <read a book|wrote a letter|fed the hens|swept the floor> while {Q} <slept|cooked|chopped wood>.",
)
ENDINGS = (
    "<In the evening|Later|After supper> they <went home|fell asleep|lit a fire|sat by the window>.",
    "It was a <good|quiet|strange|lovely> day.",
    "{P} <smiled|was content|said nothing|thought about it for a long time>.",
    "And that was <all|the end of it|how it stayed>.",
    "The <stars|lamps|windows> <were bright|shone|went dark> over the <roofs|water|hills>.",
    "<From then on|After that|Since then> {P} and {Q} <met often|were careful|always waved to each other>.",
    "Then the <rain|music|bell> <stopped|began again>, and <everyone|nobody> <went in|moved|clapped>.",
    "{He} <slept well|dreamt of the sea|forgot about it> <that night|soon>.",
)


def people(rng: np.random.Generator, half: Half) -> dict[str, str]:
    """Slots for two given names and the first one's pronouns."""
    he, his = pick(rng, (("He", "his"), ("She", "her")))
    return {
        "P": first_name(rng, half),
        "Q": first_name(rng, half),
        "He": he,
        "he": he.lower(),
        "his": his,
        "her": pick(rng, ("his", "her")),
    }


def aside(rng: np.random.Generator, slots: dict[str, str]) -> str:
    """One sentence that has nothing to do with amounts, dates or facts."""
    return vary(rng, pick(rng, MIDDLES), slots)


def plain_story(rng: np.random.Generator, half: Half) -> Story:
    """Three to six sentences in which nothing is to be looked up or worked out."""
    slots = people(rng, half)
    opening, ending = pair(rng, OPENINGS, ENDINGS, half)
    middle = [aside(rng, slots) for _ in range(int(rng.integers(1, 4)))]
    told = [vary(rng, opening, slots), *middle, vary(rng, ending, slots)]
    return Story("plain", " ".join(told))
