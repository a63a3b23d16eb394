"""Words of a prompt and the tokens they become (Eq. 8 is about words, attention about tokens)."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from augsal_transforms.diffusion.batching import to_device

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

STOPWORDS = frozenset(
    (
        "a an the this that these those some any each every all both no not "
        "of in on at to from by with without for into onto over under above below behind beside between near next "
        "front up down out off through across along around against about as left right top bottom side middle "
        "background and or but while where when which who whose there here it its his her their he she they them him "
        "is are was were be been being has have had do does did can could will would may "
        "photo picture image one two three four five several many few group bunch "
        # How a thing stands or moves: where the sentence's verb attends is not where a thing is.
        "lying laying sitting seated standing resting leaning hanging kneeling crouching squatting floating parked "
        "placed located situated posing posed walking running jumping riding driving moving holding wearing carrying "
        "looking watching eating playing using"
    ).split(" ")
)
LONGEST = 4096  # characters of a caption that are looked at: far more than fill a context, and a page is read fast
MARK = "\u0300"  # stands for every combining mark while words are searched


@dataclass(frozen=True)
class Word:
    """A word of a prompt.

    Attributes:
        text: The word as it stands in the prompt.
        start: Index of its first character.
        tokens: Positions of its tokens in the context.
    """

    text: str
    start: int
    tokens: tuple[int, ...]


def tokenize(tokenizer: PreTrainedTokenizerBase, prompts: list[str]) -> Any:
    """Token ids padded to the context length, with each token's characters; longer prompts are cut."""
    prompts = [prompt[:LONGEST] for prompt in prompts]
    return tokenizer(prompts, padding="max_length", truncation=True, return_offsets_mapping=True)


def is_mark(letter: str) -> bool:
    """Whether a character is a combining mark: an accent or a vowel sign."""
    return unicodedata.category(letter).startswith("M")


def find_words(prompt: str) -> list[tuple[int, int]]:
    """The first and the past-the-last character of every word.

    A word is a run of letters, digits and the combining marks that follow them (accents, vowel signs), so punctuation
    and emoji never count. Apostrophes, hyphens and zero-width joiners may stand inside a word.
    """
    marks = "".join(MARK if is_mark(letter) else letter for letter in prompt)
    letters = rf"[^\W_](?:[^\W_]|{MARK})*"
    return [match.span() for match in re.finditer(rf"{letters}(?:['’\u200c\u200d-]{letters})*", marks)]


def locate_words(tokenizer: PreTrainedTokenizerBase, prompt: str, *, keep_stopwords: bool = False) -> list[Word]:
    """The words of a prompt that may name a region, with the positions of their tokens.

    Words that the context length cuts off or cuts into are dropped.

    Args:
        tokenizer: A fast CLIP tokenizer.
        prompt: The caption.
        keep_stopwords: Whether words such as "a", "the" and "on" count too.
    """
    prompt = prompt[:LONGEST]
    offsets = tokenize(tokenizer, [prompt])["offset_mapping"][0]
    words = []
    for first, end in find_words(prompt):
        text = prompt[first:end]
        if not keep_stopwords and text.lower() in STOPWORDS:
            continue
        tokens = tuple(i for i, (start, stop) in enumerate(offsets) if start < end and first < stop)
        # A tokenizer that composes accents gives their characters to the letter alone, so the last letter decides.
        letters_end = max(n for n in range(first, end) if not is_mark(prompt[n])) + 1
        if tokens and offsets[tokens[-1]][1] >= letters_end:
            words.append(Word(text, first, tokens))
    return words


@torch.no_grad()
def encode_prompts(tokenizer: PreTrainedTokenizerBase, text_encoder: Any, prompts: list[str]) -> Tensor:
    """Encode prompts for cross-attention, each different one once. Returns (B, tokens, D)."""
    unique = sorted(set(prompts))
    ids = to_device(torch.tensor(tokenize(tokenizer, unique)["input_ids"]), text_encoder.device)
    rows: Tensor = text_encoder(ids)[0]
    return torch.stack([rows[unique.index(prompt)] for prompt in prompts])


def insert_word(prompt: str, word: Word, inserted: str) -> str:
    """The prompt with another word before one of its words (Sec. 4.1)."""
    return f"{prompt[: word.start]}{inserted} {prompt[word.start :]}"


def locate_inserted(
    tokenizer: PreTrainedTokenizerBase, prompt: str, word: Word, inserted: str
) -> tuple[str, tuple[int, ...]]:
    """The prompt with a word inserted before one of its words, and the positions of the inserted word's tokens.

    Where the insertion would lie past the context length, the prompt is the inserted word and the other word alone.
    """
    edited = insert_word(prompt, word, inserted)
    places = [w.tokens for w in locate_words(tokenizer, edited, keep_stopwords=True) if w.start == word.start]
    if not places:
        edited = f"{inserted} {word.text}"
        places = [w.tokens for w in locate_words(tokenizer, edited, keep_stopwords=True) if w.start == 0]
    return edited, places[0]


def embed_tokens(
    tokenizer: PreTrainedTokenizerBase, text_encoder: Any, located: list[tuple[str, tuple[int, ...]]]
) -> Tensor:
    """The mean embedding of neighbouring tokens of each prompt, all encoded together. Returns (B, D)."""
    rows = encode_prompts(tokenizer, text_encoder, [prompt for prompt, _ in located])
    spans = [slice(tokens[0], tokens[-1] + 1) for _, tokens in located]
    return torch.stack([row[span].mean(dim=0) for row, span in zip(rows, spans, strict=True)])
