"""The command ``llmtwin dataset review``: an author's pairs one after the other in a terminal, and
a decision about each."""

import sys
from typing import TYPE_CHECKING, Annotated

import click
import typer

from llmtwin_assets.console import AuthorArgument, known_authors, prepared, printable, refusals
from llmtwin_assets.datasets import review as verdicts
from llmtwin_assets.datasets import reviewing
from llmtwin_assets.masking import mask
from resources.errors import LlmTwinError

if TYPE_CHECKING:
    from llmtwin_assets.datasets.reviewing import Made, Pair, Pairs
    from resources.interactions import Interactions

BY = "terminal"
ALL = "all"
KEYS = "[a]ccept [e]dit [r]eject [n]ext [b]ack [q]uit: "


class UnknownStatusError(LlmTwinError):
    """No pair can have this status."""


def review(
    author: AuthorArgument,
    status: Annotated[
        str, typer.Option(help=f"Which pairs: {', '.join(reviewing.STATUSES)}, {ALL}.")
    ] = reviewing.UNREVIEWED,
) -> None:
    """Read an author's pairs one after the other, and accept, edit or reject each.

    Examples:

    llmtwin dataset review james-madison

    llmtwin dataset review james-madison --status all | less
    """
    with refusals():
        if status not in (*reviewing.STATUSES, ALL):
            known = ", ".join((*reviewing.STATUSES, ALL))
            raise UnknownStatusError(status, "no pair has this status", f"Use one of {known}")
        pairs, store = _opened(author)
        made = store.decisions(author)
        chosen = reviewing.selected(pairs, made, {"status": [] if status == ALL else [status]})
        if sys.stdin.isatty() and sys.stdout.isatty():
            _session(author, pairs, chosen, store)
        else:
            for number, pair in enumerate(chosen, 1):
                print(_told(pair, made, f"{number} of {len(chosen)}"))
        print(_progress(pairs, store.decisions(author)))
        if not (sys.stdin.isatty() and sys.stdout.isatty()):
            print("This is no terminal: pairs are shown, none is decided about.", file=sys.stderr)


def _opened(author: str) -> "tuple[Pairs, Interactions]":
    from llmtwin_assets.steps import current
    from resources.artifacts import open_artifacts
    from resources.interactions import open_interactions

    settings = prepared()
    known_authors(settings, author)
    artifacts = open_artifacts(settings.artifacts_url)
    data, documents = (
        current(artifacts, author, asset) for asset in ("instruct_dataset", "cleaned_documents")
    )
    return reviewing.open_pairs(data, documents), open_interactions(settings.interactions_url)


def _session(author: str, pairs: "Pairs", chosen: "list[Pair]", store: "Interactions") -> None:
    at = 0
    while at < len(chosen):
        made = store.decisions(author)  # somebody else may be reviewing too
        print(_told(chosen[at], made, f"{at + 1} of {len(chosen)}"))
        try:
            key = input(KEYS).strip().lower()[:1] or "n"
            if key == "q":
                return
            if key in "nb":
                at = max(at + (1 if key == "n" else -1), 0)
            elif key in "aer" and _decided(author, key, pairs, chosen[at], made, store):
                at += 1
        except LlmTwinError as error:
            print(error)
        except (EOFError, KeyboardInterrupt):
            print()
            return


def _decided(
    author: str, key: str, pairs: "Pairs", pair: "Pair", made: "Made", store: "Interactions"
) -> bool:
    """Ask for what belongs to a decision and store it; False when there was nothing to store.
    Raises ``BadInstructionError``."""
    verdict = {"a": verdicts.ACCEPTED, "e": verdicts.EDITED, "r": verdicts.REJECTED}[key]
    instruction = reason = ""
    if verdict == verdicts.EDITED:
        written = click.edit(reviewing.now(pair, made))
        if written is None or written.strip() == reviewing.now(pair, made):
            print("Nothing was changed.")
            return False
        instruction = pairs.checked(pair, written, made)
    if verdict == verdicts.REJECTED:
        reason = mask(input("Why it should go, if you like to say: "))
    store.add_decision(reviewing.decision(author, pair, verdict, BY, instruction, reason))
    return True


def _told(pair: "Pair", made: "Made", place: str) -> str:
    """A pair as it is read in a terminal."""
    row = reviewing.shown(pair, made)
    facts = [place, row["status"], row["kind"], row["title"], row["topic"], row["split"]]
    asked = printable(row["instruction"]).replace("\n", "\n> ")
    return (
        f"\n{printable(' · '.join(filter(None, facts)))}\n\n> {asked}\n\n"
        f"{printable(row['answer'])}\n\n({row['why']})\n"
    )


def _progress(pairs: "Pairs", made: "Made") -> str:
    counts = pairs.progress(made)
    done = len(pairs.all) - counts[reviewing.UNREVIEWED]
    said = ", ".join(f"{counts[verdict]} {verdict}" for verdict in verdicts.VERDICTS)
    gone = pairs.elsewhere(made)
    also = f" {gone} more decisions are about pairs that are not here now." if gone else ""
    return f"{done} of {len(pairs.all)} reviewed: {said}.{also}"
