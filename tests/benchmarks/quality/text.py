"""Text: sequences of tokens that follow a rule, and Python's own documentation."""

import importlib
import inspect

import numpy as np
from numpy.typing import NDArray

LENGTH = 12
"""Tokens in a sequence."""
NUM_CHARACTERS = 32
"""Lower-case letters, the space, and a few marks; everything else is one token."""

_MODULES = (
    ("argparse", "configparser", "optparse", "getopt", "logging", "cmd"),
    ("asyncio", "threading", "multiprocessing", "concurrent.futures", "queue", "subprocess"),
    ("decimal", "fractions", "statistics", "random", "datetime", "calendar"),
)
_ALPHABET = " abcdefghijklmnopqrstuvwxyz.,()"

Text = tuple[NDArray[np.int32], NDArray[np.int32]]
"""Token sequences of shape `(n, length)`, and a label for each."""


def majority(num_examples: int = 1500) -> Text:
    """Returns sequences of 8 tokens; the label is the most frequent of the first three tokens."""
    random = np.random.default_rng(1)
    tokens = random.integers(0, 8, (num_examples, LENGTH))
    counts = np.stack([(tokens == token).sum(axis=1) for token in range(3)], axis=1)
    return tokens.astype(np.int32), counts.argmax(axis=1).astype(np.int32)


def order(num_examples: int = 1500) -> Text:
    """Returns sequences with one 1 and one 2; the label says which comes first, 9 times in 10."""
    random = np.random.default_rng(2)
    tokens = random.integers(3, 10, (num_examples, LENGTH))
    places = random.random((num_examples, LENGTH)).argsort(axis=1)[:, :2]
    rows = np.arange(num_examples)
    tokens[rows, places[:, 0]], tokens[rows, places[:, 1]] = 1, 2
    is_wrong = random.random(num_examples) < 0.1
    return tokens.astype(np.int32), ((places[:, 0] < places[:, 1]) ^ is_wrong).astype(np.int32)


def distinct(num_examples: int = 1500) -> Text:
    """Returns sequences of up to 12 different tokens of 16; the label is how many there are."""
    random = np.random.default_rng(5)
    kinds = random.integers(2, 17, (num_examples, 1))
    tokens = random.integers(0, kinds, (num_examples, LENGTH))
    counts = (np.diff(np.sort(tokens, axis=1), axis=1) > 0).sum(axis=1) + 1
    return tokens.astype(np.int32), counts.astype(np.int32)


def docstrings(length: int = 48, num_examples: int = 2000) -> Text:
    """Returns pieces of documentation; the label is the group of modules that they are from."""
    pieces, labels = [], []
    for label, modules in enumerate(_MODULES):
        text = _tokens(modules)
        starts = np.arange(0, text.size - length, length)[: num_examples // len(_MODULES)]
        pieces.append(np.stack([text[start : start + length] for start in starts]))
        labels.append(np.full(starts.size, label, np.int32))
    return np.concatenate(pieces), np.concatenate(labels)


def next_character(num_examples: int = 3000, group: int = 0) -> Text:
    """Returns pieces of a group's documentation; the label is the character that follows."""
    text = _tokens(_MODULES[group])
    starts = np.random.default_rng(3).integers(0, text.size - LENGTH - 1, num_examples)
    return np.stack([text[s : s + LENGTH] for s in starts]), text[starts + LENGTH]


def _tokens(modules: tuple[str, ...]) -> NDArray[np.int32]:
    """Returns the documentation of modules and their classes and functions as tokens."""
    text = " ".join(_documentation(module) for module in modules).lower()
    text = " ".join(text.split())
    return np.array([_ALPHABET.find(character) + 1 for character in text], np.int32)


def _documentation(module: str) -> str:
    members = inspect.getmembers(importlib.import_module(module))
    documented = [m for _, m in members if inspect.isclass(m) or inspect.isfunction(m)]
    methods = [m for c in documented if inspect.isclass(c) for m in vars(c).values()]
    functions = [m for m in methods if inspect.isfunction(m)]
    texts = (inspect.getdoc(member) or "" for member in (*documented, *functions))
    return " ".join(dict.fromkeys(texts))
