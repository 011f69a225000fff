from datetime import date

import pytest

from llmtwin_assets.retrieval.self_query import Aim, read
from resources.vectors import Dates

TODAY = date(2026, 3, 1)
YEAR = Dates("2023-01-01", "2023-12-31")


@pytest.mark.parametrize(
    ("question", "aim"),
    [
        ("What did you write in 2023 about bees?", Aim(published=YEAR)),
        ("What have you published since May 2023?", Aim(published=Dates("2023-05-01"))),
        ("What did you write before February 2024?", Aim(published=Dates(None, "2024-02-01"))),
        ("essays you wrote until February 2024", Aim(published=Dates(None, "2024-02-29"))),
        ("Which of your 2023 articles is about bees?", Aim("article", published=YEAR)),
        ("What did you write last year?", Aim(published=Dates("2025-01-01", "2025-12-31"))),
        ("What did you post this year on LinkedIn?",
         Aim(platform="linkedin", published=Dates("2026-01-01", "2026-12-31"))),
        ("Do your posts mention bees?", Aim(kind="post")),
        ("Do your blog posts mention bees?", Aim(kind="article")),
        ("Did you ever tweet about bees?", Aim(kind="post")),
        ("Which functions are in your repositories?", Aim(kind="repository")),
        ("What is in your Medium articles?", Aim(kind="article", platform="medium")),
    ],
)  # fmt: skip
def test_what_a_question_says_of_the_documents_is_read(question: str, aim: Aim) -> None:
    assert read(question, TODAY) == aim


@pytest.mark.parametrize(
    "question",
    [
        "What happened in 1787?",
        "What did you write about the crash in 2008?",
        "How do I post a letter?",
        "What do you think of repositories?",
        "Why is a medium flame best?",
        "What would you put on a post in your garden in 2020?",
        "What have you written on the articles of confederation?",
        "",
    ],
)
def test_what_a_question_says_of_its_subject_is_not(question: str) -> None:
    assert read(question, TODAY) == Aim()


def test_a_chat_model_is_held_to_values_that_exist() -> None:
    def chat(prompt: str) -> str:
        assert "2026-03-01" in prompt
        return ('```json\n{"kind": "post", "platform": "myspace", "since": "2023-01-01", '
                '"until": "soon", "author": "bob", "split": "held-out"}\n```')  # fmt: skip

    aim = read("What did you post in 2023?", TODAY, chat)
    assert aim.where() == {"kind": "post", "published": Dates("2023-01-01")}


def test_without_an_answer_from_the_model_the_rules_read() -> None:
    assert read("your posts about bees", TODAY, lambda prompt: "?") == Aim(kind="post")
