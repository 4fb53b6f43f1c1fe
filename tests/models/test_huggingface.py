import numpy as np
import pytest
import torch

from graft.errors import ModelError
from graft.models.huggingface import HuggingFaceModel, load_model
from graft.models.language import Branch, Ids, Passage
from oracle import logprobs

TEXTS = [
    "Mara had 47 apples. She bought 38 more.",
    "Osk",
    "The river flows through Venna slowly, and nobody knows why it costs $1,250.50 today.",
]


def logprobs_after(model: HuggingFaceModel, tokens: Ids) -> torch.Tensor:
    """The naive way: the whole sequence through the whole model, alone, without a cache."""
    return logprobs(model, tokens)[-1]


def read(model: HuggingFaceModel):
    prompt = model.encode("Add calls to the text.\n")
    inputs = [model.encode_after(f"Input:\n{text[:9]}\n") for text in TEXTS]
    texts = [model.encode(text) for text in TEXTS]
    return prompt, inputs, texts, model.read(prompt, inputs, texts)


def test_probabilities_of_a_marker_are_those_of_the_naive_way(
    network: HuggingFaceModel,
) -> None:
    prompt, inputs, texts, reading = read(network)
    marker = network.encode_after(" [Calculator")
    assert len(marker) > 1
    found = reading.probabilities(marker)
    for b, text in enumerate(texts):
        for i in range(len(text)):
            tokens, expected = [*prompt, *inputs[b], *text[:i]], 1.0
            for token in marker:
                expected *= float(logprobs_after(network, tokens)[token].exp())
                tokens.append(token)
            assert found[b][i] == pytest.approx(expected, rel=1e-3, abs=1e-9)


def test_samples_are_those_of_the_naive_way(network: HuggingFaceModel) -> None:
    prompt, inputs, texts, reading = read(network)
    marker = network.encode_after(" [")
    rng = np.random.default_rng(0)
    branches = [Branch(0, 3, rng.random((3, 6))), Branch(2, 9, rng.random((2, 6)))]
    branches.append(Branch(0, 0, rng.random((2, 6))))
    samples = reading.sample(marker, branches, frozenset(), 1.0)
    for branch, drawn in zip(branches, samples, strict=True):
        head = [*prompt, *inputs[branch.text], *texts[branch.text][: branch.position], *marker]
        for draws, sample in zip(branch.draws, drawn, strict=True):
            expected: list[int] = []
            for draw in draws:
                likely = logprobs_after(network, [*head, *expected]).exp().double().cumsum(-1)
                expected.append(int((likely <= draw * float(likely[-1])).sum()))
            assert sample == expected


def test_a_sample_ends_with_the_first_stopping_token(network: HuggingFaceModel) -> None:
    _, _, _, reading = read(network)
    branch = Branch(0, 3, np.random.default_rng(1).random((4, 12)))
    [free] = reading.sample(network.encode_after(" ["), [branch], frozenset(), 1.0)
    stop = frozenset({free[0][4]})
    [stopped] = reading.sample(network.encode_after(" ["), [branch], stop, 1.0)
    for whole, cut in zip(free, stopped, strict=True):
        end = next((k for k, token in enumerate(whole) if token in stop), len(whole) - 1)
        assert cut == whole[: end + 1]


