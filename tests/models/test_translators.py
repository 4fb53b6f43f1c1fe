"""Models that translate, made here with random weights; nothing is downloaded."""

import json
from pathlib import Path

import pytest
import torch
from transformers import (
    M2M100Config,
    M2M100ForConditionalGeneration,
    MarianConfig,
    MarianMTModel,
    MarianTokenizer,
    NllbTokenizer,
    PreTrainedTokenizerBase,
)

from graft.errors import ConfigError, ModelError
from graft.models import translators
from graft.models.translators import TranslationModel, load_translator
from graft.toolformer.tools.execute import Executor
from graft.toolformer.tools.tool import Context
from graft.toolformer.tools.toolbox import tools_by_name

CODES = ["eng_Latn", "spa_Latn", "eus_Latn", "srp_Cyrl"]
ASKED = [
    ("la casa blanca", "spa_Latn"),
    ("etxea handia da", "eus_Latn"),
    ("el gato negro duerme en la cocina de mi padre", "spa_Latn"),
    ("a", "srp_Cyrl"),
]


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """What random weights say never ends by itself."""
    monkeypatch.setattr(translators, "MOST_TOKENS", 24)


def letters() -> NllbTokenizer:
    """A tokenizer as NLLB has it, of single letters."""
    pieces = [
        "<s>",
        "<pad>",
        "</s>",
        "<unk>",
        "▁",
        *"abcdefghijklmnopqrstuvwxyzáéíóúñ.,0123456789",
    ]
    return NllbTokenizer(
        vocab={piece: number for number, piece in enumerate(pieces)},
        merges=[],
        extra_special_tokens=CODES,
        src_lang="eng_Latn",
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random model of NLLB's architecture, whose answers hang on what it is asked."""
    place, tokenizer = tmp_path_factory.mktemp("nllb"), letters()
    config = M2M100Config(
        vocab_size=len(tokenizer),
        d_model=32,
        encoder_layers=2,
        decoder_layers=2,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=64,
        decoder_ffn_dim=64,
        init_std=0.6,
        pad_token_id=1,
        bos_token_id=0,
        eos_token_id=2,
        decoder_start_token_id=2,
    )
    with torch.random.fork_rng():
        torch.random.default_generator.manual_seed(3)
        network = M2M100ForConditionalGeneration(config)
    network.save_pretrained(place)
    tokenizer.save_pretrained(place)
    return place


@pytest.fixture(scope="module")
def model(folder: Path) -> TranslationModel:
    return load_translator(str(folder))


def test_a_batch_in_several_languages_is_translated_as_one_by_one(
    model: TranslationModel,
) -> None:
    together = model.translate(ASKED, "eng_Latn")
    assert together == [model.translate([one], "eng_Latn")[0] for one in ASKED]
    assert len({*together}) > 1


def test_the_languages_of_text_and_translation_reach_the_network(folder: Path) -> None:
    seen = list[tuple[list[list[int]], str | None]]()

    def generate(rows: object, first: str | None) -> list[list[int]]:
        assert isinstance(rows, list)
        seen.append((rows, first))
        return [[5, 6] for _ in rows]

    tokenizer: PreTrainedTokenizerBase = letters()
    TranslationModel(tokenizer, generate, "x").translate(ASKED, "eng_Latn")
    [(rows, first)] = seen
    begins = [tokenizer.convert_ids_to_tokens(row[0]) for row in rows]
    assert begins == ["spa_Latn", "eus_Latn", "spa_Latn", "srp_Cyrl"]
    assert first == "eng_Latn"
    assert load_translator(str(folder)).sources == sorted(CODES)


def test_other_targets_have_other_translations(model: TranslationModel) -> None:
    [english] = model.translate(ASKED[:1], "eng_Latn")
    [basque] = model.translate(ASKED[:1], "eus_Latn")
    assert english != basque
    assert model.translate([], "eng_Latn") == []


def test_sixty_four_arguments_are_one_call_of_the_network(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes, generate = list[int](), M2M100ForConditionalGeneration.generate

    def counted(self: M2M100ForConditionalGeneration, **given: object) -> object:
        ids = given["input_ids"]
        assert isinstance(ids, torch.Tensor)
        sizes.append(len(ids))
        return generate(self, **given)  # pyright: ignore[reportArgumentType]

    monkeypatch.setattr(M2M100ForConditionalGeneration, "generate", counted)
    mt = tools_by_name([f"mt:{folder} from=es+eu confidence=0"])["MT"]
    questions = [(f"mi hermano vive en la ciudad {n}", Context()) for n in range(64)]
    answers = Executor().answer_all(mt, questions)
    assert sizes == [64]
    alone = load_translator(str(folder)).translate([(questions[7][0], "spa_Latn")], "eng_Latn")
    assert answers[7] == alone[0][:300]
    assert mt.timeout_seconds == 30


def test_a_folder_of_ctranslate2_translates_as_the_model_that_it_was_made_of(
    folder: Path, model: TranslationModel, tmp_path: Path
) -> None:
    ctranslate2 = pytest.importorskip("ctranslate2", reason="needs graft-models[mt]")
    converted = tmp_path / "converted"
    ctranslate2.converters.TransformersConverter(
        str(folder), copy_files=["tokenizer.json", "tokenizer_config.json"]
    ).convert(str(converted))
    fast = load_translator(str(converted))
    assert fast.sources == model.sources
    assert fast.translate(ASKED, "eng_Latn") == model.translate(ASKED, "eng_Latn")
    assert fast.fingerprint != model.fingerprint
    assert "MT" in tools_by_name([f"mt:{converted}"])


def test_what_does_not_translate_is_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="does not translate into 'fr'; there are: en, es"):
        tools_by_name([f"mt:{folder} to=fr"])
    with pytest.raises(ConfigError, match="not from 'fr' into 'en'"):
        tools_by_name([f"mt:{folder} from=fr"])
    with pytest.raises(ModelError, match="it has no config"):
        tools_by_name([f"mt:{tmp_path}"])
    (tmp_path / "model.bin").write_bytes(b"no model")
    with pytest.raises(ModelError, match=r"not read.*ct2-transformers-converter"):
        tools_by_name([f"mt:{tmp_path}"])


@pytest.mark.filterwarnings("ignore:Recommended. pip install sacremoses")
def test_a_marian_model_of_one_pair_translates_from_its_language(tmp_path: Path) -> None:
    sentencepiece = pytest.importorskip("sentencepiece", reason="needs graft-models[mt]")
    (tmp_path / "texts").write_text("\n".join(text for text, _ in ASKED) * 9)
    sentencepiece.SentencePieceTrainer.train(
        input=str(tmp_path / "texts"),
        model_prefix=str(tmp_path / "spm"),
        vocab_size=40,
        hard_vocab_limit=False,
        minloglevel=2,
    )
    pieces = sentencepiece.SentencePieceProcessor(model_file=str(tmp_path / "spm.model"))
    names = ["</s>", "<unk>", *(pieces.id_to_piece(n) for n in range(3, len(pieces))), "<pad>"]
    (tmp_path / "vocab.json").write_text(json.dumps({one: n for n, one in enumerate(names)}))
    spm = str(tmp_path / "spm.model")
    tokenizer = MarianTokenizer(
        spm, spm, str(tmp_path / "vocab.json"), source_lang="spa", target_lang="eng"
    )
    config = MarianConfig(
        vocab_size=len(names),
        d_model=16,
        encoder_layers=1,
        decoder_layers=1,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=32,
        decoder_ffn_dim=32,
        pad_token_id=len(names) - 1,
        eos_token_id=0,
        decoder_start_token_id=len(names) - 1,
        forced_eos_token_id=0,
        init_std=0.6,
    )
    MarianMTModel(config).save_pretrained(tmp_path / "marian")
    tokenizer.save_pretrained(tmp_path / "marian")
    model = load_translator(str(tmp_path / "marian"))
    assert (model.sources, model.targets) == (["spa"], ["eng"])
    asked = [(text, "spa") for text, _ in ASKED]
    assert model.translate(asked, "eng") == [model.translate([one], "eng")[0] for one in asked]
    assert "from es;" in tools_by_name([f"mt:{tmp_path / 'marian'}"])["MT"].limits
