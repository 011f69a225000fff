"""A cross-encoder that reads a question together with a text and says how well they go together.

The model is a directory in sentence-transformers layout or a hub id, safetensors only. It knows
nothing of indexes and authors.
"""

from collections.abc import Sequence
from functools import cached_property
from typing import Any

from resources.errors import LlmTwinError
from resources.hub import directory

BATCH = 16  # pairs; larger batches pad more and are no faster on a CPU


class RerankerMissingError(LlmTwinError):
    """The reranking model cannot be loaded."""


class Reranker:
    """Scores of (question, text) pairs by one model."""

    def __init__(self, name: str) -> None:
        self.name = name

    def score(self, question: str, texts: Sequence[str]) -> list[float]:
        """How well each text answers the question, from 0 to 1. Raises ``RerankerMissingError``."""
        if not texts:
            return []
        pairs = [(question, text) for text in texts]
        scores = self._model.predict(
            pairs, batch_size=BATCH, activation_fn=_sigmoid(), show_progress_bar=False
        )
        return [float(score) for score in scores]

    @cached_property
    def _model(self) -> Any:
        from sentence_transformers import CrossEncoder

        path = directory(self.name, "LLMTWIN_RERANKER", RerankerMissingError)
        if not list(path.glob("*.safetensors")):
            raise RerankerMissingError(
                str(path), "no safetensors here", "Point LLMTWIN_RERANKER at a model directory"
            )
        return CrossEncoder(str(path), num_labels=1, trust_remote_code=False)


def _sigmoid() -> Any:
    import torch

    return torch.nn.Sigmoid()
