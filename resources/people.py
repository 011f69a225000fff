"""A model that finds names of people in a text: token classification, label PER or PERSON.

The model is a directory in transformers layout or a hub id, safetensors only. Whose names may stand
in a text is not known here.
"""

from functools import cached_property
from typing import Any

from resources.errors import LlmTwinError
from resources.hub import directory

LABELS = {"PER", "PERSON"}
LONGEST = 512  # tokens read at once, of a model that does not say
OVERLAP = 8  # of the tokens read at once one in so many is read again with the next


class PeopleModelMissingError(LlmTwinError):
    """The model that finds names cannot be loaded."""


class People:
    """Spans of people's names by one model."""

    def __init__(self, name: str) -> None:
        self.name = name

    def find(self, text: str) -> list[tuple[int, int]]:
        """Where names of people stand, in characters, ascending. Raises
        ``PeopleModelMissingError``."""
        if not text.strip():
            return []
        found = self._model(text)
        return sorted(
            (int(each["start"]), int(each["end"]))
            for each in found
            if str(each["entity_group"]).upper() in LABELS
        )

    @cached_property
    def _model(self) -> Any:
        from transformers import AutoModelForTokenClassification, AutoTokenizer, pipeline

        path = directory(self.name, "LLMTWIN_NAMES", PeopleModelMissingError)
        if not list(path.glob("*.safetensors")):
            raise PeopleModelMissingError(
                str(path), "no safetensors here", "Point LLMTWIN_NAMES at a model directory"
            )
        tokenizer = AutoTokenizer.from_pretrained(str(path), trust_remote_code=False)
        model = AutoModelForTokenClassification.from_pretrained(
            str(path), trust_remote_code=False, use_safetensors=True
        )
        tokenizer.model_max_length = min(
            tokenizer.model_max_length, getattr(model.config, "max_position_embeddings", LONGEST)
        )
        return pipeline(
            "token-classification",
            model=model,
            tokenizer=tokenizer,
            aggregation_strategy="first",
            stride=tokenizer.model_max_length // OVERLAP,
        )
