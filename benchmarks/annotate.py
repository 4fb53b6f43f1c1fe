"""How much less work is it to propose calls with one pass per text and forked caches?"""

from dataclasses import replace

import naive
from bases import BASES, documents, load_base, parameters
from stopwatch import arguments, in_turn, publish

from graft.models.huggingface import HuggingFaceModel
from graft.toolformer.annotate import AnnotateConfig, Sampling, annotate
from graft.toolformer.tools.toolbox import tools_by_name

QUESTION = "annotate: naive way and ours, k = m = 5, documents of about 120 tokens"
SAMPLING = Sampling(threshold=0.0, positions=5, samples=5)


def ours(texts, model: HuggingFaceModel, tools, settings: AnnotateConfig) -> naive.Done:
    """The same by graft, counted in the same way."""
    before = model.tokens_processed
    model.forget_prompts()
    found = list(annotate(texts, model, tools, settings))
    calls = sum(len(one.candidates) for one in found)
    return naive.Done(model.tokens_processed - before, [], calls)


def measure(base: str, count: int, repeats: int) -> dict[str, object]:
    """One row: a base, so many documents."""
    model = load_base(base)
    tools = tools_by_name(["calculator"])
    [tool] = tools.values()
    tools = {tool.name: replace(tool, sees=lambda _text, _context: True)}
    settings = AnnotateConfig(sampling=SAMPLING, tools={})
    texts = documents(model, count)
    slow, fast = in_turn(
        lambda: naive.annotate(texts, model, tools, settings),
        lambda: ours(texts, model, tools, settings),
        repeats,
    )
    return {
        "case": base,
        "parameters": parameters(model),
        "documents": count,
        **naive.beside(slow, fast),
    }


def main() -> None:
    """Measure every base that was asked for."""
    parser = arguments(QUESTION)
    parser.add_argument("--bases", nargs="+", default=list(BASES), choices=BASES)
    parser.add_argument("--documents", type=int, nargs="+", default=[24, 8])
    given = parser.parse_args()
    rows = [
        measure(base, count, given.repeats)
        for base, count in zip(given.bases, given.documents, strict=False)
    ]
    publish("annotate", QUESTION, rows, given.record)


if __name__ == "__main__":
    main()
