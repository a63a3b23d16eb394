from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
import torch
from helpers.tiny import tiny_tokenizer

from augsal_transforms.diffusion.prompts import (
    embed_tokens,
    insert_word,
    locate_inserted,
    locate_words,
    tokenize,
)


@pytest.fixture(scope="module")
def tokenizer():
    return tiny_tokenizer()


def words(tokenizer, prompt, **options):
    return {word.text: word.tokens for word in locate_words(tokenizer, prompt, **options)}


def test_words_know_their_pieces_and_punctuation_does_not_shift_them(tokenizer):
    # <start> a skate board . dog: "skateboard" is two tokens, the full stop one; the word index of "dog" is 2.
    assert words(tokenizer, "a skateboard. dog") == {"skateboard": (2, 3), "dog": (5,)}


def test_extra_white_space_changes_no_token(tokenizer):
    plain, spaced = words(tokenizer, "dog on bus"), words(tokenizer, "  dog   on \n\t bus ")
    assert plain == spaced == {"dog": (1,), "bus": (3,)}


def test_a_blank_inserts_nothing_into_the_tokens(tokenizer):
    # The released code inserts " " before the word: the ids are the same, so nothing was inserted.
    assert tokenize(tokenizer, ["red dog"])["input_ids"] == tokenize(tokenizer, ["red   dog"])["input_ids"]


def test_stop_words_win_only_when_asked(tokenizer):
    assert words(tokenizer, "the dog on a bus").keys() == {"dog", "bus"}
    assert words(tokenizer, "the dog on a bus", keep_stopwords=True).keys() == {"the", "dog", "on", "a", "bus"}


def test_words_beyond_the_context_are_dropped(tokenizer):
    found = locate_words(tokenizer, "cat " * 100 + "dog")
    assert {word.text for word in found} == {"cat"}
    assert max(word.tokens[-1] for word in found) < 76


@pytest.mark.parametrize("prompt", ["", "   ", "the on a", ".,-'"])
def test_a_prompt_without_words_names_nothing(tokenizer, prompt):
    assert locate_words(tokenizer, prompt) == []


def test_apostrophes_and_hyphens_stay_inside_words(tokenizer):
    assert [word.text for word in locate_words(tokenizer, "dog's street-bus")] == ["dog's", "street-bus"]


def test_equal_prompts_are_encoded_once_and_each_as_if_alone(editor):
    model, lengths = editor.model, []
    hook = model.text_encoder.register_forward_pre_hook(
        lambda module, args, kwargs: lengths.append(len(args[0] if args else kwargs["input_ids"])), with_kwargs=True
    )
    rows = model.encode_prompts(["dog", "red bus", "dog"])
    hook.remove()
    assert lengths == [2]
    assert torch.equal(rows[0], rows[2])
    alone = model.encode_prompts(["red bus"])
    assert torch.allclose(rows[1], alone[0], atol=1e-5)


def test_the_color_word_goes_before_its_word(editor):
    model = editor.model
    word = next(w for w in model.locate_words("a cat on the bus") if w.text == "bus")
    assert insert_word("a cat on the bus", word, "blue") == "a cat on the blue bus"
    expected = model.encode_prompts(["a cat on the blue bus"])
    tokens = words(model.tokenizer, "a cat on the blue bus")["blue"]
    located = locate_inserted(model.tokenizer, "a cat on the bus", word, "blue")
    assert located == ("a cat on the blue bus", tokens)
    (row,) = embed_tokens(model.tokenizer, model.text_encoder, [located])
    assert torch.allclose(row, expected[0, list(tokens)].mean(0))


def test_a_color_pushed_out_of_the_context_is_encoded_with_its_word(editor):
    model = editor.model
    prompt = "cat " * 74 + "bus"  # start + 74 + bus + end = 77: an inserted purple has many pieces
    word = next(w for w in model.locate_words(prompt) if w.text == "bus")
    located = locate_inserted(model.tokenizer, prompt, word, "purple")
    assert located == ("purple bus", tuple(range(1, 7)))  # six letters, six pieces


def test_the_empty_token_is_what_follows_the_start_of_an_empty_prompt(editor):
    model = editor.model
    empty = model.encode_prompts([""])
    assert torch.equal(model.empty_token, empty[:, 1:2])


def test_the_empty_prompt_is_encoded_once_and_can_enter_training(editor):
    model = replace(editor.model)  # has encoded nothing yet
    with torch.inference_mode():
        first = model.empty_prompt
    assert model.empty_prompt is first
    assert not first.is_inference()


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("एक लाल कुत्ता घास पर", ["एक", "लाल", "कुत्ता", "घास", "पर"]),  # Hindi: vowel signs and a virama
        ("สุนัข ที่วิ่ง", ["สุนัข", "ที่วิ่ง"]),  # Thai: vowel signs and a tone mark above the letters
        ("كَلْبٌ أَحْمَرُ", ["كَلْبٌ", "أَحْمَرُ"]),  # Arabic with its short vowels
        ("cafe\u0301, nin\u0303o!", ["cafe\u0301", "nin\u0303o"]),  # accents apart, as macOS stores file names
        ("می\u200cخواهم", ["می\u200cخواهم"]),  # Persian: a joiner of no width inside
        ("❤\ufe0f dog \u0301 cat", ["dog", "cat"]),  # a mark alone is no word
        ("dog's x-ray (b&w)", ["dog's", "x-ray", "b", "w"]),
    ],
)
def test_combining_marks_belong_to_their_words(tokenizer, prompt, expected):
    found = locate_words(tokenizer, prompt, keep_stopwords=True)
    assert [word.text for word in found] == expected
    for word in found:
        assert prompt[word.start : word.start + len(word.text)] == word.text
        assert word.tokens == tuple(range(word.tokens[0], word.tokens[-1] + 1))


def test_words_for_how_things_stand_or_move_do_not_win(tokenizer):
    sentence = "a cat lying on grass beside a parked bus and a dog running"
    assert words(tokenizer, sentence).keys() == {"cat", "grass", "bus", "dog"}
    assert "lying" in words(tokenizer, sentence, keep_stopwords=True)


def test_threads_share_a_tokenizer(editor):
    """A fast tokenizer changes while it runs: without the lock it raises "Already borrowed"."""
    prompts = [f"a {word} on the {other}" for word in ("dog", "cat", "bus") for other in ("street", "skateboard")] * 8
    expected = [(editor.model.encode_prompts([p]), editor.model.locate_words(p)) for p in prompts[:6]]

    def ask(n):
        return editor.model.encode_prompts([prompts[n]]), editor.model.locate_words(prompts[n])

    with ThreadPoolExecutor(8) as pool:
        for n, (rows, found) in enumerate(pool.map(ask, range(len(prompts)))):
            assert torch.equal(rows, expected[n % 6][0])
            assert found == expected[n % 6][1]


def test_a_caption_of_a_megabyte_names_the_words_of_its_beginning(tokenizer):
    prompt = "a dog on a bus " + "and a cat " * 100_000
    assert words(tokenizer, prompt) == words(tokenizer, prompt[:2000])
    assert tokenize(tokenizer, [prompt])["input_ids"] == tokenize(tokenizer, [prompt[:2000]])["input_ids"]
