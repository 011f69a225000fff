"""The command line. Each command says what it did and what to do next; refusals are one sentence
on standard error and exit code 1."""

import json
import os
import secrets
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from llmtwin_assets import dataset_cli, keys_cli
from llmtwin_assets.console import (
    AuthorArgument,
    JsonOption,
    free_the_queue,
    known_authors,
    one_answer,
    prepared,
    print_json,
    refusals,
    register_authors,
    registry,
    show,
)
from llmtwin_assets.making import materialise, opening_question, say
from llmtwin_assets.settings import PROJECT, Settings

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="An LLM twin: a model that writes as one author writes and says where it knows it from.",
)
app.add_typer(keys_cli.commands, name="key")
app.add_typer(dataset_cli.commands, name="dataset")


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
def corpus(author: AuthorArgument) -> None:
    """Read and clean what an author has published, and train nothing: what came from each source,
    what was left out, and why. Example: llmtwin corpus james-madison
    """
    with refusals():
        from llmtwin_assets.overview import CORPUS, overview

        settings = prepared()
        materialise(settings, author, only=CORPUS, what="corpus")
        show(overview(settings, author))


@app.command()
def ask(author: AuthorArgument, question: str, as_json: JsonOption = False) -> None:
    """Ask an author's twin. Example: llmtwin ask james-madison 'What is a faction?'"""
    with refusals():
        say(prepared(), author, question, as_json)


@app.command()
def status(
    author: Annotated[str, typer.Argument(help="One author; all of them without.")] = "",
    as_json: JsonOption = False,
) -> None:
    """Which twin answers, how fresh it is, every version with its gates, what could not be read.

    Example: llmtwin status james-madison --json
    """
    with refusals():
        from llmtwin_assets.overview import overview

        settings = prepared()
        rows = [overview(settings, name) for name in known_authors(settings, author)]
        if as_json:
            print_json(rows)
            return
        for row in rows:
            show(row)


@app.command()
def rollback(author: AuthorArgument, as_json: JsonOption = False) -> None:
    """Let the previous twin serve again. Example: llmtwin rollback james-madison"""
    with refusals():
        from llmtwin_assets.serving.endpoint import rollback as roll_back
        from resources.artifacts import open_artifacts

        settings = prepared()
        known_authors(settings, author)
        endpoint = roll_back(open_artifacts(settings.artifacts_url), author)
        if as_json:
            print_json({"author": author, "version": endpoint.version, "twin": endpoint.twin})
            return
        print(f"{author} is served by version {endpoint.version} again (twin {endpoint.twin}).")


@app.command()
def push(
    author: AuthorArgument,
    to: Annotated[str, typer.Option(help="owner/name; LLMTWIN_HUB_REPOSITORY without.")] = "",
    as_json: JsonOption = False,
) -> None:
    """Put the twin that serves on the Hugging Face hub, private. It needs HF_TOKEN.

    Example: llmtwin push james-madison --to me/james-madison-twin
    """
    with refusals():
        from llmtwin_assets.serving import publish
        from resources.artifacts import open_artifacts

        settings = prepared()
        known_authors(settings, author)
        artifacts = open_artifacts(settings.artifacts_url)
        name, revision = publish.push(artifacts, author, to or settings.hub_repository)
        if as_json:
            print_json({"author": author, "repository": name, "revision": revision})
            return
        print(f"{author} is at {name}, revision {revision}.\nUse it as {name}@{revision}")


@app.command()
def recipes(as_json: JsonOption = False) -> None:
    """The training recipes, and the memory that each needs for the base model of this deployment.

    Example: llmtwin recipes
    """
    with refusals():
        from llmtwin_assets.training import memory
        from llmtwin_assets.training.recipes import RECIPES
        from resources import base_model

        settings = prepared()
        base = base_model.resolve(settings.base_model, settings.models)
        shape, number = memory.shape(base), memory.number_here()
        needs: dict[str, dict[str, Any]] = {
            name: {
                "source": recipe.source,
                "sft": memory.as_figures(memory.estimate(recipe, shape, "sft", number=number)),
                "dpo": memory.as_figures(memory.estimate(recipe, shape, "dpo", number=number)),
            }
            for name, recipe in RECIPES.items()
        }
        if as_json:
            print_json(needs)
            return
        where, free = memory.available()
        public = base_model.public_name(settings.base_model, base)
        print(f"For {public}, sequences of full length; {where} has {free / memory.GB:.1f} GB:\n")
        for name, need in needs.items():
            most = max(sum(need[stage].values()) for stage in ("sft", "dpo"))
            print(f"{name:20} {most:5.1f} GB  {need['source']}")


