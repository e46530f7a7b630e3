"""What folders and files of training and test images are called."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Literal

Split = Literal["train", "test", "validation"]
TEST_SPLITS: tuple[Split, ...] = ("test", "validation")
"""Where test images come from: the first of these that is there."""

_SPELLINGS: dict[str, Split] = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("test", "testing"), "test"),
    **dict.fromkeys(("val", "valid", "validation", "validate", "dev", "eval", "evaluation"), "validation"),
}
_SUFFIX = re.compile(r"[ _-]?(set|split|data|images)$")
_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")


def split_named(name: str) -> Split | None:
    """The split that a name stands for, in any case and with or without "set": ``train``, ``Testing``, ``VAL_SET``."""
    return _SPELLINGS.get(_SUFFIX.sub("", name.strip().lower()))


def look_like_splits(names: Iterable[str]) -> list[str]:
    """Of names that are not splits as they stand, those that seem to be: ``seg_train`` beside ``seg_test``.

    None where the names hold a word for training only, or for testing only, as classes may.
    """
    kinds_of = {
        name: {_SPELLINGS[word] for part in _WORD.findall(name) if (word := part.lower()) in _SPELLINGS}
        for name in names
    }
    kinds = set().union(*kinds_of.values())
    return [name for name, splits in kinds_of.items() if splits] if "train" in kinds and len(kinds) > 1 else []
