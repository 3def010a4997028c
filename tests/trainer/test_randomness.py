"""Randomness is a function of what it is for."""

from __future__ import annotations

import torch

from trainer.randomness import choices, derive_seed, generator


def test_the_same_purpose_draws_the_same_numbers_and_another_draws_others() -> None:
    def draw(*arguments: object) -> torch.Tensor:
        return torch.randn(64, generator=generator(*arguments))  # pyright: ignore[reportArgumentType]

    assert torch.equal(draw(42, 7, "noise"), draw(42, 7, "noise"))
    for other in [(43, 7, "noise"), (42, 8, "noise"), (42, 7, "timestep"), (42, 7, "noise", 1)]:
        assert not torch.equal(draw(42, 7, "noise"), draw(*other))


def test_seeds_do_not_collide_over_a_long_run() -> None:
    seeds = {derive_seed(42, step, "noise", index) for step in range(20_000) for index in range(4)}
    assert len(seeds) == 80_000
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_a_derived_seed_is_the_same_on_every_machine_and_in_every_version() -> None:
    # BLAKE2b of the text "darkroom:42:7:noise:0": changing this changes every resumed run.
    import hashlib

    digest = hashlib.blake2b(b"darkroom:42:7:noise:0", digest_size=8).digest()
    assert derive_seed(42, 7, "noise") == int.from_bytes(digest, "little") >> 1
    assert choices(42, 7, "order").random() == choices(42, 7, "order").random()
