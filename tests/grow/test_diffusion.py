"""Growing the diffusion seedling, whole and interrupted."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionPipeline
from diffusers.models.attention_processor import Attention
from safetensors.torch import load_file
from transformers import CLIPTokenizer

from graft.grow import diffusion
from graft.grow.autoencoder import AutoencoderConfig, posterior_of
from graft.grow.captions import new_caption_tokenizer, tokens_of
from graft.grow.diffusion import (
    GrowDiffusionConfig,
    encode_pictures,
    grow_diffusion,
    new_denoiser,
    new_scheduler,
    read_pool,
    rise_hold_fall,
)
from graft.models.diffusion import load_diffusion, to_signed
from graft.scale.progress import Progress
from graft.world.pictures import draw_picture

TINY = GrowDiffusionConfig(
    channels=(16, 32),
    text_width=64,
    pictures=48,
    pictures_per_file=24,
    steps=4,
    batch=4,
    checkpoint_every=2,
    warm_up=1,
    autoencoder=AutoencoderConfig(
        channels=(8, 8, 8),
        latent_channels=4,
        crop_steps=1,
        steps=3,
        polish_steps=2,
        batch=2,
        checkpoint_every=2,
    ),
)


@pytest.fixture(scope="module")
def words() -> CLIPTokenizer:
    return new_caption_tokenizer(200)


@pytest.fixture(scope="module", autouse=True)
def small_vocabulary(words: CLIPTokenizer) -> Iterator[None]:
    """Drawing 2000 captions would take most of the time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(diffusion, "new_caption_tokenizer", lambda: words)
        yield


@pytest.fixture(scope="module")
def grown(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Progress]]:
    folder = tmp_path_factory.mktemp("grown")
    return folder, list(grow_diffusion(TINY, folder))


def files(folder: Path) -> dict[str, bytes]:
    found = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}


def stop_at(folder: Path, name: str, done: int) -> None:
    for progress in grow_diffusion(TINY, folder):
        if (progress.stage, progress.done) == (name, done):
            return
    raise AssertionError(f"{name} {done} never came")


def test_progress_tells_the_four_parts_of_the_work(grown) -> None:
    _, told = grown
    assert [(one.stage, one.done, one.total) for one in told] == [
        *(("autoencoder", n, 3) for n in (1, 2, 3)),
        *(("latents", n, 2) for n in (1, 2)),
        *(("decoder", n, 2) for n in (1, 2)),
        *(("denoiser", n, 4) for n in (1, 2, 3, 4)),
    ]
    assert told[-1].note.startswith("loss ")


def test_growing_twice_gives_the_same_bytes(grown, tmp_path: Path) -> None:
    folder, _ = grown
    before = torch.random.get_rng_state()
    for _ in grow_diffusion(TINY, tmp_path):
        pass
    assert torch.equal(torch.random.get_rng_state(), before)
    assert files(tmp_path) == files(folder)


def test_stopped_in_every_part_it_goes_on_and_ends_in_the_same_bytes(
    grown, tmp_path: Path
) -> None:
    folder, _ = grown
    stop_at(tmp_path, "autoencoder", 3)
    stop_at(tmp_path, "latents", 1)
    stop_at(tmp_path, "decoder", 1)
    stop_at(tmp_path, "denoiser", 3)
    for _ in grow_diffusion(TINY, tmp_path):
        pass
    assert files(tmp_path / "model") == files(folder / "model")


