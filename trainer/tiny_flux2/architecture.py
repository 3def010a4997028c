"""The real FLUX.2 classes at toy size: configurations, first weights, and the saved folder.

Sizes were chosen so that all weights together stay under 12 MB in bfloat16 while every part keeps
the shape of FLUX.2-dev: 32 latent channels, 2x2 patches of latents, double and single blocks with
shared modulation, four RoPE axes, a guidance embedding, and three hidden states of a Mistral
stacked as the text.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import torch
from diffusers import (
    AutoencoderKLFlux2,
    FlowMatchEulerDiscreteScheduler,
    Flux2Pipeline,
    Flux2Transformer2DModel,
)
from torch import nn
from transformers import (
    Mistral3Config,
    Mistral3ForConditionalGeneration,
    MistralConfig,
    PixtralVisionConfig,
    PreTrainedTokenizerFast,
)

from trainer.tiny_flux2.tokenizer import IMAGE, SPECIAL_TOKENS, VOCABULARY_SIZE

TEXT_HIDDEN = 96
NUM_TEXT_LAYERS = 4
# FLUX.2-dev reads layers 10, 20 and 30 of 40: the same quarters of this encoder.
TEXT_ENCODER_OUT_LAYERS = (1, 2, 3)

# The decoder and diffusion need the posterior's mean only. Its log-variance is pinned to this, so
# that a program that samples the posterior instead gets nearly the same latent.
POSTERIOR_LOG_VARIANCE = -8.0


def build_autoencoder() -> AutoencoderKLFlux2:
    """An autoencoder of 0.9 M parameters: 32 channels at an eighth of the side, packed to 128."""
    autoencoder = AutoencoderKLFlux2(
        block_out_channels=(16, 24, 48, 64),
        layers_per_block=1,
        norm_num_groups=8,
        latent_channels=32,
        sample_size=128,
    )
    _pin_posterior_variance(autoencoder)
    return autoencoder


def build_transformer() -> Flux2Transformer2DModel:
    """A transformer of about 4 M parameters: 2 double and 4 single blocks, hidden 192."""
    transformer = Flux2Transformer2DModel(
        in_channels=128,
        num_layers=2,
        num_single_layers=4,
        attention_head_dim=64,
        num_attention_heads=3,
        joint_attention_dim=len(TEXT_ENCODER_OUT_LAYERS) * TEXT_HIDDEN,
        timestep_guidance_channels=256,
        mlp_ratio=2.5,
        axes_dims_rope=(16, 16, 16, 16),
        guidance_embeds=True,
    )
    # Modulation and output start at zero, so that every block begins as the identity (adaLN-Zero).
    for name, module in transformer.named_modules():
        if isinstance(module, nn.Linear) and (
            "modulation" in name or "norm_out" in name or name == "proj_out"
        ):
            nn.init.zeros_(module.weight)
    return transformer


def build_text_encoder() -> Mistral3ForConditionalGeneration:
    """A Mistral of 4 layers and 0.5 M parameters, with as small a vision tower as can be."""
    text = MistralConfig(
        vocab_size=VOCABULARY_SIZE,
        hidden_size=TEXT_HIDDEN,
        intermediate_size=256,
        num_hidden_layers=NUM_TEXT_LAYERS,
        num_attention_heads=3,
        num_key_value_heads=3,
        head_dim=32,
        max_position_embeddings=1024,
        sliding_window=None,
        tie_word_embeddings=True,
        initializer_range=0.05,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
    )
    vision = PixtralVisionConfig(
        hidden_size=32,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=1,
        head_dim=32,
        image_size=128,
        patch_size=16,
    )
    config = Mistral3Config(
        text_config=text, vision_config=vision, image_token_index=SPECIAL_TOKENS.index(IMAGE)
    )
    return Mistral3ForConditionalGeneration(config)


def build_scheduler() -> FlowMatchEulerDiscreteScheduler:
    """FLUX.2's scheduler and settings; the pipeline computes the shift from size and steps."""
    return FlowMatchEulerDiscreteScheduler(
        num_train_timesteps=1000,
        shift=3.0,
        use_dynamic_shifting=True,
        base_shift=0.5,
        max_shift=1.15,
        base_image_seq_len=256,
        max_image_seq_len=4096,
        time_shift_type="exponential",
    )


def save_pipeline(
    folder: Path,
    *,
    autoencoder: AutoencoderKLFlux2,
    transformer: Flux2Transformer2DModel,
    text_encoder: Mistral3ForConditionalGeneration,
    tokenizer: PreTrainedTokenizerFast,
) -> None:
    """Write the bfloat16 pipeline to `folder` in Diffusers layout, in place of what was there.

    A program that loads the folder at the same moment finds the old pipeline, the new one, or for
    an instant none, but never a mixture.
    """
    pipeline = Flux2Pipeline(
        scheduler=build_scheduler(),
        vae=_bfloat16_copy(autoencoder, build_autoencoder()),
        text_encoder=_bfloat16_copy(text_encoder, build_text_encoder()),
        tokenizer=tokenizer,
        transformer=_bfloat16_copy(transformer, build_transformer()),
    )
    fresh = folder.with_name(f".{folder.name}.new-{os.getpid()}")
    old = folder.with_name(f".{folder.name}.old-{os.getpid()}")
    pipeline.save_pretrained(fresh, safe_serialization=True)
    _load_text_encoder_as_float32(fresh / "text_encoder" / "config.json")
    if folder.exists():
        folder.rename(old)
    fresh.rename(folder)
    shutil.rmtree(old, ignore_errors=True)


def _bfloat16_copy(module: nn.Module, blank: nn.Module) -> nn.Module:
    blank.load_state_dict(module.state_dict())
    return blank.to(torch.bfloat16).eval()


def _load_text_encoder_as_float32(config_file: Path) -> None:
    """Let both libraries agree on a precision when the caller names none.

    Diffusers then loads its models in float32 whatever the files hold, and Transformers in the
    precision that the configuration names, which would be the files' bfloat16: the pipeline could
    not draw.
    """
    config = json.loads(config_file.read_text())
    for part in (config, config["text_config"], config["vision_config"]):
        part["dtype"] = "float32"
    config_file.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")


def _pin_posterior_variance(autoencoder: AutoencoderKLFlux2) -> None:
    """Set the log-variance half of the encoder's last layer to a constant; nothing trains it."""
    assert autoencoder.quant_conv is not None
    assert autoencoder.quant_conv.bias is not None
    latent_channels = autoencoder.config["latent_channels"]
    with torch.no_grad():
        autoencoder.quant_conv.weight[latent_channels:].zero_()
        autoencoder.quant_conv.bias[latent_channels:].fill_(POSTERIOR_LOG_VARIANCE)
