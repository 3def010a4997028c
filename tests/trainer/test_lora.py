"""Where the LoRA sits, how it starts, and how it is switched off."""

from __future__ import annotations

import math
import re

import pytest
import torch

from tests.trainer.mini_transformer import JOINT_DIM, mini_transformer
from trainer.lokr import LoKrLinear
from trainer.lora import Lora, add_lokr, add_lora, block_linears, target_pattern
from trainer.tokens import image_ids, text_ids


def answer_of(transformer: torch.nn.Module) -> torch.Tensor:
    draw = torch.Generator().manual_seed(5)
    dtype = transformer.dtype
    return transformer(
        hidden_states=torch.randn(1, 6, 128, generator=draw).to(dtype),
        timestep=torch.tensor([0.4], dtype=dtype),  # type: ignore[arg-type]
        guidance=torch.ones(1),
        encoder_hidden_states=torch.randn(1, 4, JOINT_DIM, generator=draw).to(dtype),
        img_ids=image_ids(2, 3),
        txt_ids=text_ids(4),
        return_dict=False,
    )[0]


def output_of(transformer: torch.nn.Module) -> torch.Tensor:
    with torch.no_grad():
        return answer_of(transformer)


def loss_of(transformer: torch.nn.Module) -> torch.Tensor:
    return answer_of(transformer).square().mean()


def make_it_change_something(lora: Lora) -> None:
    for name, parameter in lora.parameters.items():
        if "lora_B" in name:
            parameter.data.fill_(0.05)


def test_every_linear_layer_of_the_blocks_is_trained_and_no_other() -> None:
    transformer = mini_transformer()
    names = set(block_linears(transformer))
    double = {f"attn.{n}" for n in ("to_q", "to_k", "to_v", "to_out.0", "to_add_out")}
    double |= {f"attn.add_{n}_proj" for n in "qkv"}
    double |= {f"{ff}.linear_{n}" for ff in ("ff", "ff_context") for n in ("in", "out")}
    single = {"attn.to_qkv_mlp_proj", "attn.to_out"}
    expected = {f"transformer_blocks.0.{n}" for n in double}
    expected |= {f"single_transformer_blocks.0.{n}" for n in single}
    assert names == expected

    lora = add_lora(transformer, rank=2, alpha=2.0, seed=0)
    trained = {name.rpartition(".lora_")[0] for name in lora.parameters}
    assert trained == expected
    asking = [p for p in transformer.parameters() if p.requires_grad]
    assert {id(p) for p in asking} == {id(p) for p in lora.parameters.values()}


def test_the_pattern_hits_the_layers_and_not_the_module_list_of_the_same_name() -> None:
    pattern = target_pattern(block_linears(mini_transformer()))
    assert re.fullmatch(pattern, "transformer_blocks.0.attn.to_out.0")
    assert re.fullmatch(pattern, "single_transformer_blocks.0.attn.to_out")
    assert not re.fullmatch(pattern, "transformer_blocks.0.attn.to_out")
    assert not re.fullmatch(pattern, "transformer_blocks.0xattn.to_out.0")
    assert not re.fullmatch(pattern, "norm_out.linear")


def test_a_fresh_lora_leaves_the_model_as_it_was() -> None:
    plain = output_of(mini_transformer())
    transformer = mini_transformer()
    add_lora(transformer, rank=2, alpha=2.0, seed=0)
    assert torch.equal(output_of(transformer), plain)


def test_off_is_the_base_model_and_on_again_is_the_lora() -> None:
    plain = output_of(mini_transformer())
    transformer = mini_transformer()
    lora = add_lora(transformer, rank=2, alpha=2.0, seed=0)
    make_it_change_something(lora)
    changed = output_of(transformer)
    with lora.off():
        assert torch.equal(output_of(transformer), plain)
    assert torch.equal(output_of(transformer), changed)
    assert not torch.equal(changed, plain)
    assert all(p.requires_grad for p in lora.parameters.values())


def test_alpha_over_rank_scales_what_the_lora_adds() -> None:
    def added(alpha: float) -> torch.Tensor:
        layer = mini_transformer().single_transformer_blocks[0].attn.to_out
        transformer = mini_transformer()
        lora = add_lora(transformer, rank=4, alpha=alpha, seed=0)
        make_it_change_something(lora)
        x = torch.ones(1, layer.in_features, dtype=torch.float64)
        trained = transformer.get_submodule("single_transformer_blocks.0.attn.to_out")
        return trained(x) - layer(x)

    assert torch.allclose(added(8.0), 4 * added(2.0), rtol=1e-5)
    # By hand: (alpha / rank) * B (A x), with every B at 0.05.
    transformer = mini_transformer()
    lora = add_lora(transformer, rank=4, alpha=2.0, seed=0)
    a = lora.parameters["single_transformer_blocks.0.attn.to_out.lora_A.weight"]
    by_hand = 2.0 / 4 * 0.05 * a.sum().item()
    assert added(2.0).flatten()[0].item() == pytest.approx(by_hand, rel=1e-5)


