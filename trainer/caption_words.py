"""Words that recur in most captions of a dataset.

What every caption says is learned with those words and not with the trigger: captions that all say
"pencil drawing" leave the trigger of a pencil style nothing to stand for. Imports no torch.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Sequence

# Of the captions: fewer is what pictures have in common by chance.
MOST = 0.6
# Fewer captions have words in common whatever they say.
FEWEST_CAPTIONS = 8
_WORD = re.compile(r"[^\W\d_][\w'-]*")
# They say nothing of a picture; those of English, which captions are mostly written in.
_SAY_NOTHING = frozenset(
    re.findall(
        r"\w+",
        "a an and are as at by for from has have her his in into is it its of on one or over she "
        "he that the their them there they this to two under up very was were which while who with "
        "image picture",
    )
)


def recurring_words(
    captions: Sequence[str], *, leave_out: Collection[str] = (), share: float = MOST
) -> list[str]:
    """Words in at least that share of the captions, the most frequent first.

    leave_out: texts whose words do not count, such as the trigger. None for a few captions.
    """
    if len(captions) < FEWEST_CAPTIONS:
        return []
    ignored = _SAY_NOTHING | {word for text in leave_out for word in _words(text)}
    counts = Counter(word for caption in captions for word in set(_words(caption)) - ignored)
    frequent = [(word, count) for word, count in counts.items() if count >= share * len(captions)]
    return [word for word, _ in sorted(frequent, key=lambda found: (-found[1], found[0]))]


def _words(text: str) -> Iterable[str]:
    return (match.group().lower() for match in _WORD.finditer(text))