@app.command()
def serve(
    host: Annotated[str, typer.Option(help="Where to listen; a public one needs a key.")] = (
        "127.0.0.1"
    ),
    port: Annotated[int, typer.Option(help="Of the page and the API.")] = 8000,
    as_json: JsonOption = False,
) -> None:
    """Answer as the authors: a page to ask on, and an API that the openai client can call.

    The engine beside it takes the next port, unless LLMTWIN_ENGINE_URL names another one.

    Example: llmtwin serve --port 8000, then open http://127.0.0.1:8000
    """
    with refusals():
        from llmtwin_assets.processes import run_together

        children, ready = service(prepared(), host, port)
        if as_json:
            ready = {url: json.dumps({"url": url.removesuffix("/healthz")}) for url in ready}
        run_together(children, ready)


@app.command()
def dev(
    port: Annotated[int, typer.Option(help="Where the Dagster UI listens.")] = 3000,
    chat: Annotated[int, typer.Option(help="Where the page and the API listen.")] = 8000,
) -> None:
    """Open the Dagster UI and the page to ask on, on this machine. Ctrl-C ends all of it."""
    with refusals():
        from llmtwin_assets.processes import Child, refuse_taken_port, run_together

        settings = prepared()
        children, ready = service(settings, "127.0.0.1", chat)
        refuse_taken_port("127.0.0.1", port, f"Stop that, or choose: make dev PORT={port + 1}")
        register_authors(settings)
        free_the_queue()
        os.chdir(PROJECT)
        arguments = ["-w", str(PROJECT / "workspace.yaml"), "-h", "127.0.0.1", "-p", str(port)]
        dagster = Child("Dagster", [sys.executable, "-m", "dagster", "dev", *arguments])
        address = f"http://127.0.0.1:{port}"
        run_together([dagster, *children], ready | {address: f"Dagster UI: {address}"})


@app.command()
def export(
    author: AuthorArgument,
    folder: Annotated[Path, typer.Argument(help="Where the JSON files go.")],
    as_json: JsonOption = False,
) -> None:
    """Write what an author has published as the Handbook's warehouse JSON, which can be read back.

    Example: llmtwin export james-madison warehouse/
    """
    with refusals():
        from llmtwin_assets.corpus.warehouse_export import export_warehouse
        from resources.documents import open_documents

        settings = prepared()
        known_authors(settings, author)
        counts = export_warehouse(
            open_documents(settings.documents_url), registry(settings).author(author), folder
        )
        if as_json:
            print_json(dict(counts))
            return
        told = ", ".join(f"{count} {kind}" for kind, count in counts.items())
        print(f"Written to {folder}: {told}.")


@app.command()
def traffic(author: AuthorArgument, as_json: JsonOption = False) -> None:
    """Show the answers that LLMTWIN_SAMPLE marked to be evaluated, with what readers said of them.

    Example: llmtwin traffic james-madison --json > questions.jsonl
    """
    with refusals():
        from resources.interactions import open_interactions

        settings = prepared()
        known_authors(settings, author)
        rows = open_interactions(settings.interactions_url).sampled(author)
        for row in rows:
            print(json.dumps(row, ensure_ascii=False) if as_json else one_answer(row))
        if not rows and not as_json:
            print("No answers are marked: set LLMTWIN_SAMPLE to the share to mark, such as 0.1")


def service(settings: Settings, host: str, port: int) -> tuple[list[Any], dict[str, str]]:
    """The programs of the service, and what to print when they answer. Raises
    ``PortTakenError``, and ``PublicWithoutKeyError`` for a public address without a key."""
    from llmtwin_assets.processes import Child, refuse_taken_port
    from llmtwin_assets.serving.guard import refuse_public_bind
    from llmtwin_assets.serving.keys import Keys

    refuse_public_bind(host, Keys(settings.keys_file))
    remedy = f"Stop that, or choose others: --port {port + 2}, make dev CHAT={port + 2}"
    refuse_taken_port(host, port, remedy)
    name = f"[{host}]" if ":" in host else host
    environment: dict[str, str] = {}
    children = []
    if not settings.engine_url:
        refuse_taken_port("127.0.0.1", port + 1, remedy)
        environment |= {
            "LLMTWIN_ENGINE_URL": f"http://127.0.0.1:{port + 1}/v1",
            "LLMTWIN_ENGINE_KEY": settings.engine_key or secrets.token_urlsafe(),
        }
        children.append(Child("engine", _uvicorn("engine", "127.0.0.1", port + 1), environment))
    children.append(Child("API", _uvicorn("api", host, port), environment))
    page = f"http://{name}:{port}"
    told = f"Ask your twin: {page}\nReview what it learns from: {page}/review"
    return children, {f"{page}/healthz": told}


def _uvicorn(application: str, host: str, port: int) -> list[str]:
    return [
        *[
            sys.executable,
            "-m",
            "uvicorn",
            "--factory",
            f"llmtwin_assets.serving.apps:{application}",
        ],
        *["--host", host, "--port", str(port), "--log-level", "warning", "--no-access-log"],
        *["--no-server-header", "--timeout-graceful-shutdown", "5"],
    ]


if __name__ == "__main__":
    app()
