"""The command line. Each command says what it did and what to do next; refusals are one sentence
on standard error and exit code 1."""

import json
import os
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from llmtwin_assets.settings import PROJECT, Settings, from_environment
from resources.errors import LlmTwinError

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="An LLM twin: a model that writes as one author writes and says where it knows it from.",
)
AuthorArgument = Annotated[str, typer.Argument(help="An author's id from authors.yaml.")]


class PortTakenError(LlmTwinError):
    """A port that something else listens on."""


class RunFailedError(LlmTwinError):
    """A run stopped at a failed step or a closed gate."""


@app.command()
def twin(
    author: AuthorArgument = "james-madison",
    recipe: Annotated[str, typer.Option(help="A recipe of training/recipes.py.")] = "",
    question: Annotated[
        str, typer.Option(help="What to ask at the end; something the author wrote on without.")
    ] = "",
) -> None:
    """Make an author's twin, from sources to an answer. Example: llmtwin twin john-jay"""
    with refusals():
        settings = prepared()
        materialise(settings, author, recipe)
        say(settings, author, question or opening_question(settings, author))
        print(
            f"\nAsk more:  llmtwin ask {author} 'YOUR QUESTION'\n"
            f"Figures:   llmtwin status {author}\n"
            "The graph: make dev, then http://127.0.0.1:3000"
        )


@app.command()
def ask(author: AuthorArgument, question: str) -> None:
    """Ask an author's twin. Example: llmtwin ask james-madison 'What is a faction?'"""
    with refusals():
        say(prepared(), author, question)


