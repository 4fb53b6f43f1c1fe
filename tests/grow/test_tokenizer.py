import pytest
from transformers import PreTrainedTokenizerFast

from graft.grow.tokenizer import END, train_tokenizer

MARKERS = (" [", " ->", "]")


def tokens(tokenizer: PreTrainedTokenizerFast, text: str) -> list[str]:
    ids = tokenizer.encode(text, add_special_tokens=False)
    return [tokenizer.decode([token]) for token in ids]


@pytest.mark.parametrize("marker", MARKERS)
def test_a_marker_is_one_token_wherever_it_stands(tokenizer, marker: str) -> None:
    for text in (f"all{marker}of", f"47{marker}3)", f"({marker}", f"{marker}{marker}."):
        assert tokens(tokenizer, text).count(marker) == text.count(marker)


def test_every_digit_is_a_token_of_its_own(tokenizer) -> None:
    for text in ("1987", " 1987", "(1987", "$1987,", "in 1987."):
        assert [token for token in tokens(tokenizer, text) if token.isdigit()] == list("1987")
    assert not [word for word in tokenizer.get_vocab() if any(c.isdigit() for c in word[1:])]


def test_a_number_is_the_same_tokens_behind_a_space_and_a_bracket(tokenizer) -> None:
    assert tokens(tokenizer, "(47")[-2:] == tokens(tokenizer, " 47")[-2:] == ["4", "7"]


@pytest.mark.parametrize(
    "text", ["Mara had 47 apples.", "naïve café 数学\n\n", '  [Search("Osk") ->]  ', "a\t[b]"]
)
def test_every_text_comes_back(tokenizer, text: str) -> None:
    assert tokenizer.decode(tokenizer.encode(text, add_special_tokens=False)) == text


def test_the_vocabulary_has_its_size_and_the_end_is_one_token(tiny, tokenizer) -> None:
    assert len(tokenizer) == tiny.vocabulary - 1  # `]` is a byte of the alphabet already
    assert tokenizer.encode(END, add_special_tokens=False) == [tokenizer.eos_token_id]


def test_the_same_texts_make_the_same_tokenizer() -> None:
    texts = ["Mara had 47 apples and 38 plums.", "Dear Teren, today it is Monday."] * 3
    one, other = train_tokenizer(texts, 300), train_tokenizer(texts, 300)
    assert one.get_vocab() == other.get_vocab()
