"""A byte-level BPE tokenizer of 768 tokens with a chat template, learnt from the world's captions.

FLUX.2's system message is long and always the same, so it is one added token here: a prompt then
costs only its own words, and 48 text rows are enough. Any other system message still works; it is
spelt out in bytes.
"""

from __future__ import annotations

from collections.abc import Iterable

from diffusers.pipelines.flux2.system_messages import SYSTEM_MESSAGE
from tokenizers import AddedToken, Tokenizer
from tokenizers.decoders import ByteLevel as ByteLevelDecoder
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel
from tokenizers.trainers import BpeTrainer
from transformers import PreTrainedTokenizerFast

VOCABULARY_SIZE = 768
MAX_SEQUENCE_LENGTH = 48

PAD, BEGIN, END, TURN_OPEN, TURN_CLOSE, IMAGE = "<pad>", "<s>", "</s>", "[INST]", "[/INST]", "[IMG]"
SPECIAL_TOKENS = [PAD, BEGIN, END, TURN_OPEN, TURN_CLOSE, IMAGE, SYSTEM_MESSAGE]

# Messages carry either a plain string or FLUX.2's list of {"type": "text", "text": …} parts.
CHAT_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}"
    "{% if message['content'] is string %}{% set text = message['content'] %}"
    "{% else %}{% set text = message['content'] | map(attribute='text') | join('') %}{% endif %}"
    "{% if message['role'] == 'user' %}[INST]{{ text }}[/INST]{% else %}{{ text }}{% endif %}"
    "{% endfor %}"
)


def train_tokenizer(captions: Iterable[str]) -> PreTrainedTokenizerFast:
    """Learn the merges from `captions`; the same captions give the same tokenizer."""
    tokenizer = Tokenizer(BPE())
    tokenizer.pre_tokenizer = ByteLevel(add_prefix_space=False)  # pyright: ignore[reportAttributeAccessIssue]
    tokenizer.decoder = ByteLevelDecoder()  # pyright: ignore[reportAttributeAccessIssue]
    trainer = BpeTrainer(
        vocab_size=VOCABULARY_SIZE,
        special_tokens=[AddedToken(token, normalized=False) for token in SPECIAL_TOKENS],
        initial_alphabet=ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(captions, trainer)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=BEGIN,
        eos_token=END,
        pad_token=PAD,
        padding_side="right",
        model_max_length=MAX_SEQUENCE_LENGTH,
    )
    fast.chat_template = CHAT_TEMPLATE
    return fast
