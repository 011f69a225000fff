from llmtwin_assets.prompts import messages, neutralise
from llmtwin_assets.records import Passage

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
    found = neutralise(tokens)
    for token in tokens.split():
        assert token not in found


def test_what_an_author_writes_is_left_alone() -> None:
    text = "a < b, x > y, <strong>so</strong> <section> [1] [INSTITUTE] | and || and <svg>"
    assert neutralise(text) == text
