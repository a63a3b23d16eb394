"""Words of a prompt and the tokens they become (Eq. 8 is about words, attention about tokens)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

STOPWORDS = frozenset(
    (
        "a an the this that these those some any each every all both no not "
        "of in on at to from by with without for into onto over under above below behind beside between near next "
        "front up down out off through across along around against about as left right top bottom side middle "
        "background and or but while where when which who whose there here it its his her their he she they them him "
        "is are was were be been being has have had do does did can could will would may "
        "photo picture image one two three four five several many few group bunch"
    ).split(" ")
)


@dataclass(frozen=True)
class Word:
    """A word of a prompt: its text, its first character's place, and the positions of its tokens."""

    text: str
    start: int
    tokens: tuple[int, ...]


def tokenize(tokenizer: PreTrainedTokenizerBase, prompts: list[str]) -> Any:
    """Token ids padded to the context length, with each token's characters; longer prompts are cut."""
    if not tokenizer.is_fast:
        raise TypeError(
            f"{type(tokenizer).__name__} cannot say which characters its tokens come from. "
            "Load the fast tokenizer (`AutoTokenizer.from_pretrained(...)`) and save it into the model folder."
        )
    return tokenizer(prompts, padding="max_length", truncation=True, return_offsets_mapping=True)


def locate_words(tokenizer: PreTrainedTokenizerBase, prompt: str, *, keep_stopwords: bool = False) -> list[Word]:
    """The words of a prompt that may name a region, with the positions of their tokens.

    Words are runs of letters and digits, so punctuation never counts; words that the context
    length cuts off or cuts into are dropped.

    Args:
        tokenizer: A fast CLIP tokenizer.
        prompt: The caption.
        keep_stopwords: Whether "a", "the", "on" … count too.
    """
    offsets = tokenize(tokenizer, [prompt])["offset_mapping"][0]
    words = []
    for match in re.finditer(r"[^\W_]+(?:['’-][^\W_]+)*", prompt):
        if not keep_stopwords and match.group().lower() in STOPWORDS:
            continue
        tokens = tuple(i for i, (start, end) in enumerate(offsets) if start < match.end() and match.start() < end)
        if tokens and offsets[tokens[-1]][1] >= match.end():
            words.append(Word(match.group(), match.start(), tokens))
    return words


@torch.no_grad()
def encode_prompts(tokenizer: PreTrainedTokenizerBase, text_encoder: Any, prompts: list[str]) -> Tensor:
    """Encode prompts for cross-attention, each different one once. Returns (B, tokens, D)."""
    unique = sorted(set(prompts))
    ids = torch.tensor(tokenize(tokenizer, unique)["input_ids"], device=text_encoder.device)
    rows: Tensor = text_encoder(ids)[0]
    return rows[[unique.index(prompt) for prompt in prompts]].clone()


def insert_color(prompt: str, word: Word, color: str) -> str:
    """The prompt with the colour word before the region's word (Sec. 4.1)."""
    return f"{prompt[: word.start]}{color} {prompt[word.start :]}"


def locate_color(
    tokenizer: PreTrainedTokenizerBase, prompt: str, word: Word, color: str
) -> tuple[str, tuple[int, ...]]:
    """The prompt with the colour word inserted, and the positions of the colour's tokens."""
    edited = insert_color(prompt, word, color)
    places = [w.tokens for w in locate_words(tokenizer, edited, keep_stopwords=True) if w.start == word.start]
    if not places:  # the insertion pushed itself past the context length
        edited = f"{color} {word.text}"
        places = [w.tokens for w in locate_words(tokenizer, edited, keep_stopwords=True) if w.start == 0]
    return edited, places[0]


def embed_tokens(
    tokenizer: PreTrainedTokenizerBase, text_encoder: Any, located: list[tuple[str, tuple[int, ...]]]
) -> Tensor:
    """The mean embedding of neighbouring tokens of each prompt, all encoded together. Returns (B, D)."""
    rows = encode_prompts(tokenizer, text_encoder, [prompt for prompt, _ in located])
    spans = [slice(tokens[0], tokens[-1] + 1) for _, tokens in located]
    return torch.stack([row[span].mean(dim=0) for row, span in zip(rows, spans, strict=True)])