def test_killed_while_the_last_folder_is_written_it_is_written_again(
    grown, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, _ = grown
    stop_at(tmp_path, "denoiser", 2)
    with monkeypatch.context() as patch:
        patch.setattr(diffusion, "save_pipeline", killed)
        with pytest.raises(KeyboardInterrupt):
            list(grow_diffusion(TINY, tmp_path))
    for _ in grow_diffusion(TINY, tmp_path):
        pass
    assert files(tmp_path / "model") == files(folder / "model")


def killed(*_: object) -> None:
    raise KeyboardInterrupt


def test_a_finished_growth_is_not_done_again(grown) -> None:
    folder, _ = grown
    before = files(folder)
    assert [one.stage for one in grow_diffusion(TINY, folder)] == ["latents", "latents"]
    assert files(folder) == before


def test_the_folder_loads_in_diffusers_and_draws_a_picture(grown) -> None:
    folder, _ = grown
    pipeline = StableDiffusionPipeline.from_pretrained(folder / "model")
    pipeline.set_progress_bar_config(disable=True)
    drawn = pipeline(
        "a red circle",
        num_inference_steps=2,
        generator=torch.Generator().manual_seed(1),
        output_type="np",
    ).images
    assert drawn.shape == (1, 64, 64, 3)
    assert np.isfinite(drawn).all()
    assert drawn.std() > 0


def test_the_folder_is_a_base_that_can_be_controlled(grown) -> None:
    folder, _ = grown
    base = load_diffusion(str(folder / "model"))
    assert (base.size, base.shrinking, base.noise.predicts) == (64, 4, "v_prediction")
    assert int(base.sampler(4).times[0]) == 999


def test_the_weights_are_written_in_half_precision(grown) -> None:
    folder, _ = grown
    paths = list((folder / "model").rglob("*.safetensors"))
    assert sorted(path.parent.name for path in paths) == ["text_encoder", "unet", "vae"]
    for path in paths:
        kinds = {tensor.dtype for tensor in load_file(path).values()}
        assert kinds - {torch.int64} == {torch.float16}


def test_the_latents_of_the_first_file_have_unit_variance_and_the_scale_is_saved(grown) -> None:
    folder, _ = grown
    pool = read_pool(folder / "latents", 2)
    assert pool.latents_NCHW.shape == (48, 4, 16, 16)
    assert pool.tokens_NT.shape == (48, 32)
    assert pool.latents_NCHW[:24].std().item() == pytest.approx(1.0, abs=1e-3)
    raw_NCHW = load_file(folder / "latents" / "latents-001.safetensors")["latents"]
    assert torch.equal(pool.latents_NCHW[24:], raw_NCHW * pool.scale)
    base = load_diffusion(str(folder / "model"))
    assert base.vae.config["scaling_factor"] == pool.scale


def test_picture_25_is_the_second_files_second(grown, words: CLIPTokenizer) -> None:
    folder, _ = grown
    pool = read_pool(folder / "latents", 2)
    drawn = draw_picture(np.random.default_rng((TINY.seed, 1, 25)))
    autoencoder = diffusion.load_autoencoder(TINY.autoencoder, folder / "autoencoder")
    with torch.no_grad():
        mode = posterior_of(autoencoder, to_signed(drawn.pixels_HWC[None])).mode()[0]
    torch.testing.assert_close(pool.latents_NCHW[25], mode * pool.scale, rtol=0, atol=1e-4)
    assert torch.equal(pool.tokens_NT[25:26], tokens_of(words, [drawn.caption]))


def test_a_file_of_latents_that_is_there_is_not_made_again(
    grown, words: CLIPTokenizer, tmp_path: Path
) -> None:
    folder, _ = grown
    autoencoder = diffusion.load_autoencoder(TINY.autoencoder, folder / "autoencoder")
    (tmp_path / "latents-000.safetensors").write_bytes(b"there")
    odd = replace(TINY, pictures=25)
    for index in (0, 1):
        encode_pictures(odd, autoencoder, words, tmp_path, index)
    assert (tmp_path / "latents-000.safetensors").read_bytes() == b"there"
    assert len(load_file(tmp_path / "latents-001.safetensors")["tokens"]) == 1


def test_the_rate_rises_holds_and_falls_in_lines() -> None:
    factor = rise_hold_fall(replace(TINY, steps=20, warm_up=4, falling=0.25))
    found = [factor(step) for step in range(20)]
    rise, fall = [1 / 5, 2 / 5, 3 / 5, 4 / 5], [5 / 6, 4 / 6, 3 / 6, 2 / 6, 1 / 6]
    assert found == pytest.approx([*rise, *[1.0] * 11, *fall])


def test_late_times_are_drawn_more_often_and_from_a_step_on_half_as_often() -> None:
    config = GrowDiffusionConfig(batch=20_000, late_share=0.4, late_until=10)
    for step, share in ((9, 0.4), (10, 0.2)):
        times = diffusion.draw_times(config, step, torch.Generator().manual_seed(1)).numpy()
        late = share + (1 - share) * 0.3
        assert (times.min(), times.max()) == (0, 999)
        assert np.mean(times >= 700) == pytest.approx(late, abs=0.02)
        assert np.mean(times[times < 700] < 350) == pytest.approx(0.5, abs=0.02)


def test_the_whole_caption_is_heard_beside_the_time(grown) -> None:
    folder, _ = grown
    base = load_diffusion(str(folder / "model"))
    assert base.unet.config["addition_embed_type"] == "text"
    for part in base.unet.modules():  # without its cross-attention
        if isinstance(part, Attention) and part.is_cross_attention:
            part.forward = lambda states, **_: torch.zeros_like(states)
    noisy = torch.ones(1, 4, 16, 16)
    heard = [
        base.unet(noisy, 500, base.embed([caption]).states_BTD).sample
        for caption in ("a red circle", "a blue star")
    ]
    assert not torch.equal(*heard)


def test_at_the_noisiest_time_nothing_is_left_of_the_picture() -> None:
    scheduler = new_scheduler()
    assert scheduler.alphas_cumprod[-1].item() == pytest.approx(0.0, abs=1e-12)
    scheduler.set_timesteps(4)
    assert scheduler.timesteps.tolist() == [999, 749, 499, 249]


def test_a_new_denoiser_hangs_on_its_seed_and_leaves_the_global_one_alone(
    words: CLIPTokenizer,
) -> None:
    before = torch.random.get_rng_state()
    one, again = new_denoiser(TINY, words), new_denoiser(TINY, words)
    other = new_denoiser(replace(TINY, seed=8), words)
    assert torch.equal(torch.random.get_rng_state(), before)
    for name in ("unet.conv_in.weight", "text_encoder.embeddings.token_embedding.weight"):
        assert torch.equal(one.state_dict()[name], again.state_dict()[name])
        assert not torch.equal(one.state_dict()[name], other.state_dict()[name])
