"""A twin made and asked from a terminal: the main job for one author, and an answer as it comes."""

import time
from collections.abc import Sequence
from typing import Any

from llmtwin_assets.console import (
    free_the_queue,
    known_authors,
    print_json,
    register_authors,
    registry,
    shortened,
)
from llmtwin_assets.settings import Settings
from resources.errors import LlmTwinError


class RunFailedError(LlmTwinError):
    """A run stopped at a failed step or a closed gate."""


def materialise(
    settings: Settings,
    author: str,
    recipe: str = "",
    only: Sequence[str] = (),
    what: str = "twin",
) -> None:
    """Run the main job for one author, or ``only`` some of its assets, which make ``what``, showing
    progress; raises ``RunFailedError``."""
    import dagster as dg

    from llmtwin_assets.automation.jobs import LEADERBOARD, TWIN
    from llmtwin_assets.definitions import build_defs
    from llmtwin_assets.overview import ASSETS
    from llmtwin_assets.progress import logger_for
    from llmtwin_assets.training.recipes import recipe as check_recipe

    known_authors(settings, author)
    config: dict[str, Any] = {"loggers": {"console": {}}}
    if recipe:
        check_recipe(recipe)
        config["ops"] = {"sft_checkpoint": {"config": {"recipe": recipe}}}
    register_authors(settings)
    free_the_queue()
    defs = build_defs(settings, loggers={"console": logger_for(set(only or ASSETS))})
    began = time.monotonic()
    print(f"Making the {what} of {author} in {settings.home}")
    with dg.DagsterInstance.get() as instance:
        result = defs.resolve_job_def(TWIN).execute_in_process(
            instance=instance,
            partition_key=author,
            run_config=config,
            raise_on_error=False,
            asset_selection=[dg.AssetKey(asset) for asset in only] or None,
        )
        if result.success and not only:
            quiet: dict[str, Any] = {"loggers": {"console": {}}}
            defs.resolve_job_def(LEADERBOARD).execute_in_process(
                instance=instance, run_config=quiet
            )
    if not result.success:
        raise RunFailedError(
            f"the {what} of {author}",
            "the run stopped at the step shown above",
            "Do what it says and run again; what was made is kept",
        )
    print(f"The {what} of {author} is ready ({time.monotonic() - began:.0f} seconds).")


def opening_question(settings: Settings, author: str) -> str:
    """A question about the newest thing that the author's twin learned from."""
    from llmtwin_assets.features.assets import read_documents
    from llmtwin_assets.serving.answer import opening_question as about
    from resources.artifacts import open_artifacts

    artifacts = open_artifacts(settings.artifacts_url)
    return about(read_documents(artifacts.current(author, "cleaned_documents")))


def say(settings: Settings, author: str, question: str, as_json: bool = False) -> None:
    """Print a twin's answer as it comes, then the passages it was given; or all of it as JSON."""
    from llmtwin_assets.serving.in_process import ask_here
    from llmtwin_assets.serving.wire import check_question

    name = registry(settings).author(author).name
    check_question(question)
    if as_json:
        answer = ask_here(settings, author, question, lambda piece: None)
        print_json(
            {
                "author": author,
                "question": question,
                "answer": answer.text,
                "citations": answer.citations,
                "version": answer.version,
                "finish_reason": answer.finish_reason,
                "notes": answer.notes,
            }
        )
        return
    heading = iter([f"\n> {question}\n\n{name}'s twin:\n\n"])  # not before there is an answer
    answer = ask_here(
        settings,
        author,
        question,
        lambda piece: print(next(heading, "") + piece, end="", flush=True),
    )
    print(" …" if answer.finish_reason == "length" else "", end="\n\nFrom:\n")
    for passage in answer.passages:
        print(f"  [{passage.number}] {passage.title}\n      {passage.url}")
        print(f"      “{shortened(passage.text)}”")
    for note in answer.notes:
        print(f"  {note}")
