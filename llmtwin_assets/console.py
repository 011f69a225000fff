"""What the commands share: settings, the authors they may name, refusals and what is printed."""

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from llmtwin_assets.settings import PROJECT, Settings, from_environment
from resources.errors import LlmTwinError

AuthorArgument = Annotated[str, typer.Argument(help="An author's id from authors.yaml.")]
JsonOption = Annotated[bool, typer.Option("--json", help="For programs.")]


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
    listed = registry(settings)
    return [listed.author(author).id] if author else [a.id for a in listed.authors]


def registry(settings: Settings) -> Any:
    """The authors of ``authors.yaml``."""
    from llmtwin_assets.authors import AuthorsFile

    return AuthorsFile(settings.authors_file).read()


def register_authors(settings: Settings) -> None:
    """Make every author of the file a partition, as the sensor does."""
    import dagster as dg

    from llmtwin_assets.authors import authors_partition

    authors = known_authors(settings)
    with dg.DagsterInstance.get() as instance:
        instance.add_dynamic_partitions(str(authors_partition.name), authors)


def free_the_queue() -> None:
    """End the runs that a crash left behind: they would keep all others from starting."""
    import dagster as dg

    from llmtwin_assets.automation.lost_runs import end_lost_runs

    with dg.DagsterInstance.get() as instance:
        for run in end_lost_runs(instance):
            print(f"Run {run[:8]} was cut off and is marked as failed; what it made is kept.")


def show(row: dict[str, Any]) -> None:
    """Print one author's overview."""
    print(f"{row['author']} ({row['name']})")
    if served := row["serves"]:
        newest = "the newest" if served["newest twin"] else "not the newest: a gate is closed"
        print(f"  answers with {served['version']}, made {served['made']}, {newest}")
        print(f"  {served['words not trained on']} words came or went since it was trained")
    for asset, facts in row["assets"].items():
        figures = ", ".join(f"{k} {v}" for k, v in facts["figures"].items())
        print(f"  {asset:20} {facts['version']}  {facts['made']}  {figures}")
        for gate in facts["gates"]:
            mark = "ok  " if gate["passed"] else "STOP"
            print(f"    {mark} {gate['gate'].replace('_', ' ')}: {gate['because']}")
    for item, reason in row["unreadable"].items():
        print(f"  unreadable: {item}: {reason}")
    if row["report"]:
        print(f"  report: {row['report']}")


def print_json(value: Any) -> None:
    """For programs."""
    print(json.dumps(value, indent=1, ensure_ascii=False))


def one_answer(row: dict[str, Any]) -> str:
    """A marked answer for people: when, which twin, what was asked, said and thought of it."""
    thought = {1: "good", -1: "not good"}.get(row["rating"], "not rated")
    return (
        f"{row['started'][:16]}  {row['version']}  {thought}\n"
        f"  > {shortened(row['question'])}\n    {shortened(row['answer'])}"
    )


def printable(text: str) -> str:
    """A text without what would move the cursor, colour the terminal or turn a line around: control
    and invisible characters, which an author's files may hold, show as replacement characters."""
    return "".join(c if c.isprintable() or c in "\n\t" else "\ufffd" for c in text)


def shortened(text: str, most: int = 120) -> str:
    """The beginning of a text on one line, cut between words."""
    line = " ".join(text.split())
    return line if len(line) <= most else line[:most].rsplit(" ", 1)[0] + " …"
