"""What is evaluated is what is served: the prompt of the one is the prompt of the other."""

from llmtwin_assets.evaluation.contexts import PASSAGES, Before, gather
from llmtwin_assets.records import InstructSample
from llmtwin_assets.retrieval.deployed import deployed_steps
from llmtwin_assets.retrieval.fitting import WINDOW
from llmtwin_assets_tests.serving.conftest import Running
from resources.artifacts import open_artifacts
from resources.embedder import Embedder
from resources.vectors import open_vectors

QUESTION = "What of the lantern and the copper?"


def evaluated(service: Running, question: str, tokens: int, window: int = WINDOW):
    """The chat that the evaluation asks a system with passages, and these passages."""
    settings = service.settings
    steps = deployed_steps(settings, open_artifacts(settings.artifacts_url))
    stores = open_vectors(settings.vectors_url), Embedder(settings.embedder)
    sample = InstructSample(
        id="s", document_id="d", split="held-out", kind="answer", instruction=question,
        answer="So it is.", start=0, end=9, origin="author", written_by="rules",
    )  # fmt: skip
    before = Before("ada", "Ada Writer", steps, *stores, tokens, window)
    contexts = gather([sample], 1, before)
    return contexts.chat(PASSAGES, "Ada Writer", sample), contexts.passages["s"]


def test_the_evaluation_asks_as_the_service_asks(service: Running) -> None:
    assert service.ask(QUESTION, max_tokens=120).status_code == 200
    (asked,) = service.engine.asked
    chat, passages = evaluated(service, QUESTION, tokens=120)
    assert chat == asked["messages"]
    assert [passage.number for passage in passages] == [1, 2, 3]
    assert all(passage.found for passage in passages)  # they grew to their parents


def test_passages_are_cut_to_the_same_window(service: Running) -> None:
    whole, passages = evaluated(service, QUESTION, tokens=120)
    chat, cut = evaluated(service, QUESTION, tokens=120, window=400)
    assert 0 < len(chat[-1]["content"]) < len(whole[-1]["content"])
    assert sum(len(each.text) for each in cut) < sum(len(each.text) for each in passages)
    assert evaluated(service, QUESTION * 40, tokens=120, window=200)[1] == []