def test_parameters_are_float32_on_a_bfloat16_model() -> None:
    lora = add_lora(mini_transformer(torch.bfloat16), rank=2, alpha=2.0, seed=0)
    assert {p.dtype for p in lora.parameters.values()} == {torch.float32}


def test_the_start_is_a_function_of_the_seed() -> None:
    def start(seed: int) -> dict[str, torch.Tensor]:
        torch.rand(3)  # whatever the global generator has done must not matter
        return dict(add_lora(mini_transformer(), rank=2, alpha=2.0, seed=seed).parameters)

    first, again, other = start(1), start(1), start(2)
    for name in first:
        assert torch.equal(first[name], again[name])
        if "lora_A" in name:
            assert not torch.equal(first[name], other[name])
            assert first[name].abs().max().item() <= 1 / math.sqrt(first[name].shape[1])
        else:
            assert not first[name].any()


def test_holding_other_values_ends_with_the_block() -> None:
    lora = add_lora(mini_transformer(), rank=2, alpha=2.0, seed=0)
    kept = {name: p.detach().clone() for name, p in lora.parameters.items()}
    with lora.holding({name: torch.ones_like(p) for name, p in kept.items()}):
        assert all((p == 1).all() for p in lora.parameters.values())
    assert all(torch.equal(lora.parameters[name], kept[name]) for name in kept)


# ------------------------------------------------------------------------------ layers and dropout


def test_only_the_chosen_layers_are_trained_and_start_as_they_would_among_all() -> None:
    chosen = ["single_transformer_blocks.0.attn.to_out", "transformer_blocks.0.attn.to_out.0"]
    some = add_lora(mini_transformer(), rank=2, alpha=2.0, seed=0, layers=chosen)
    every = add_lora(mini_transformer(), rank=2, alpha=2.0, seed=0)
    assert {name.rpartition(".lora_")[0] for name in some.parameters} == set(chosen)
    for name, parameter in some.parameters.items():
        assert torch.equal(parameter, every.parameters[name])


def tuned(kind: str, dropout: float = 0.0) -> tuple[torch.nn.Module, Lora]:
    """A mini transformer with a LoRA or LoKr that changes something."""
    transformer = mini_transformer(torch.float32)
    lora = (
        add_lora(transformer, rank=2, alpha=2.0, seed=0, dropout=dropout)
        if kind == "lora"
        else add_lokr(transformer, rank=2, alpha=2.0, factor=4, seed=0, dropout=dropout)
    )
    draw = torch.Generator().manual_seed(1)
    for parameter in lora.parameters.values():
        parameter.data = torch.randn(parameter.shape, generator=draw) * 0.2
    return transformer, lora


@pytest.mark.parametrize("kind", ["lora", "lokr"])
def test_dropout_is_a_function_of_seed_step_and_pass_and_off_outside_training(kind: str) -> None:
    transformer, lora = tuned(kind, dropout=0.5)
    plain_transformer, _ = tuned(kind)

    def dropped(seed: int, step: int, index: int) -> torch.Tensor:
        torch.rand(3)  # whatever the global generator has done must not matter
        with lora.training():
            lora.begin_pass(seed=seed, step=step, index=index)
            return output_of(transformer)

    first = dropped(1, 2, 3)
    assert torch.equal(dropped(1, 2, 3), first)
    for other in ((2, 2, 3), (1, 3, 3), (1, 2, 4)):
        assert not torch.equal(dropped(*other), first)
    assert torch.equal(output_of(transformer), output_of(plain_transformer))
    assert not torch.equal(output_of(transformer), first)
    with lora.training(), lora.off():
        assert torch.equal(output_of(transformer), output_of(mini_transformer(torch.float32)))


@pytest.mark.parametrize("kind", ["lora", "lokr"])
def test_a_checkpointed_block_drops_the_same_again_in_its_second_pass(kind: str) -> None:
    def gradients(checkpointing: bool) -> dict[str, torch.Tensor]:
        transformer, lora = tuned(kind, dropout=0.5)
        if checkpointing:
            transformer.enable_gradient_checkpointing()
        with lora.training():
            lora.begin_pass(seed=1, step=2, index=3)
            loss_of(transformer).backward()
        return {name: p.grad for name, p in lora.parameters.items() if p.grad is not None}

    kept, recomputed = gradients(False), gradients(True)
    assert kept.keys() == recomputed.keys()
    assert kept
    for name, gradient in kept.items():
        assert torch.equal(gradient, recomputed[name]), name


def test_dropout_keeps_the_mean_of_what_is_added() -> None:
    layer = torch.nn.Linear(32, 4, bias=False)
    lokr = LoKrLinear(layer, "default", rank=None, alpha=1.0, factor=4, dropout=0.25).eval()
    x = torch.ones(4000, 32)
    for parameter in lokr.parts("default").values():
        torch.nn.init.constant_(parameter, 0.1)
    added = lokr(x) - layer(x)
    lokr.input_dropout.train()
    torch.manual_seed(0)
    dropped = lokr(x) - layer(x)
    assert dropped.std() > 0.01
    assert torch.allclose(dropped.mean(0), added.mean(0), rtol=0.02)
