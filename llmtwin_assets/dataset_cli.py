"""The commands ``llmtwin dataset …``: read what a twin learns from, and write it out."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from llmtwin_assets.console import (
    AuthorArgument,
    JsonOption,
    known_authors,
    prepared,
    print_json,
    printable,
    refusals,
    registry,
    shortened,
)
from llmtwin_assets.datasets.export import CHOICES
from llmtwin_assets.datasets.review import Decisions, holding, pair_id
from llmtwin_assets.review_cli import review

commands = typer.Typer(no_args_is_help=True, help="What a twin learns from: read it, export it.")
commands.command("review")(review)


@commands.command("show")
def show(
    author: AuthorArgument,
    kind: Annotated[str, typer.Option(help="Only rows of this kind, or dropped ones.")] = "",
    rows: Annotated[int, typer.Option(help="How many rows of each kind.", min=0)] = 2,
    as_json: JsonOption = False,
) -> None:
    """Show an author's training data: how much of it there is, what was dropped and why, some rows.

    Examples:

    llmtwin dataset show james-madison

    llmtwin dataset show james-madison --kind answer --rows 5

    llmtwin dataset show james-madison --kind dropped --json > dropped.json
    """
    with refusals():
        from llmtwin_assets.datasets.quality import DROPPED, SAMPLES
        from llmtwin_assets.steps import read_table
        from resources.interactions import open_interactions

        version = _current(author)
        made = holding(open_interactions(prepared().interactions_url).decisions(author))
        facts = version.facts
        found: dict[str, list[dict[str, Any]]] = {}
        for name, by in ((SAMPLES, "kind"), (DROPPED, "reason")):
            frame = read_table(version, name)
            for value in sorted(set(frame[by].to_list())):
                title = value if name == SAMPLES else f"dropped: {value}"
                if kind in ("", title, title.partition(":")[0]):
                    first = frame.filter(frame[by] == value).head(rows)
                    found[title] = [
                        row | {"decision": _decision(row, made)}
                        for row in first.iter_rows(named=True)
                    ]
        if as_json:
            print_json({"version": version.digest, "figures": facts["figures"], "rows": found})
            return
        print(f"{author}, version {version.digest}\n")
        for figure, value in facts["figures"].items():
            print(f"  {figure:28} {value:>8,}")
        for title, group in found.items():
            for row in group:
                told = "; ".join(filter(None, (row.get("detail", row["why"]), row["decision"])))
                print(f"\n{title}{f' ({printable(told)})' if told else ''}")
                print(f"  > {printable(shortened(row['instruction'], 200))}")
                print(f"    {printable(shortened(row['answer'], 200))}")
        print(f"\nEverything: {version.path / 'report.html'}")


def _decision(row: Mapping[str, Any], made: Decisions) -> str:
    """What a reviewer decided about a row, whether the data set was made again since or not."""
    found = made.get(pair_id(row.get("generated") or row["instruction"], row["answer"]))
    return f"{found['verdict']} by {found['by']}, {found['given'][:16]}" if found else "unreviewed"


@commands.command("make")
def make(author: AuthorArgument) -> None:
    """Make an author's training data, and train nothing.

    Example: llmtwin dataset make james-madison, then llmtwin dataset review james-madison
    """
    with refusals():
        from llmtwin_assets.making import materialise
        from llmtwin_assets.overview import CORPUS

        only = [*CORPUS, "instruct_dataset"]
        materialise(prepared(), author, only=only, what="training data")


@commands.command("export")
def export(
    author: AuthorArgument,
    out: Annotated[Path, typer.Option(help="A file; a folder for parquet.")],
    format_: Annotated[str, typer.Option("--format", help=", ".join(CHOICES))] = "openai",
    as_json: JsonOption = False,
) -> None:
    """Write an author's training data for other programs, with a card that says what it is.

    Examples:

    llmtwin dataset export james-madison --format alpaca --out madison.jsonl

    llmtwin dataset export james-madison --format parquet --out madison/

    Then, in Python: datasets.load_dataset("madison")
    """
    with refusals():
        from llmtwin_assets.datasets.export import export as write
        from llmtwin_assets.datasets.quality import SAMPLES
        from llmtwin_assets.steps import read_table
        from resources.documents import open_documents

        settings = prepared()
        version = _current(author)
        counts = write(
            read_table(version, SAMPLES),
            format_,
            out,
            registry(settings).author(author).name,
            version.digest,
            version.facts,
            open_documents(settings.documents_url).documents(author, None),
        )
        if as_json:
            print_json(counts)
            return
        for path, count in counts.items():
            print(f"{path}: {count} rows")


@commands.command("push")
def push(
    author: AuthorArgument,
    to: Annotated[str, typer.Option(help="owner/name; LLMTWIN_HUB_DATASET without.")] = "",
    public: Annotated[bool, typer.Option("--public", help="Let anybody read it.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Put an author's training data on the Hugging Face hub, private. It needs HF_TOKEN.

    Example: llmtwin dataset push james-madison --to me/james-madison-pairs

    Then, in Python: datasets.load_dataset("me/james-madison-pairs")
    """
    with refusals():
        from llmtwin_assets.datasets import checks
        from llmtwin_assets.datasets.push import push as upload
        from llmtwin_assets.datasets.quality import SAMPLES
        from llmtwin_assets.steps import JUDGES, read_table
        from resources import hub
        from resources.documents import open_documents

        settings = prepared()
        version = _current(author)
        repository = hub.repository_of(author, to or settings.hub_dataset, "LLMTWIN_HUB_DATASET")
        revision = upload(
            read_table(version, SAMPLES),
            repository,
            registry(settings).author(author).name,
            version.digest,
            version.facts,
            open_documents(settings.documents_url).documents(author, None),
            JUDGES[checks.ASSET],
            public,
        )
        if as_json:
            print_json({"author": author, "repository": repository, "revision": revision})
            return
        print(f"The training data of {author} is at {repository}, revision {revision}")


def _current(author: str) -> Any:
    """The current version of the author's data set; raises ``NotMaterialisedError``."""
    from llmtwin_assets.steps import current
    from resources.artifacts import open_artifacts

    settings = prepared()
    known_authors(settings, author)
    return current(open_artifacts(settings.artifacts_url), author, "instruct_dataset")
