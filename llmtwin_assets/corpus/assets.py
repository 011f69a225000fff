"""The raw assets: one per kind of document, all read from the author's sources."""

from pathlib import Path
from typing import Any

import dagster as dg

from llmtwin_assets.authors import AuthorsFile
from llmtwin_assets.corpus.ingest import digest_of, ingest
from llmtwin_assets.corpus.overview import overview, unreadable_page
from llmtwin_assets.corpus.reading import Context
from llmtwin_assets.settings import Settings
from llmtwin_assets.steps import Facts, Step, author_asset, save_plots
from resources.artifacts import ArtifactStore
from resources.documents import DocumentStore

author_sources = dg.AssetSpec(
    "author_sources",
    group_name="corpus",
    kinds={"file"},
    description="Where the author's writing lies, by `authors.yaml`: archives, feeds, sites, "
    "repositories, folders.",
)


class RawConfig(dg.Config):
    """What a person can say when they materialise a raw asset."""

    allow_loss: bool = False  # write a listing although more than 30 % of the documents are gone


def _raw_asset(name: str, kind: str, description: str) -> dg.AssetsDefinition:
    @author_asset(
        "corpus", "3", {"sqlite"}, name=name, description=description, deps=[author_sources]
    )
    def raw(
        context: dg.AssetExecutionContext,
        config: RawConfig,
        settings: dg.ResourceParam[Settings],
        registry: dg.ResourceParam[AuthorsFile],
        documents: dg.ResourceParam[DocumentStore],
        artifacts: dg.ResourceParam[ArtifactStore],
    ) -> dg.MaterializeResult:
        from resources.polite import open_polite

        step = Step(context, artifacts)
        author = registry.read().author(step.author)
        with open_polite(settings.home / "sources" / "hosts") as web:
            cache = settings.home / "sources" / step.author
            sources = Context(author, registry.base, kind, web=web, cache=cache)
            found = ingest(documents, sources, config.allow_loss)
        unreadable = sum(found.unreadable.values())
        context.log.info(
            f"{found.inserted} new, {found.updated} edited, {found.deleted} gone, "
            f"{found.unchanged} as before, {unreadable} unreadable"
        )
        found.refuse_failures()
        content = digest_of(documents.hashes(step.author, kind).values())
        quarantined = documents.quarantined(step.author, kind)
        inputs = {"content": content, "quarantined": quarantined, "left_out": found.left_out}

        def build(folder: Path) -> Facts:
            lengths, given = (
                documents.lengths(step.author, kind),
                documents.by_origin(step.author, kind),
            )
            facts, plots = overview(lengths, given, found)
            save_plots(folder, plots)
            if any(quarantined.values()):
                page = unreadable_page(quarantined)
                (folder / "report.html").write_text(page, "utf-8", "xmlcharrefreplace")
            return {"content": content, **facts}

        return step.publish(inputs, build)

    definition: dg.AssetsDefinition = raw
    return definition


raw_articles = _raw_asset(
    "raw_articles", "article", "Articles and essays as their sources gave them, one row per work."
)
raw_posts = _raw_asset(
    "raw_posts", "post", "Short posts as their sources gave them, one row per post."
)
raw_repositories = _raw_asset(
    "raw_repositories", "repository", "Repositories as their sources gave them, one row per file."
)

assets: list[Any] = [author_sources, raw_articles, raw_posts, raw_repositories]
