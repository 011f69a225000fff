"""What a report says of the twin's answers beyond style: whether passages support them, what people
and judges think of them. Figures only; where the answers come from is not known here.
"""

from collections.abc import Callable, Sequence

from llmtwin_assets.evaluation import ares, figures, labels, panel, ragas_scores
from llmtwin_assets.evaluation.knowledge import support
from llmtwin_assets.records import Document, InstructSample
from resources.chat_model import ChatModel
from resources.embedder import Embedder


def knowledge_figures(
    answers: Sequence[figures.Answer],
    passages: Sequence[Sequence[str]],
    documents: Sequence[Document],
    embedder: Embedder,
) -> figures.Figures:
    """How far the answers of the twin, and of the base model, are supported by the passages that
    stood before the question; nothing where that cannot be told."""
    written = learned_texts(documents)
    found = {
        name: support(texts, passages, written, embedder.embed)
        for name in (figures.TWIN_RAG, figures.RAG)
        if (texts := [row["text"] for row in answers if row["system"] == name])
    }
    return {"knowledge": {name: each for name, each in found.items() if each is not None}}


def learned_texts(documents: Sequence[Document]) -> list[str]:
    """The author's texts but those held out."""
    return [document.text for document in documents if document.split == "train"]


def labelled_figures(
    said: Sequence[labels.Labelled],
    others: Sequence[labels.Case],
    documents: Sequence[Document],
    samples: Sequence[InstructSample],
    embedder: Embedder,
) -> figures.Figures:
    """How many of the twin's answers are good, from those that people labelled and ``others``."""
    if not said:
        return ares.figures([], [], {})
    passages = [case.passages for case in others if case.passages]
    answered = [(row.instruction, row.answer) for row in samples if row.split == "train"]
    known = ares.judges(passages, learned_texts(documents), answered, embedder.embed)
    return ares.figures(said, others, known)


def ragas_rows(
    answers: Sequence[figures.Answer], passages: Sequence[Sequence[str]]
) -> list[ragas_scores.Row]:
    """What Ragas is asked about: answers with the passages before each, and the author's text."""
    return [
        ragas_scores.Row(row["instruction"], row["text"], near, row["author"])
        for row, near in zip(answers, passages, strict=True)
    ]


def judge_figures(
    answers: Sequence[figures.Answer],
    shown: Sequence[str],
    judges: Sequence[ChatModel],
    seed: int,
    say: Callable[[str], None],
) -> figures.Figures:
    """What judges say of these answers, knowing the texts that are shown to them."""
    written = figures.texts_by_system(answers)
    author = written.pop(figures.HELD_OUT)
    subjects = [row["instruction"] for row in answers[: len(author)]]
    found = panel.ask(judges, panel.questions(subjects, written, author, shown, seed), say)
    say(f"judges: {found['because']}")
    return found
