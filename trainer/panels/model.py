"""The panel Model: which FLUX.2 is trained on."""

from __future__ import annotations

from typing import Literal

from trainer.panels.field import Panel, setting
from trainer.variants import VARIANTS, Architecture

AttentionBackend = Literal["auto", "flash", "efficient", "cudnn", "math"]
_NOT_OFFLOADED = "Layer Offloading is not on; auto chooses for itself."


class ModelPanel(Panel):
    """Model: which FLUX.2 is trained on."""

    model_architecture: Architecture = setting(
        Architecture.FLUX2_DEV,
        label="Model Architecture",
        help="The kind of FLUX.2. The tiny one is bundled and trains on any CPU; the distilled "
        "klein models are made for inference and train badly: take their base models.",
        choices={v.architecture.value: v.label for v in VARIANTS.values()},
        guides="dev from 16 GB on; klein base below that, or for quicker trainings.",
        plain=True,
    )
    name_or_path: str = setting(
        "",
        label="Name or Path",
        help="Blank takes the architecture's own model, downloaded once into the Hugging Face "
        "cache (tiny: the bundled one). Else a folder in Diffusers layout (it holds "
        "model_index.json) or a single transformer file in the original layout, such as "
        "flux2-dev.safetensors, absolute or relative to the models folder; or the name of a "
        "repository on the hub, owner/name. A single file takes what it lacks (autoencoder, text "
        "encoder) from the architecture's own model, unless the paths below say otherwise.",
        placeholder="blank = the architecture's own model",
        max_length=1024,
    )
    revision: str = setting(
        "",
        label="Revision",
        help="Branch, tag or commit of the model on the hub. A commit never changes.",
        no_effect="Nothing comes from the hub.",
        placeholder="blank = main",
        pattern=r"^[A-Za-z0-9._/-]*$",
        max_length=128,
    )
    autoencoder_path: str = setting(
        "",
        label="Autoencoder Path",
        help="Another autoencoder: a folder in Diffusers layout, or one file in the original "
        "layout, such as ae.safetensors; absolute or relative to the models folder.",
        placeholder="blank = with the model",
        max_length=1024,
    )
    text_encoder_path: str = setting(
        "",
        label="Text Encoder Path",
        help="Another text encoder: a folder with config.json and its .safetensors files, such as "
        "a copy of Qwen3-8B that other programs share; absolute or relative to the models folder. "
        "Its tokenizer is the model's where the model has one, else the one in this folder.",
        placeholder="blank = with the model",
        max_length=1024,
    )
    attention_backend: AttentionBackend = setting(
        "auto",
        label="Attention Backend",
        help="Which of PyTorch's kernels computes softmax(Q K^T / sqrt(d)) V. auto: the one that "
        "PyTorch prefers for the card and the sizes. flash: FlashAttention 2. cudnn: often the "
        "fastest on Hopper and Blackwell. efficient: also computes in FP32 on a GPU. math: writes "
        "the matrix of tokens by tokens out, slow and large, to compare with. Results agree up to "
        "rounding.",
        choices={
            "auto": "auto",
            "flash": "flash",
            "efficient": "memory-efficient (GPU only)",
            "cudnn": "cuDNN (GPU only)",
            "math": "math",
        },
    )
    vae_data_type: Literal["bf16", "fp32"] = setting(
        "bf16",
        label="VAE Data Type",
        help="What the autoencoder computes in: FP32 doubles its memory and is a little more exact "
        "in pictures with smooth gradients.",
        choices={"bf16": "BF16", "fp32": "FP32"},
    )
    layer_offloading: Literal["off", "on", "auto"] = setting(
        "off",
        label="Layer Offloading",
        help="Keep the weights of blocks in host memory and bring each to the card just before it "
        "computes; two places on the card take turns. For cards that the weights do not fit on. "
        "The results are the same to the bit. At 1024 px the transfers take less time than the "
        "computing and hide behind it; at 512 px and batch 1 they slow it down. Streamed blocks "
        "are computed twice a step, as with Gradient Checkpointing, even where that is off. auto "
        "streams as few as the memory plan says that the card at hand needs.",
        choices={"off": "off", "on": "on", "auto": "auto"},
        guides="auto for 16-24 GB; off from 32 GB on, unless memory runs out.",
        plain=True,
    )
    transformer_offload_percent: float = setting(
        100.0,
        label="Transformer Offload",
        help="How many of the transformer's blocks are streamed, evenly between those that stay. "
        "dev has 56: at 100 all of them, and the card holds the weights of two at a time; at 50 "
        "every other one. In float8 a single block of dev takes 0.5 GB, a double one 1 GB.",
        unit="%",
        no_effect=_NOT_OFFLOADED,
        ge=0,
        le=100,
    )

    text_encoder_offload_percent: float = setting(
        100.0,
        label="Text Encoder Offload",
        help="The same for the text encoder's layers, while prompts are encoded. dev's has 30.",
        unit="%",
        no_effect=_NOT_OFFLOADED,
        ge=0,
        le=100,
    )

    low_vram: bool = setting(
        False,
        label="Low VRAM",
        help="Three things that save memory on the card and cost a little time; results are the "
        "same to the bit. 1: what Gradient Checkpointing keeps of large pictures (more than 16 MB "
        "a block: for dev from 512 px on; 3.2 GB in all at 1024 px) waits in host memory for the "
        "backward pass. 2: while a sample is decoded, the transformer's weights wait in host "
        "memory. 3: the text encoder's layers are streamed from host memory, as Layer Offloading "
        "does it at 100 %, unless that is on and says otherwise.",
        guides="On for cards of 16-48 GB, off from 64 GB on.",
        plain=True,
    )

    @property
    def percent_streamed(self) -> float:
        """Of the transformer's blocks; for auto, before it is settled, the most that it can be."""
        return self._percent(self.transformer_offload_percent)

    @property
    def percent_of_encoder_streamed(self) -> float:
        """Of the text encoder's layers, likewise."""
        if self.layer_offloading == "off" and self.low_vram:
            return 100.0
        return self._percent(self.text_encoder_offload_percent)

    def _percent(self, said: float) -> float:
        return {"off": 0.0, "on": said, "auto": 100.0}[self.layer_offloading]
