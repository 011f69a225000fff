"""An author's data set on a model hub, as ``datasets.load_dataset`` opens it: a Parquet file for
each split and the card.

It leaves this machine, so it goes private unless told otherwise, and only if every gate of the
version is open and the author's sources allow it. How a hub takes files is not known here.
"""

import re
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmtwin_assets.datasets.export import PARQUET, export
from resources import hub
from resources.errors import LlmTwinError

if TYPE_CHECKING:
    import polars as pl

READABLE = ("public", "unlisted")  # by anybody: visibilities of what may be passed on
OPEN = re.compile(
    r"public domain|cc0\b|cc[ -]by(?:[ -]sa)?(?:[ -]\d\S*)?$|mit\b|apache\b|bsd\b|odc-by|pddl", re.I
)  # licences under which anybody may copy, change and pass on
Gate = Callable[[dict[str, Any]], Any]  # facts -> a verdict with ``passed`` and ``because``


class MayNotBePushedError(LlmTwinError):
    """A gate is closed, or the author's consent or a licence does not allow it."""


def push(
    frame: "pl.DataFrame",
    repository: str,
    name: str,
    digest: str,
    facts: Mapping[str, Any],
    documents: Iterable[Mapping[str, Any]],
    gates: Sequence[Gate],
    public: bool = False,
) -> str:
    """Upload the rows of the version ``digest`` of the data set of ``name``; returns the revision.
    What is there already is not sent again, and where all of it is, nothing is committed.

    ``documents`` are the stored ones it was made of. Raises ``MayNotBePushedError`` and
    ``hub.PushRefusedError``.
    """
    stored = list(documents)
    item = f"the data set {digest} of {name}"
    for verdict in [gate(dict(facts)) for gate in gates]:
        if not verdict.passed:
            raise MayNotBePushedError(
                item, f"a gate is closed ({verdict.because})", "Materialise it anew, and look at it"
            )
    for problem, remedy in _objections(frame, {each["id"]: each for each in stored}, public):
        raise MayNotBePushedError(item, problem, remedy)
    with tempfile.TemporaryDirectory() as folder:
        export(frame, PARQUET, Path(folder), name, digest, facts, stored)
        files = {path.name: path for path in Path(folder).iterdir()}
        return hub.push(files, repository, f"Version {digest}", hub.DATASET, not public)


def _objections(
    frame: "pl.DataFrame", documents: Mapping[str, Mapping[str, Any]], public: bool
) -> Iterable[tuple[str, str]]:
    """What speaks against it, and what to do."""
    authored = frame.filter(origin="author")
    ids = set(authored["document_id"])
    if gone := len(ids - documents.keys()):
        yield f"{gone} of its documents are not stored any more", "Materialise it anew"
    own = [documents[id_] for id_ in sorted(ids & documents.keys())]
    closed = [
        each
        for each in own
        if each.get("consent") or each.get("visibility", "public") not in READABLE
    ]
    if closed:
        yield (
            f"{len(closed)} of its documents are not public: the author agreed to their use, not "
            "to passing them on",
            "Take that source out of the registry, or keep the data set here",
        )
    if public:
        kept = [each for each in own if not OPEN.match(str(each.get("licence") or "").strip())]
        if kept or frame.height > authored.height:
            yield (
                f"{len(kept)} documents and {frame.height - authored.height} rows of others have "
                "no licence that lets anybody pass them on",
                "Name the licence of each source in the registry, or push it private",
            )
