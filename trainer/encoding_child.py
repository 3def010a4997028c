"""The program that encodes: `python -m trainer.encoding_child`, started by `encoding.py`.

A process of its own because only a process that ends gives its memory back for certain: an encoder
dropped inside the trainer leaves allocator blocks, CUDA contexts and library caches behind, just
where the transformer has to fit next. The autoencoder is gone before the text encoder loads.

It reads its plan as one line of standard input, and ends when that input ends: a run that is killed
takes its child along. Answers go to standard output; whatever libraries print goes to the log.
"""

from __future__ import annotations

import gc
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, NoReturn

from trainer.encoding_passes import filled_up, picture_passes, slices
from trainer.encoding_plan import (
    EncodingPlan,
    MaskTask,
    PictureTask,
    done_line,
    failure_line,
    progress_line,
)
from trainer.errors import EXIT_COMPLETED, EXIT_CRASHED, BadDataset
from trainer.pictures import (
    UnreadablePicture,
    mirrored,
    read_for_bucket,
    read_mask,
    read_reference,
)

if TYPE_CHECKING:
    from PIL import Image

    from trainer.buckets import Fit

_READ_BYTES = 1 << 16


def main() -> int:
    """Encode what the plan on standard input asks for; the exit code is the error class's."""
    answer = _claim_standard_output()
    # Ctrl-C reaches the whole terminal; the run decides, and ends this process itself.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    logging.basicConfig(stream=sys.stderr, format="%(levelname)s %(name)s: %(message)s")
    plan = EncodingPlan.from_line(_read_plan())
    threading.Thread(target=_end_with_the_run, daemon=True).start()
    try:
        encode(plan, lambda done, message: answer(progress_line(done, message)))
    except Exception as error:
        from trainer.failures import named_failure

        named = named_failure(error)
        if named is None:
            logging.getLogger(__name__).exception("encoding failed")
            return EXIT_CRASHED
        answer(failure_line(named))
        return named.exit_code
    answer(done_line())
    return EXIT_COMPLETED


def encode(plan: EncodingPlan, progress: Callable[[int, str], None]) -> None:
    """Masks first, then pictures, then prompts; each result is on disk before the next begins.

    progress: takes the number of tasks done and what is worked on. Raises BadDataset, BadModel,
    and what `failures.named_failure` knows.
    """
    from trainer.vram_limit import cap_vram

    cap_vram(plan.device)
    if plan.masks:
        _prepare_masks(plan, progress)
    if plan.pictures:
        _encode_pictures(plan, progress)
        gc.collect()
    if plan.prompts:
        _encode_prompts(plan, progress)


def _prepare_masks(plan: EncodingPlan, progress: Callable[[int, str], None]) -> None:
    import torch

    for done, task in enumerate(plan.masks, start=1):
        try:
            weights = read_mask(task.path, task.picture_size, task.size)
        except UnreadablePicture as error:
            raise _unreadable(task, error) from error
        about = {"mask": task.path.name, "size_px": list(task.size)}
        task.slot.write(torch.from_numpy(weights), about)
        progress(done, "preparing masks")


def _encode_pictures(plan: EncodingPlan, progress: Callable[[int, str], None]) -> None:
    import torch

    from trainer.latents import encode_pictures, load_autoencoder, picture_to_pixels
    from trainer.variants import Architecture

    already = len(plan.masks)
    progress(already, "loading the autoencoder")
    autoencoder = load_autoencoder(
        plan.autoencoder,
        architecture=Architecture(plan.architecture),
        dtype=_torch_dtype(plan.vae_data_type),
        device=plan.device,
    )
    done = already
    for tasks in picture_passes(plan.pictures):
        pictures, fits = zip(*(_read(task) for task in tasks), strict=True)
        pixels = [picture_to_pixels(picture) for picture in pictures]
        batch = torch.cat(filled_up(pixels, tasks[0].per_pass))
        for task, fit, latents in zip(
            tasks, fits, encode_pictures(autoencoder, batch), strict=False
        ):
            task.slot.write(latents, _about(task, fit))
        done += len(tasks)
        progress(done, "encoding pictures")


def _read(task: PictureTask) -> tuple[Image.Image, Fit]:
    try:
        if task.is_reference:
            picture, fit = read_reference(task.path)
        else:
            picture, fit = read_for_bucket(task.path, task.size)
    except UnreadablePicture as error:
        raise _unreadable(task, error) from error
    return mirrored(picture, task.flip), fit


def _about(task: PictureTask, fit: Fit) -> dict[str, object]:
    return {
        "picture": task.path.name,
        "size_px": list(task.size),
        "scaled_to_px": [fit.scaled_width_px, fit.scaled_height_px],
        "crop_left_top_px": [fit.left_px, fit.top_px],
        "flip": task.flip,
    }


def _unreadable(task: PictureTask | MaskTask, error: UnreadablePicture) -> BadDataset:
    return BadDataset(
        f"{task.path} cannot be read: {error}.",
        "Replace or remove it.",
        code="pictures_damaged",
        field="datasets",
        params={"files": [task.path.name]},
    )


def _encode_prompts(plan: EncodingPlan, progress: Callable[[int, str], None]) -> None:
    from trainer.prompt_encoding import load_prompt_encoder
    from trainer.variants import VARIANTS, Architecture

    already = len(plan.masks) + len(plan.pictures)
    progress(already, "loading the text encoder")
    encoder = load_prompt_encoder(
        plan.text_encoder,
        tokenizer=plan.tokenizer,
        variant=VARIANTS[Architecture(plan.architecture)],
        dtype=_torch_dtype(plan.data_type),
        device=plan.device,
        quantization=plan.quantization,
        percent_streamed=plan.percent_streamed,
        cache=plan.weights_cache,
    )
    done = already
    for tasks in slices(plan.prompts, plan.prompts_per_pass):
        texts = filled_up([task.text for task in tasks], plan.prompts_per_pass)
        for task, embedding in zip(tasks, encoder.encode_all(texts), strict=False):
            task.slot.write(embedding, {"text": task.text})
        done += len(tasks)
        progress(done, "encoding prompts")


def _torch_dtype(data_type: str):
    import torch

    return {"bf16": torch.bfloat16, "fp32": torch.float32}[data_type]


def _claim_standard_output() -> Callable[[str], None]:
    """A function that answers the run; what anybody else prints goes to standard error."""
    channel = os.dup(1)
    os.dup2(2, 1)

    def answer(line: str) -> None:
        data = line.encode("utf-8")
        while data:
            data = data[os.write(channel, data) :]

    return answer


# Standard input is read without Python's file object: a thread that waits in that one holds a lock
# which the interpreter wants when it ends.


def _read_plan() -> str:
    data = b""
    while not data.endswith(b"\n"):
        chunk = os.read(0, _READ_BYTES)
        if not chunk:
            _gone()
        data += chunk
    return data.decode("utf-8")


def _end_with_the_run() -> None:
    while os.read(0, _READ_BYTES):
        pass
    _gone()


def _gone() -> NoReturn:
    # Nothing is lost: every result so far is whole on disk, and nobody waits for the next.
    os._exit(EXIT_CRASHED)


if __name__ == "__main__":
    sys.exit(main())