def test_scores_are_those_of_the_naive_way_whatever_stands_beside(
    network: HuggingFaceModel,
) -> None:
    texts = [network.encode(text) for text in TEXTS]
    passages = [Passage(text, [0, len(text) // 2, len(text) - 1]) for text in texts]
    together = network.score([*passages, Passage(texts[0], [])])
    for passage, scores in zip(passages, together, strict=False):
        alone = network.score([passage])[0]
        naive = [
            float(logprobs_after(network, passage.tokens[:i])[passage.tokens[i]])
            for i in passage.wanted
        ]
        assert scores == pytest.approx(naive, abs=1e-4)
        assert scores == pytest.approx(alone, abs=1e-4)
    assert len(together[-1]) == 0


def test_a_prompt_is_encoded_once(network: HuggingFaceModel) -> None:
    prompt = network.encode("Add calls to the text, and think of nothing else at all.\n")
    before = network.tokens_processed
    for _ in range(2):
        network.read(prompt, [[5, 6]], [[7, 8, 9]])
    # start and prompt but its last token once; then that token and the rest for each reading
    assert network.tokens_processed - before == len(prompt) + 2 * (1 + 2 + 3)


def test_rows_of_a_decoder_do_not_see_each_other(network: HuggingFaceModel) -> None:
    texts = [network.encode(text) for text in TEXTS]
    decoder = network.decoder(3)
    decoder.feed([0, 1, 2], texts)
    decoder.feed([1], [texts[0]])
    both = decoder.feed([0, 2], [[5], [6, 7, 8]])
    torch.testing.assert_close(
        both[0], logprobs_after(network, [*texts[0], 5]), atol=1e-4, rtol=1e-4
    )
    torch.testing.assert_close(
        both[1], logprobs_after(network, [*texts[2], 6, 7, 8]), atol=1e-4, rtol=1e-4
    )


def test_a_rewound_row_has_forgotten(network: HuggingFaceModel) -> None:
    tokens = network.encode(TEXTS[2])
    decoder = network.decoder(2)
    decoder.feed([1], [tokens])
    decoder.rewind(1, 4)
    [after] = decoder.feed([1], [[9]])
    expected = logprobs_after(network, [*tokens[:4], 9])
    torch.testing.assert_close(after, expected, atol=1e-4, rtol=1e-4)
    decoder.rewind(1, 0)
    [anew] = decoder.feed([1], [tokens[:2]])
    torch.testing.assert_close(anew, logprobs_after(network, tokens[:2]), atol=1e-4, rtol=1e-4)


def test_a_text_longer_than_the_context_is_refused_with_the_numbers(
    network: HuggingFaceModel,
) -> None:
    with pytest.raises(ModelError, match="context of 256"):
        network.read([5] * 200, [[5]], [[6] * 100])
    with pytest.raises(ModelError, match="context of 256"):
        network.decoder(1).feed([0], [[5] * 300])


def test_joined_tokens_decode_to_the_joined_text(reader: HuggingFaceModel) -> None:
    parts = [" [", "Calculator(47 + 38)", " ->", " 85", "]", " apples", ')] "ok"']
    tokens = reader.encode("Mara had")
    for part in parts:
        tokens = [*tokens, *reader.encode_after(part)]
    beginning = reader.decode(reader.encode("Mara had"))  # with a space in front for some
    assert beginning.strip() == "Mara had"
    assert reader.decode(tokens) == beginning + "".join(parts)


def test_a_character_is_found_in_the_token_that_covers_it(reader: HuggingFaceModel) -> None:
    text = "Mara had 47 apples. She bought 38 more."
    tokens = reader.encode(text)
    added = len(reader.decode(tokens)) - len(text)  # some put a space in front
    for character in (0, 8, 9, 19, len(text) - 1):
        index = reader.token_at(text, character)
        assert index == 0 or len(reader.decode(tokens[:index])) - added <= character
        assert len(reader.decode(tokens[: index + 1])) - added > character
    assert reader.token_at(text, len(text)) == len(tokens)


def test_every_token_that_closes_a_call_is_known(reader: HuggingFaceModel) -> None:
    closing = reader.tokens_with("]")
    assert closing
    text = 'Osk river") -> Osk > The Osk] slowly. ok)] )]'
    for token in reader.encode(text):
        assert (token in closing) == ("]" in reader.decode([token]))


def test_a_saved_model_loads_by_its_folder(network: HuggingFaceModel, tmp_path) -> None:
    network.model.save_pretrained(tmp_path)
    network.tokenizer.save_pretrained(tmp_path)
    loaded = load_model(str(tmp_path))
    tokens = network.encode(TEXTS[0])
    assert loaded.decode(loaded.encode(TEXTS[0])) == TEXTS[0]
    ours, theirs = ([m.score([Passage(tokens, [3, 4])])[0]] for m in (loaded, network))
    np.testing.assert_allclose(ours, theirs, atol=1e-6)


@pytest.mark.parametrize(
    ("missing", "told"),
    [("config.json", "config.json"), ("*.safetensors", "safetensors"), ("token*", "tokenizer")],
)
def test_a_folder_that_lacks_a_part_is_refused_with_its_name(
    network: HuggingFaceModel, tmp_path, missing: str, told: str
) -> None:
    network.model.save_pretrained(tmp_path)
    network.tokenizer.save_pretrained(tmp_path)
    for path in tmp_path.glob(missing):
        path.unlink()
    with pytest.raises(ModelError, match=told):
        load_model(str(tmp_path))


def test_a_hub_id_that_cannot_be_had_is_refused_with_a_remedy() -> None:
    with pytest.raises(ModelError, match="cannot load the model 'nobody/nothing'"):
        load_model("nobody/nothing")