@app.command()
def status(
    author: Annotated[str, typer.Argument(help="One author; all of them without.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Which version of what each author has, and what could not be read."""
    with refusals():
        from llmtwin_assets.overview import overview

        settings = prepared()
        rows = [overview(settings, name) for name in known_authors(settings, author)]
        if as_json:
            print(json.dumps(rows, indent=1, ensure_ascii=False))
            return
        for row in rows:
            print(f"{row['author']} ({row['name']})")
            for asset, facts in row["assets"].items():
                figures = ", ".join(f"{k} {v}" for k, v in facts["figures"].items())
                print(f"  {asset:20} {facts['version']}  {figures}")
            for item, reason in row["unreadable"].items():
                print(f"  unreadable: {item}: {reason}")
            if row["report"]:
                print(f"  report: {row['report']}")


@app.command()
def rollback(author: AuthorArgument) -> None:
    """Let the previous twin serve again. Example: llmtwin rollback james-madison"""
    with refusals():
        from llmtwin_assets.serving.endpoint import rollback as roll_back
        from resources.artifacts import open_artifacts

        endpoint = roll_back(open_artifacts(prepared().artifacts_url), author)
        print(f"{author} is served by version {endpoint.version} again (twin {endpoint.twin}).")


@app.command()
def dev(port: Annotated[int, typer.Option(help="Where the Dagster UI listens.")] = 3000) -> None:
    """Open the Dagster UI on this machine, with its sensors running."""
    with refusals():
        settings = prepared()
        refuse_taken_port(port)
        register_authors(settings)
        print(f"Dagster UI: http://127.0.0.1:{port}", flush=True)
        os.chdir(PROJECT)
        arguments = ["-w", str(PROJECT / "workspace.yaml"), "-h", "127.0.0.1", "-p", str(port)]
        os.execv(sys.executable, [sys.executable, "-m", "dagster", "dev", *arguments])


@contextmanager
def refusals() -> Iterator[None]:
    """Print a refusal as one sentence and leave with code 1."""
    try:
        yield
    except LlmTwinError as error:
        print(f"llmtwin: {error}", file=sys.stderr)
        raise typer.Exit(1) from error


def prepared() -> Settings:
    """The settings, with the environment that Dagster's own processes need."""
    from dotenv import load_dotenv

    load_dotenv(PROJECT / ".env")
    settings = from_environment()
    os.environ.setdefault("TQDM_DISABLE", "1")  # libraries' bars; the progress here is ours
    if "DAGSTER_HOME" not in os.environ:
        os.environ["DAGSTER_HOME"] = str(dagster_home(settings))
    return settings


def dagster_home(settings: Settings) -> Path:
    """Where Dagster keeps runs and events: below the project's home, configured by its file."""
    home = settings.home / "dagster"
    home.mkdir(parents=True, exist_ok=True)
    link = home / "dagster.yaml"
    if not link.exists():
        link.unlink(missing_ok=True)  # it may point to a checkout that is gone
        link.symlink_to(PROJECT / "dagster.yaml")
    return home


def known_authors(settings: Settings, author: str = "") -> list[str]:
    """The named author, or all; raises ``UnknownAuthorError``."""
    from llmtwin_assets.authors import AuthorsFile

    registry = AuthorsFile(settings.authors_file).read()
    return [registry.author(author).id] if author else [a.id for a in registry.authors]


def register_authors(settings: Settings) -> None:
    """Make every author of the file a partition, as the sensor does."""
    import dagster as dg

    from llmtwin_assets.authors import authors_partition

    authors = known_authors(settings)
    with dg.DagsterInstance.get() as instance:
        instance.add_dynamic_partitions(str(authors_partition.name), authors)


def materialise(settings: Settings, author: str, recipe: str = "") -> None:
    """Run the main job for one author, showing progress; raises ``RunFailedError``."""
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
    defs = build_defs(settings, loggers={"console": logger_for(set(ASSETS))})
    began = time.monotonic()
    print(f"Making the twin of {author} in {settings.home}")
    with dg.DagsterInstance.get() as instance:
        result = defs.resolve_job_def(TWIN).execute_in_process(
            instance=instance, partition_key=author, run_config=config, raise_on_error=False
        )
        if result.success:
            quiet: dict[str, Any] = {"loggers": {"console": {}}}
            defs.resolve_job_def(LEADERBOARD).execute_in_process(
                instance=instance, run_config=quiet
            )
    if not result.success:
        raise RunFailedError(
            f"the twin of {author}",
            "the run stopped at the step shown above",
            "Do what it says and run again; what was made is kept",
        )
    print(f"The twin of {author} is ready ({time.monotonic() - began:.0f} seconds).")


def opening_question(settings: Settings, author: str) -> str:
    """A question about the newest thing that the author's twin learned from."""
    from llmtwin_assets.features.assets import read_documents
    from llmtwin_assets.serving.answer import opening_question as about
    from resources.artifacts import open_artifacts

    artifacts = open_artifacts(settings.artifacts_url)
    return about(read_documents(artifacts.current(author, "cleaned_documents")))


def say(settings: Settings, author: str, question: str) -> None:
    """Print a twin's answer as it comes, then the passages it was given."""
    from llmtwin_assets.serving.answer import answer
    from llmtwin_assets.serving.endpoint import serving
    from llmtwin_assets.serving.engine import LocalEngine
    from resources.artifacts import open_artifacts
    from resources.embedder import Embedder
    from resources.vectors import open_vectors

    known_authors(settings, author)
    endpoint = serving(open_artifacts(settings.artifacts_url), author)
    vectors = open_vectors(settings.vectors_url)
    engine, embedder = LocalEngine(endpoint.model), Embedder(settings.embedder)
    reply = answer(endpoint, question, engine, vectors, embedder)
    print(f"\n> {question}\n\n{endpoint.name}'s twin:\n", flush=True)
    for piece in reply.text:
        print(piece, end="", flush=True)
    print("\n\nFrom:")
    for passage in reply.passages:
        print(f"  [{passage.number}] {passage.title}\n      {passage.url}")
        print(f"      “{shortened(passage.text)}”")


def shortened(text: str, most: int = 120) -> str:
    """The beginning of a text on one line, cut between words."""
    line = " ".join(text.split())
    return line if len(line) <= most else line[:most].rsplit(" ", 1)[0] + " …"


def refuse_taken_port(port: int) -> None:
    """Raises ``PortTakenError`` when something listens on a loopback port."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise PortTakenError(
                f"port {port}",
                "something else listens on it",
                f"Stop that, or choose another: make dev PORT={port + 1}",
            ) from error


if __name__ == "__main__":
    app()
