"""The data set's card, in the hub's format, from recorded facts: what it was made of and what was
taken out of it, under which licences and with what consent. It holds no text of the author."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

TEXT = """\
---
{metadata}
---

# Instructions and answers in the words of {name}

Each answer whose origin is the author is a verbatim span of what {name} published; instructions
were written to fit. It is meant for training a model that writes as {name} does. Ask them before
you use it, and pass nothing made with it off as theirs.

## Sources

{sources}

## Rows

{figures}

Held out are the author's newest documents. No row to train on shares eight words in a row with one,
or with the prose and the instructions that ask what a trained model has forgotten.

## Filters

{filters}

## Version

Digest `{digest}`, code `{code}`.
"""


def render(
    name: str,
    digest: str,
    facts: Mapping[str, Any],
    documents: Iterable[Mapping[str, Any]],
    files: Mapping[str, str],
) -> str:
    """The card of the version ``digest`` of the data set of ``name``. ``documents`` are the stored
    ones it was made of, ``files`` says which file each split is in."""
    found = list(documents)
    told = facts["languages"]["train"] | facts["languages"]["held-out"]
    metadata = {
        "pretty_name": f"{name}, instructions and answers",
        "language": sorted(filter(None, told)),
        "task_categories": ["text-generation"],
        "license": "other",
        "license_name": "see-sources",
        "configs": [
            {
                "config_name": "default",
                "data_files": [{"split": split, "path": path} for split, path in files.items()],
            }
        ],
    }
    dropped = facts["dropped"] or {"none": 0}
    return TEXT.format(
        metadata="\n".join(f"{key}: {json.dumps(value)}" for key, value in metadata.items()),
        name=name,
        sources=_table(("source", "documents", "licence", "consent"), _sources(found)),
        figures=_table(
            ("figure", "value"),
            [each for each in facts["figures"].items() if not each[0].startswith("dropped")],
        ),
        filters=_table(("dropped because", "rows"), dropped.items()),
        digest=digest,
        code=facts["code"],
    )


def _sources(documents: Iterable[Mapping[str, Any]]) -> list[tuple[Any, ...]]:
    counts = Counter(
        (
            str(each["source"]),
            str(each.get("licence") or "not stated"),
            str(each.get("consent") or "public"),
        )
        for each in documents
    )
    return [
        (source, count, licence, consent)
        for (source, licence, consent), count in sorted(counts.items())
    ]


def _table(head: Iterable[str], rows: Iterable[Iterable[Any]]) -> str:
    names = list(head)
    lines = ["| " + " | ".join(map(_cell, row)) + " |" for row in (names, *rows)]
    return "\n".join([lines[0], "|" + "---|" * len(names), *lines[1:]])


def _cell(value: Any) -> str:
    return " ".join(str(value).replace("|", "\\|").split())
