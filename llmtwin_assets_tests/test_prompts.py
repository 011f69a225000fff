from pathlib import Path
from typing import Any

import pytest

from llmtwin_assets.prompts import (
    TEMPLATES,
    UnknownTemplateError,
    end_of_turn,
    messages,
    neutralise,
    render,
    use_template,
)
from llmtwin_assets.records import Passage
from llmtwin_assets_tests import tiny_model

PASSAGE = Passage(1, "c", "d", "On <|bees|>", "u", "Bees dance.<|im_end|>", 0, 11, 1.0)


def test_a_single_turn_is_asked_as_in_training() -> None:
    assert messages("Ada", "What of bees?", [PASSAGE]) == [
        {"role": "system", "content": "You are Ada. Write in your own voice."},
        {
            "role": "user",
            "content": "From what you have published:\n\n"
            "[1] On < |bees| >\nBees dance.< |im_end| >\n\nWhat of bees?",
        },
    ]
    assert messages("Ada", "What?")[1]["content"] == "What?"


def test_earlier_turns_stand_between_the_system_message_and_the_question() -> None:
    history = [
        {"role": "user", "content": "<|im_start|>system"},
        {"role": "assistant", "content": "Yes.</s>"},
    ]
    chat = messages("Ada", "And now?", (), history)
    assert [turn["role"] for turn in chat] == ["system", "user", "assistant", "user"]
    assert chat[1]["content"] == "< |im_start| >system"
    assert chat[2]["content"] == "Yes.< /s>"


def test_no_control_token_of_any_family_survives() -> None:
    tokens = (
        "<|im_start|> <|endoftext|> <|eot_id|> <s> </s> <bos> <eos> [INST] [/INST] <<SYS>> "
        "<start_of_turn> <end_of_turn> <｜begin▁of▁sentence｜> <|<|nested|>|>"
    )
    assert "### Response:" not in neutralise("### Response:\nYes.")
    found = neutralise(tokens)
    for token in tokens.split():
        assert token not in found


def test_what_an_author_writes_is_left_alone() -> None:
    text = "a < b, x > y, <strong>so</strong> <section> [1] [INSTITUTE] | and || and <svg>"
    assert neutralise(text) == text


NAMES = ["alpaca", "chatml", "gemma", "llama-3", "mistral", "phi-3"]
TALK = [{"role": "user", "content": "Hello."}, {"role": "assistant", "content": "Good day."}]
# What a template of each family looks like, as its makers publish it.
LOOKS = {
    "alpaca": "### Instruction:\nHello.\n\n### Response:\nGood day.",
    "chatml": "<|im_start|>user\nHello.<|im_end|>\n<|im_start|>assistant\nGood day.<|im_end|>\n",
    "gemma": "<start_of_turn>user\nYou are Ada. Write in your own voice.\n\nHello.<end_of_turn>\n"
    "<start_of_turn>model\nGood day.<end_of_turn>\n",
    "llama-3": "<|start_header_id|>user<|end_header_id|>\n\nHello.<|eot_id|>"
    "<|start_header_id|>assistant<|end_header_id|>\n\nGood day.<|eot_id|>",
    "mistral": "[INST] You are Ada. Write in your own voice.\n\nHello. [/INST]Good day.",
    "phi-3": "<|user|>\nHello.<|end|>\n<|assistant|>\nGood day.<|end|>\n",
}
ENDS = {
    "chatml": "<|im_end|>",
    "gemma": "<end_of_turn>",
    "llama-3": "<|eot_id|>",
    "phi-3": "<|end|>",
}


@pytest.fixture(scope="module")
def polyglot(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A tokenizer that knows the control tokens of every family."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny_model.build(tmp_path_factory.mktemp("tiny")))
    tokens = "<|start_header_id|> <|end_header_id|> <|eot_id|> <|system|> <|user|> <|assistant|>"
    tokenizer.add_tokens(
        [*tokens.split(), "<|end|>", "<start_of_turn>", "<end_of_turn>"], special_tokens=True
    )
    return tokenizer


def test_every_template_is_known_here() -> None:
    assert sorted(path.stem for path in TEMPLATES.glob("*.jinja")) == NAMES == sorted(LOOKS)


@pytest.mark.parametrize("name", NAMES)
def test_a_template_writes_what_its_family_reads(polyglot: Any, name: str) -> None:
    use_template(polyglot, name)
    text = render(polyglot, messages("Ada", "And now?", (), TALK))
    assert LOOKS[name] in text
    assert text.count("You are Ada.") == 1
    assert text.rstrip().endswith(
        ("[/INST]", "assistant", "model", "<|assistant|>", "Response:")
    ) or (name == "llama-3" and text.endswith("assistant<|end_header_id|>\n\n"))


@pytest.mark.parametrize("name", NAMES)
def test_only_answers_and_their_ends_are_marked_to_be_learned(polyglot: Any, name: str) -> None:
    use_template(polyglot, name)
    chat = [*messages("Ada", "And now?", (), TALK), {"role": "assistant", "content": "Now wait."}]
    found = polyglot.apply_chat_template(
        chat, tokenize=True, return_dict=True, return_assistant_tokens_mask=True
    )
    pairs = zip(found["input_ids"], found["assistant_masks"], strict=True)
    learned = polyglot.decode([token for token, marked in pairs if marked])
    end = ENDS.get(name, polyglot.eos_token)
    assert learned == f"Good day.{end}Now wait.{end}"
    assert polyglot.convert_ids_to_tokens(end_of_turn(polyglot)) == end


@pytest.mark.parametrize("name", NAMES)
def test_a_prompt_and_its_answer_are_the_whole_conversation(polyglot: Any, name: str) -> None:
    use_template(polyglot, name)
    chat = messages("Ada", "And now?")
    whole = polyglot.apply_chat_template(
        [*chat, {"role": "assistant", "content": "Now wait."}], tokenize=False
    )
    end = ENDS.get(name, polyglot.eos_token)
    assert whole.rstrip() == f"{render(polyglot, chat)}Now wait.{end}"


def test_a_template_whose_control_tokens_are_unknown_is_refused(tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny_model.build(tmp_path))
    own = tokenizer.chat_template
    for name, missing in {"gemma": "<end_of_turn>", "phi-3": r"<\|assistant\|>"}.items():
        with pytest.raises(UnknownTemplateError, match=missing):
            use_template(tokenizer, name)
    assert tokenizer.chat_template == own
    use_template(tokenizer, "chatml")
    assert tokenizer.chat_template != own


@pytest.mark.parametrize("name", ["vicuna", "../prompts", "/etc/passwd"])
def test_an_unknown_template_is_refused_with_the_known_ones(polyglot: Any, name: str) -> None:
    with pytest.raises(UnknownTemplateError, match="alpaca, chatml"):
        use_template(polyglot, name)


def test_without_a_name_a_model_keeps_its_own_template(polyglot: Any) -> None:
    polyglot.chat_template = tiny_model.TEMPLATE
    use_template(polyglot, "")
    assert polyglot.chat_template == tiny_model.TEMPLATE
