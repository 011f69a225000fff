"""The command line. Each command says what it did and what to do next; refusals are one sentence
on standard error and exit code 1."""

import json
import os
import secrets
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from llmtwin_assets import dataset_cli
from llmtwin_assets.console import (
    free_the_queue,
    known_authors,
    one_answer,
    prepared,
    print_json,
    refusals,
    register_authors,
    registry,
    shortened,
    show,
)
from llmtwin_assets.settings import PROJECT, Settings
from resources.errors import LlmTwinError

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="An LLM twin: a model that writes as one author writes and says where it knows it from.",
)
keys = typer.Typer(no_args_is_help=True, help="Keys for the service: create, list, revoke.")
app.add_typer(keys, name="key")
app.add_typer(dataset_cli.commands, name="dataset")
AuthorArgument = Annotated[str, typer.Argument(help="An author's id from authors.yaml.")]
JsonOption = Annotated[bool, typer.Option("--json", help="For programs.")]


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
def corpus(author: AuthorArgument) -> None:
    """Read and clean what an author has published, and train nothing: what came from each source,
    what was left out, and why. Example: llmtwin corpus james-madison
    """
    with refusals():
        from llmtwin_assets.overview import CORPUS, overview

        settings = prepared()
        materialise(settings, author, only=CORPUS)
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


@keys.command("create")
def make_key(
    author: Annotated[str, typer.Argument(help="For one author; for all without.")] = "",
    label: Annotated[str, typer.Option(help="Who or what it is for.")] = "",
) -> None:
    """Make a key; it is shown once. Example: llmtwin key create james-madison --label newsletter"""
    with refusals():
        from llmtwin_assets.serving.keys import create_key

        settings = prepared()
        if author:
            known_authors(settings, author)
        secret, made = create_key(settings.keys_file, author or None, label)
        print(secret)
        print(f"Key {made.id}, for {author or 'all authors'}. It is not shown again.")


@keys.command("list")
def show_keys(
    as_json: JsonOption = False,
) -> None:
    """Show which keys there are, without the keys themselves."""
    with refusals():
        from llmtwin_assets.serving.keys import list_keys

        found = list_keys(prepared().keys_file)
        if as_json:
            rows = [
                {"id": k.id, "author": k.author, "label": k.label, "created": k.created}
                for k in found
            ]
            print_json(rows)
            return
        for key in found:
            print(f"{key.id}  {key.author or 'all authors':24} {key.created}  {key.label}")
        if not found:
            print("No keys: the service answers anyone on this machine, and nobody else.")


@keys.command("revoke")
def take_key(key: Annotated[str, typer.Argument(help="The key's id, from 'key list'.")]) -> None:
    """Take a key back; the next request with it is refused."""
    with refusals():
        from llmtwin_assets.serving.keys import revoke_key

        revoke_key(prepared().keys_file, key)
        print(f"Key {key} is revoked.")


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
    return children, {f"http://{name}:{port}/healthz": f"Ask your twin: http://{name}:{port}"}


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


def materialise(
    settings: Settings, author: str, recipe: str = "", only: Sequence[str] = ()
) -> None:
    """Run the main job for one author, or ``only`` some of its assets, showing progress; raises
    ``RunFailedError``."""
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
    what = "corpus" if only else "twin"
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


if __name__ == "__main__":
    app()
