"""What stands before a question when a base model is asked without training: examples of the
author's answers, or passages the author published. The measure of whether training is worth it.

Which models are asked is not known here.
"""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from llmtwin_assets import prompts
from llmtwin_assets.records import InstructSample, Passage
from llmtwin_assets.retrieval.deployed import PASSAGES as SERVED
from llmtwin_assets.retrieval.fitting import QuestionTooLongError, fit
from llmtwin_assets.retrieval.search import Steps, retrieve
from llmtwin_assets.training.held_out import evenly
from resources.artifacts import write_atomically
from resources.embedder import Embedder
from resources.vectors import VectorStore

EXAMPLES = 3  # answers of the author before the question
FEW_SHOT, PASSAGES = "few_shot", "passages"


@dataclass(frozen=True)
class Contexts:
    """``few_shot`` are turns of a chat, oldest first; ``passages`` are by sample id."""

    few_shot: Sequence[dict[str, str]]
    passages: Mapping[str, Sequence[Passage]]

    def chat(
        self, kind: str | None, author_name: str, sample: InstructSample
    ) -> list[prompts.Turn]:
        """The chat that asks for ``sample``, with the context that ``kind`` names."""
        return prompts.messages(
            author_name,
            sample.instruction,
            passages=self.passages.get(sample.id, ()) if kind == PASSAGES else (),
            history=self.few_shot if kind == FEW_SHOT else (),
        )

    def digest(self, kind: str) -> str:
        """Hex SHA-256 of all that ``kind`` puts before questions."""
        content = json.dumps(_plain(self)[kind], sort_keys=True)
        return hashlib.sha256(content.encode("ascii")).hexdigest()


def gather(
    samples: Sequence[InstructSample], prompts: int, find: Callable[[str], Sequence[Passage]]
) -> Contexts:
    """The contexts for ``prompts`` held-out samples of a data set; ``find`` gives the passages that
    stand before a question (``Before``)."""
    held = [row for row in samples if row.split == "held-out" and row.answer.strip()]
    return Contexts(
        few_shot([row for row in samples if row.split == "train" and row.origin == "author"]),
        {row.id: find(row.instruction) for row in evenly(held, prompts)},
    )


@dataclass(frozen=True)
class Before:
    """The passages of one author that stand before a question, as a twin that serves is given
    them: found by the same steps, as many, cut to fit the same window. Of held-out documents none
    is found: the question is about one."""

    author: str
    name: str
    steps: Steps
    vectors: VectorStore
    embedder: Embedder
    tokens: int  # that are left for the answer
    window: int

    def __call__(self, question: str) -> list[Passage]:
        """Raises ``NoIndexError``. A question that alone fills the window has none."""
        found = retrieve(
            self.author, question, SERVED, self.vectors, self.embedder, "train", self.steps
        )
        try:
            return fit(self.name, question, found, (), self.tokens, self.window).passages
        except QuestionTooLongError:
            return []


def few_shot(train: Sequence[InstructSample]) -> list[dict[str, str]]:
    """Turns with three of the author's answers, of middling length and far apart in the data."""
    middling = sorted(train, key=lambda row: (len(row.answer), row.id))
    middling = middling[len(middling) // 4 : max(1, 3 * len(middling) // 4)]
    chosen = evenly(sorted(middling, key=lambda row: row.id), EXAMPLES)
    return [
        turn
        for row in chosen
        for turn in (
            {"role": "user", "content": row.instruction},
            {"role": "assistant", "content": row.answer},
        )
    ]


def write_contexts(path: Path, contexts: Contexts) -> None:
    """Keep contexts for the measuring script."""
    write_atomically(path, json.dumps(_plain(contexts), sort_keys=True).encode("ascii"))


def read_contexts(path: Path) -> Contexts:
    """What ``write_contexts`` kept."""
    content = json.loads(path.read_text("ascii"))
    return Contexts(
        content[FEW_SHOT],
        {
            sample: [Passage(**passage) for passage in found]
            for sample, found in content[PASSAGES].items()
        },
    )


def _plain(contexts: Contexts) -> dict[str, Any]:
    return {
        FEW_SHOT: list(contexts.few_shot),
        PASSAGES: {
            sample: [asdict(passage) for passage in found]
            for sample, found in sorted(contexts.passages.items())
        },
    }
