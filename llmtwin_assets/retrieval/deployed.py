"""How a deployment finds what stands before a question: the steps of its search and the number of
passages, the same when the twin answers a reader and when it is evaluated."""

from typing import Any

from llmtwin_assets.retrieval.chat import asking, chat_model
from llmtwin_assets.retrieval.parents import current_texts
from llmtwin_assets.retrieval.search import Steps, steps_for
from llmtwin_assets.settings import Settings
from resources.artifacts import ArtifactStore

PASSAGES = 3


def deployed_steps(settings: Settings, artifacts: ArtifactStore, *, waiting: bool = False) -> Steps:
    """The steps of a deployment's search. Its chat model, where there is one, is asked once and
    briefly when somebody is ``waiting`` for the passages."""
    chat = asking(chat_model(settings.home), waiting)
    return steps_for(settings.reranker, chat, current_texts(artifacts))


def decisive(settings: Settings) -> dict[str, Any]:
    """What of the settings decides which passages are found, for the digests of reports."""
    model = chat_model(settings.home)
    asked = {"chat": [model.url, model.model]} if model else {}
    return {"reranker": settings.reranker, **asked}
