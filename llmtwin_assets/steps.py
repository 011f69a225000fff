"""How an author's asset is made here: compare digests, build a version if they differ, move the
pointer, report. The rooms' ``assets.py`` are written with it; what is built is not known here.

Facts are what a version records about itself (JSON). Four keys have a meaning:

- ``rows`` and ``schema``: row count and column types of its table;
- ``figures``: numbers and short texts a person reads in the UI;
- everything else is for checks and for the assets downstream.

PNG files in a version's ``plots`` directory are shown in the UI. No author's text may be in facts:
they end in the event log, which cannot be erased per author.
"""

import hashlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg

from llmtwin_assets.authors import authors_partition
from llmtwin_assets.plots import as_markdown
from resources.artifacts import ArtifactStore, Version
from resources.errors import LlmTwinError

if TYPE_CHECKING:
    import polars as pl

Facts = dict[str, Any]
OWNERS = ["team:llm-twin"]
GPU = "gpu"  # the pool of steps that load a language model; its limit is the number of GPUs
LARGEST_PLOT = 200_000  # bytes; larger ones would weigh on the event log
JUDGES: dict[str, list["Judge"]] = {}  # the gates of each asset, filled by ``gate``


class NotMaterialisedError(LlmTwinError):
    """An upstream asset of this author has no version yet."""


@dataclass(frozen=True)
class Verdict:
    """What a gate says: whether it opens, and a sentence that tells why and what to do."""

    passed: bool
    because: str


Judge = Callable[[Facts], Verdict]


class Step:
    """One asset of one author, being materialised."""

    def __init__(self, context: dg.AssetExecutionContext, artifacts: ArtifactStore) -> None:
        self.context = context
        self.artifacts = artifacts
        self.author = context.partition_key
        self.asset = context.asset_key.path[-1]

    def input(self, asset: str) -> Version:
        """The current version of an upstream asset; raises ``NotMaterialisedError``."""
        return current(self.artifacts, self.author, asset)

    def previous(self) -> Version | None:
        """The version of this asset that is current before this step."""
        return self.artifacts.current(self.author, self.asset)

    def digest(self, inputs: Mapping[str, Any]) -> str:
        """Names the version these inputs make with this code: 16 hex digits."""
        code = self.context.assets_def.code_versions_by_key[self.context.asset_key]
        text = json.dumps([self.asset, code, inputs], sort_keys=True)
        return hashlib.sha256(text.encode("utf-8")).hexdigest()[:16]

    def publish(
        self, inputs: Mapping[str, Any], build: Callable[[Path], Facts]
    ) -> dg.MaterializeResult:
        """Make the version that ``inputs`` name current, building it if it is not stored."""
        digest = self.digest(inputs)
        stored = self.artifacts.version(self.author, self.asset, digest) is not None
        began = time.monotonic()
        version = self.artifacts.publish(self.author, self.asset, digest, build)
        self.artifacts.prune(self.author, self.asset)
        if stored:
            self.context.log.info("up to date")
        else:
            self.context.log.info(headline(version.facts))
        return report(version, rebuilt=not stored, seconds=time.monotonic() - began)


def current(artifacts: ArtifactStore, author: str, asset: str) -> Version:
    """The current version of an author's asset; raises ``NotMaterialisedError``."""
    version = artifacts.current(author, asset)
    if version is None:
        raise NotMaterialisedError(
            f"{asset} of {author}", "it has not been materialised", "Materialise it first"
        )
    return version


def report(version: Version, rebuilt: bool, seconds: float) -> dg.MaterializeResult:
    """What the UI shows of a version: figures, row count, schema, plots, where its files are."""
    facts = version.facts
    metadata: dict[str, Any] = {
        **facts.get("figures", {}),
        "version": version.digest,
        "rebuilt": rebuilt,
        "seconds": round(seconds, 2),
        "files": dg.MetadataValue.path(str(version.path)),
    }
    if "rows" in facts:
        metadata["dagster/row_count"] = facts["rows"]
    if "schema" in facts:
        metadata["dagster/column_schema"] = dg.TableSchema(
            [dg.TableColumn(name, type_) for name, type_ in facts["schema"].items()]
        )
    for plot in sorted((version.path / "plots").glob("*.png")):
        if plot.stat().st_size <= LARGEST_PLOT:
            label = f"plot: {plot.stem.replace('_', ' ')}"
            metadata[label] = dg.MetadataValue.md(as_markdown(plot.read_bytes(), label))
    if (version.path / "report.html").is_file():
        metadata["report"] = dg.MetadataValue.path(str(version.path / "report.html"))
    return dg.MaterializeResult(metadata=metadata, data_version=dg.DataVersion(version.digest))


def headline(facts: Mapping[str, Any]) -> str:
    """The figures of a version in one line."""
    return ", ".join(f"{name} {value}" for name, value in facts.get("figures", {}).items())


def save_table(frame: "pl.DataFrame", path: Path) -> Facts:
    """Write a frame as Parquet; returns its ``rows`` and ``schema`` facts."""
    frame.write_parquet(path, compression="lz4")  # a third of the time, half as much space again
    return {
        "rows": frame.height,
        "schema": {name: str(type_) for name, type_ in frame.schema.items()},
    }


def read_table(version: Version, name: str, columns: Sequence[str] | None = None) -> "pl.DataFrame":
    """A table of a version, or some of its columns; raises ``DamagedArtifactError``."""
    import polars as pl

    return pl.read_parquet(version.file(name), columns=list(columns) if columns else None)


def save_plots(folder: Path, plots: Mapping[str, bytes]) -> None:
    """Write PNG images where the UI report finds them."""
    (folder / "plots").mkdir(exist_ok=True)
    for name, png in plots.items():
        (folder / "plots" / f"{name}.png").write_bytes(png)


def author_asset(group: str, code_version: str, kinds: set[str], **options: Any) -> Any:
    """``dg.asset`` with what every author's asset has in common."""
    return dg.asset(
        group_name=group,
        code_version=code_version,
        kinds=kinds,
        owners=OWNERS,
        partitions_def=authors_partition,
        backfill_policy=dg.BackfillPolicy.multi_run(max_partitions_per_run=1),
        **options,
    )


def gate(asset: dg.AssetsDefinition) -> Callable[[Judge], dg.AssetChecksDefinition]:
    """Make a blocking, partitioned check of a function from an asset's facts to a verdict. The
    function's name and docstring are the check's."""

    def wrap(judge: Judge) -> dg.AssetChecksDefinition:
        JUDGES.setdefault(asset.key.path[-1], []).append(judge)

        @dg.asset_check(
            asset=asset,
            name=judge.__name__,
            description=judge.__doc__,
            blocking=True,
            partitions_def=authors_partition,
        )
        def check(
            context: dg.AssetCheckExecutionContext,
            artifacts: dg.ResourceParam[ArtifactStore],
        ) -> dg.AssetCheckResult:
            version = current(artifacts, context.partition_key, asset.key.path[-1])
            verdict = judge(dict(version.facts))
            return dg.AssetCheckResult(
                passed=verdict.passed,
                description=verdict.because,
                metadata={"version": version.digest},
            )

        return check

    return wrap
