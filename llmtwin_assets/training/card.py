"""The model card of a checkpoint: what it was made of and what was measured, from recorded facts.

It holds no text of the author, no name of this machine, and nothing of the environment. The format
is the hub's: a block of metadata, then Markdown. What the facts mean is decided where they arise.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from resources.artifacts import write_atomically

HIDDEN = ("name", "source")  # of a recipe, named in the text
DIRECTORIES = ("model", "adapter")

TEXT = """\
---
{metadata}
---

# A language model that writes as one author writes

This checkpoint is the result of {stage} with LLM Twin. It
imitates the style of one author, who is the person to ask before it is used. It is not that person:
what it says may be wrong, and nothing of it should be passed off as theirs.

## Made of

{origin}

## Recipe

`{recipe}`, {source}.

{settings}

## Measured

{figures}

Held-out figures are taken on documents of the author that nothing was trained on.
"""


def write(folder: Path, stage: str, facts: Mapping[str, Any]) -> None:
    """Put ``README.md`` into the model's directory of a version, and into its adapter's."""
    text = render(stage, facts)
    for name in DIRECTORIES:
        if (folder / name).is_dir():
            write_atomically(folder / name / "README.md", text.encode("utf-8"))
            (folder / name / "README.md").chmod(0o644)


def render(stage: str, facts: Mapping[str, Any]) -> str:
    """The card: facts ``base``, ``base_name``, ``made_of``, ``recipe`` and ``figures``."""
    recipe = dict(facts["recipe"])
    metadata = {"library_name": "transformers", "pipeline_tag": "text-generation"}
    base = str(facts["base_name"])
    if base.count("/") == 1:  # an id of the hub, which links to it
        metadata["base_model"] = base.partition("@")[0]
    origin = {"base model": base, **{f"digest of {k}": v for k, v in facts["made_of"].items()}}
    return TEXT.format(
        metadata="\n".join(f"{key}: {json.dumps(value)}" for key, value in metadata.items()),
        stage=stage,
        origin=_table(origin),
        recipe=recipe["name"],
        source=recipe["source"],
        settings=_table({k: v for k, v in recipe.items() if k not in HIDDEN}),
        figures=_table(facts["figures"]),
    )


def _table(rows: Mapping[str, Any]) -> str:
    lines = [f"| {name.replace('_', ' ')} | {_cell(value)} |" for name, value in rows.items()]
    return "\n".join(["| | |", "|---|---|", *lines])


def _cell(value: Any) -> str:
    return " ".join(str(value).replace("|", "\\|").split()) or "–"
