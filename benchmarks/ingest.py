"""What reading an author's sources costs, and what is left of the site in whole-page dumps.

    python -m benchmarks.ingest [--data DIR] [--documents 300] [--large 2]

- documents per CPU-second of each importer, on exports that are generated here: the archive is
  read, its bodies made Markdown, compared, and written to the store;
- peak memory of reading an archive of so many gigabytes, beside one of a tenth of that;
- a sync of 1,000 documents in which nothing is new, from an archive, a folder and a feed:
  CPU-seconds, requests, and whether anything was written.

``--data`` is a folder with a warehouse's ``ArticleDocument.json``, whole pages by one author. Of
what is left after cleaning: the share of characters in lines of the site's frame, readers'
comments, and for pages that were labelled by hand, the author's characters that were lost.
"""

import argparse
import csv
import hashlib
import io
import json
import os
import random
import re
import resource
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from benchmarks.output import emit, goal, progress
from llmtwin_assets.authors import (
    ArchiveSource,
    Author,
    FeedSource,
    FolderSource,
    Source,
    WarehouseSource,
    resolve_path,
)
from llmtwin_assets.corpus import archives
from llmtwin_assets.corpus.ingest import Ingested, ingest
from llmtwin_assets.corpus.page_dump import page_text
from llmtwin_assets.corpus.reading import Context, Listing
from resources.addresses import Guard, allowed_host
from resources.hosts import Hosts
from resources.polite import Manners, Polite
from resources.sqlite_documents import SqliteDocuments
from resources.web import Web

SYLLABLES = "ba do ke li mu na po ri sa tu ve wi zo la me ni ro si ta vu".split()
PARAGRAPHS, WORDS = 12, 70
MEGABYTE = 1 << 20
# The author's lines in pages that were labelled by hand: the page's address, hashed, and ranges of
# its lines, first and last, from one on.
LABELS = {
    "e214c9ea57c6": ((23, 23), (118, 477)),
    "554565e5c692": ((51, 359),),
    "3edc92857529": ((52, 451),),
    "d49f062835cb": ((23, 23), (47, 370)),
    "d260327848f9": ((47, 638),),
}
# Lines that a site puts around an article, as the dump's sites write them.
FRAME_LINES = re.compile(
    r"SubscribeSign in|Subscribe|Sign in|Share|Share this (post|podcast)|Copy link|Facebook|Email|"
    r"Notes?|Other|Comments|Restacks|Top|Latest|Discussions|No posts|Ready for more\?|"
    r"#+ Discussion about this (post|podcast)|© \d{4} .*|_*Copyright \d{4}.*|Privacy ∙ Terms.*|"
    r"Start WritingGet the app|Substack is the home .*|This site requires JavaScript.*|"
    r"unblock scripts|[\w-]+\.substack\.com|\d{1,4}|\* __.*|\* \* \* \*|__|Author|Published|"
    r"(Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)[a-z]* \d{1,2}, \d{4}"
)
COMMENT = re.compile(r"Expand full comment|ReplyShare|LikeReply|^\|.*\bReply\b", re.MULTILINE)


class Writing:
    """Text that no two pieces share, the same on every run."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def paragraph(self) -> str:
        """Seventy words that are none."""
        words = ("".join(self.random.choices(SYLLABLES, k=3)) for _ in range(WORDS))
        return " ".join(words).capitalize() + "."

    def html(self) -> str:
        """A piece with a heading, a list and code."""
        parts = [f"<p>{self.paragraph()} <strong>so</strong></p>" for _ in range(PARAGRAPHS)]
        parts[3] = "<h2>A heading</h2><ul><li>one</li><li>two</li></ul>"
        parts[7] = "<pre><code>def f():\n    return 1</code></pre>"
        return "".join(parts)


def medium(count: int) -> Iterator[tuple[str, str]]:
    for n in range(count):
        body = Writing(n).html()
        yield (
            f"posts/2020-01-02_Piece-{n:012x}.html",
            f'<article class="h-entry"><h1 class="p-name">Piece {n}</h1><section data-field="body" '
            f'class="e-content"><h3 class="graf--title">Piece {n}</h3>{body}</section><footer>'
            '<time class="dt-published" datetime="2020-01-02T00:00:00Z"></time>'
            f'<a class="p-canonical" href="https://medium.com/@a/piece-{n:012x}"></a></footer></article>',
        )


def substack(count: int) -> Iterator[tuple[str, str]]:
    rows = io.StringIO(newline="")
    writer = csv.writer(rows)
    writer.writerow(
        ["post_id", "post_date", "is_published", "type", "audience", "title", "subtitle"]
    )
    for n in range(count):
        writer.writerow([f"{n}.piece", "2020-01-02T00:00:00Z", "TRUE", "newsletter", "everyone",
                         f"Piece {n}", ""])  # fmt: skip
        yield f"posts/{n}.piece.html", Writing(n).html()
    yield "posts.csv", rows.getvalue()


def linkedin(count: int) -> Iterator[tuple[str, str]]:
    rows = io.StringIO(newline="")
    writer = csv.writer(rows)
    writer.writerow(["Date", "ShareLink", "ShareCommentary", "SharedUrl", "MediaUrl", "Visibility"])
    for n in range(count):
        text = '"\n"'.join(Writing(n).paragraph() for _ in range(3))
        writer.writerow(["2020-01-02 00:00:00", f"https://x.org/share:{n}", text, "", "", ""])
    yield "Shares.csv", rows.getvalue()


def x(count: int) -> Iterator[tuple[str, str]]:
    tweets = [
        {
            "tweet": {
                "id_str": str(1000 + n),
                "full_text": Writing(n).paragraph()[:270],
                "created_at": "Thu Jan 02 00:00:00 +0000 2020",
                "entities": {"urls": []},
            }
        }
        for n in range(count)
    ]
    yield "data/tweets.js", "window.YTD.tweets.part0 = " + json.dumps(tweets)


def wordpress(count: int) -> Iterator[tuple[str, str]]:
    items = "".join(
        f"<item><title>Piece {n}</title><link>https://a.org/{n}</link><dc:creator>a</dc:creator>"
        f"<content:encoded><![CDATA[{Writing(n).html()}]]></content:encoded><wp:post_id>{n}"
        "</wp:post_id><wp:status>publish</wp:status><wp:post_type>post</wp:post_type></item>"
        for n in range(count)
    )
    yield (
        "export.xml",
        '<?xml version="1.0"?><rss xmlns:wp="http://wordpress.org/export/1.2/"><channel>'
        "<wp:author><wp:author_login>a</wp:author_login></wp:author>"
        f"{items}</channel></rss>",
    )


def ghost(count: int) -> Iterator[tuple[str, str]]:
    posts = [
        {"id": str(n), "title": f"Piece {n}", "html": Writing(n).html(), "type": "post",
         "status": "published", "visibility": "public", "author_id": "1"}
        for n in range(count)
    ]  # fmt: skip
    data = {"posts": posts, "users": [{"id": "1", "name": "A"}]}
    yield "site.ghost.json", json.dumps({"db": [{"meta": {}, "data": data}]})


def markdown(count: int) -> Iterator[tuple[str, str]]:
    for n in range(count):
        text = "\n\n".join(Writing(n).paragraph() for _ in range(PARAGRAPHS))
        yield f"_posts/2020-1-2-piece-{n}.md", f"---\ntitle: Piece {n}\n---\n{text}\n"


EXPORTS: dict[str, Callable[[int], Iterator[tuple[str, str]]]] = {
    "medium": medium,
    "substack": substack,
    "linkedin": linkedin,
    "x": x,
    "wordpress": wordpress,
    "ghost": ghost,
    "markdown": markdown,
}


def write_zip(path: Path, files: Iterator[tuple[str, str]]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files:
            archive.writestr(name, content)
    return path


def context(*sources: Source, kind: str = "article") -> Context:
    return Context(Author(id="writer", name="The Writer", sources=sources), Path(), kind)


def taken(store: SqliteDocuments, *sources: Source, kind: str = "article") -> Ingested:
    found = ingest(store, context(*sources, kind=kind))
    found.refuse_failures()
    return found


def importers(home: Path, count: int) -> dict[str, dict[str, float]]:
    """Each importer, alone and with comparing and writing."""
    results = {}
    for platform, make in EXPORTS.items():
        path = write_zip(home / f"{platform}.zip", make(count))
        kind = "post" if platform in ("linkedin", "x") else "article"
        source = ArchiveSource(type="archive", path=str(path))
        results[platform] = measured(home, platform, source, kind, count)
    folder = home / "folder"
    folder.mkdir()
    for name, content in markdown(count):
        (folder / Path(name).name).write_text(content, "utf-8")
    results["folder"] = measured(
        home, "folder", FolderSource(type="folder", path=str(folder)), "article", count
    )
    records = [
        {"_id": str(n), "author_full_name": "The Writer", "link": f"https://a.org/{n}",
         "content": {"Title": f"Piece {n}", "Content": Writing(n).paragraph() * PARAGRAPHS}}
        for n in range(count)
    ]  # fmt: skip
    (home / "ArticleDocument.json").write_text(json.dumps(records), "utf-8")
    source_ = WarehouseSource(type="warehouse", path=str(home / "ArticleDocument.json"))
    results["warehouse"] = measured(home, "warehouse", source_, "article", count)
    return results


def measured(home: Path, name: str, source: Source, kind: str, count: int) -> dict[str, float]:
    progress(f"{name} ...")
    store = SqliteDocuments(home / f"{name}.sqlite")
    began = time.process_time()
    found = taken(store, source, kind=kind)
    spent = time.process_time() - began
    if found.inserted != count:
        raise AssertionError(f"{name}: {found.inserted} of {count} documents came in")
    return {
        "documents": count,
        "documents per CPU-second": count / spent,
        "megabytes of text per CPU-second": sum(
            size for _, size in store.lengths("writer", kind)
        ) / MEGABYTE / spent,
    }  # fmt: skip


def memory(home: Path, gigabytes: float) -> dict[str, float]:
    """Peak memory of a process that reads an archive, a third of it stories, else pictures."""
    path = home / "large.zip"
    picture, story = os.urandom(MEGABYTE), Writing(1).html() * 100
    with zipfile.ZipFile(path, "w") as archive:
        for n in range(int(gigabytes * 660)):
            archive.writestr(f"images/{n}.png", picture)
            (_, page), *_ = medium(1)
            body = page.replace(Writing(0).html(), story)
            archive.writestr(f"posts/2020-01-02_Piece-{n:012x}.html", body)
    out = subprocess.run(
        [sys.executable, "-m", "benchmarks.ingest", "--peak", str(path)],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    size = path.stat().st_size
    path.unlink()
    return {"archive, megabytes": size / MEGABYTE, **json.loads(out)}


def peak(path: Path) -> dict[str, float]:
    """Read an archive in this process; documents and peak megabytes."""
    count = 0

    def seen(*_: Any) -> None:
        nonlocal count
        count += 1

    source = ArchiveSource(type="archive", path=str(path))
    archives.read(source, context(source), Listing(seen))
    kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {"documents": count, "peak megabytes": kilobytes / 1024}


def nothing_new(home: Path, count: int = 1000) -> dict[str, dict[str, float]]:
    """A second sync of the same sources: an archive, and a folder."""
    results = {}
    folder = home / "many"
    folder.mkdir()
    for name, content in markdown(count):
        (folder / Path(name).name).write_text(content, "utf-8")
    sources: dict[str, Source] = {
        "archive": ArchiveSource(
            type="archive", path=str(write_zip(home / "many.zip", medium(count)))
        ),
        "folder": FolderSource(type="folder", path=str(folder)),
    }
    for name, source in sources.items():
        progress(f"nothing new in {name} ...")
        store = SqliteDocuments(home / f"same-{name}.sqlite")
        taken(store, source)
        before = disk(store.path)
        began = time.process_time()
        found = taken(store, source)
        spent = time.process_time() - began
        results[f"nothing new, {name}"] = {
            "documents": found.unchanged,
            "CPU seconds": spent,
            "bytes written": float(disk(store.path) != before),
        }
    return results


class Feed(ThreadingHTTPServer):
    """A site with a feed of so many whole articles, which answers conditions."""

    daemon_threads = True

    def __init__(self, count: int) -> None:
        items = "".join(
            f"<item><title>Piece {n}</title><link>https://a.org/{n}</link><guid>{n}</guid>"
            f"<content:encoded><![CDATA[{Writing(n).html()}]]></content:encoded></item>"
            for n in range(count)
        )
        self.body = (
            '<?xml version="1.0"?><rss version="2.0" xmlns:content='
            f'"http://purl.org/rss/1.0/modules/content/"><channel>{items}</channel></rss>'
        ).encode()
        self.asked: list[tuple[str, int]] = []  # path, status
        super().__init__(("127.0.0.1", 0), FeedHandler)


class FeedHandler(BaseHTTPRequestHandler):
    """Answers for the site."""

    server: Feed

    def do_GET(self) -> None:
        """The feed, or that it is as it was; nothing else is there."""
        known = self.headers.get("If-None-Match") == '"1"'
        status = 404 if self.path != "/feed" else 304 if known else 200
        body = self.server.body if status == 200 else b""
        self.server.asked.append((self.path, status))
        self.send_response(status)
        self.send_header("ETag", '"1"')
        self.send_header("Content-Type", "application/rss+xml")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Silence."""


def nothing_new_in_a_feed(home: Path, count: int = 1000) -> dict[str, float]:
    """A second sync of a feed with so many entries."""
    progress("nothing new in a feed ...")
    with Feed(count) as site:
        threading.Thread(target=site.serve_forever, daemon=True).start()
        host = f"127.0.0.1:{site.server_address[1]}"
        source = FeedSource(type="feed", url=f"http://{host}/feed")
        store = SqliteDocuments(home / "same-feed.sqlite")
        with Web(Guard((allowed_host(host),))) as web:
            polite = Polite(web, Hosts(home / "hosts"), Manners(delay=0))
            whole = replace(context(source), web=polite, cache=home / "cache")
            ingest(store, whole).refuse_failures()
            before = disk(store.path)
            site.asked.clear()
            began = time.process_time()
            found = ingest(store, whole)
            spent = time.process_time() - began
        site.shutdown()
    return {
        "documents": found.unchanged,
        "CPU seconds": spent,
        "requests": len(site.asked),
        "answered that nothing changed": sum(status == 304 for _, status in site.asked),
        "bytes written": float(disk(store.path) != before),
    }


def disk(path: Path) -> list[bytes]:
    """What the store's files hold."""
    files = [path, path.with_name(path.name + "-wal")]
    return [hashlib.sha256(file.read_bytes()).digest() for file in files if file.exists()]


def dumps(folder: Path) -> dict[str, float]:
    """What is left and lost in cleaned whole-page dumps."""
    records = json.loads((resolve_path(str(folder), Path()) / "ArticleDocument.json").read_text())
    total = frame = before = comments = raw_total = 0
    lost = kept = labelled = spurious = 0
    for record in records:
        content = record["content"]
        name, title, page = record["author_full_name"], str(content["Title"]), content["Content"]
        title = re.sub(rf"^{re.escape(name)} - | - {re.escape(name)}$", "", title)
        text = page_text(page, title, name)
        total += visible(text)
        raw_total += visible(page)
        frame += frame_characters(text)
        before += frame_characters(page)
        comments += len(COMMENT.findall(text))
        ranges = LABELS.get(hashlib.sha256(record["link"].encode()).hexdigest()[:12])
        if ranges:
            labelled += 1
            gone, more, there = compare(page.split("\n"), ranges, text)
            lost, spurious, kept = lost + gone, spurious + more, kept + there
    return {
        "pages": len(records),
        "share of frame before": before / raw_total,
        "share of frame after": frame / total,
        "readers' comments left": comments,
        "pages labelled by hand": labelled,
        "author's characters kept": kept,
        "author's characters lost": lost,
        "other characters left": spurious,
    }


def compare(
    lines: list[str], ranges: tuple[tuple[int, int], ...], text: str
) -> tuple[int, int, int]:
    """Characters lost, wrongly left, and kept, by labelled lines."""
    mine = Counter(lines[n - 1].strip() for first, last in ranges for n in range(first, last + 1))
    found = Counter(line.strip() for line in text.split("\n"))
    sizes = [sum(visible(line) * n for line, n in c.items())
             for c in (mine - found, found - mine, found & mine)]  # fmt: skip
    return sizes[0], sizes[1], sizes[2]


def frame_characters(text: str) -> int:
    return sum(visible(line) for line in text.split("\n") if FRAME_LINES.fullmatch(line.strip()))


def visible(text: str) -> int:
    return sum(map(len, text.split()))


def main() -> None:
    """Run the measures and print the object."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    parser.add_argument("--data", type=Path, help="a folder with a warehouse's export")
    parser.add_argument("--documents", type=int, default=300, help="in each generated export")
    parser.add_argument("--large", type=float, default=2.0, help="gigabytes of the large archive")
    parser.add_argument("--peak", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.peak:
        print(json.dumps(peak(options.peak)))
        return
    results: dict[str, Any] = {}
    goals: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        results |= importers(home, options.documents)
        results |= nothing_new(home)
        results["nothing new, feed"] = nothing_new_in_a_feed(home)
        for size in (options.large / 10, options.large):
            progress(f"an archive of {size} gigabytes ...")
            results[f"archive of {size:g} GB"] = memory(home, size)
    goals["peak megabytes"] = goal(
        300, results[f"archive of {options.large:g} GB"]["peak megabytes"]
    )
    goals["requests with nothing new, feed"] = goal(1, results["nothing new, feed"]["requests"])
    for name in ("archive", "folder", "feed"):
        found = results[f"nothing new, {name}"]
        goals[f"writes with nothing new, {name}"] = goal(0, found["bytes written"])
    if options.data:
        progress("whole-page dumps ...")
        results["whole-page dumps"] = dumps(options.data)
        found = results["whole-page dumps"]
        goals["share of frame"] = goal(0.001, found["share of frame after"])
        goals["readers' comments"] = goal(0, found["readers' comments left"])
        goals["author's text lost"] = goal(0, found["author's characters lost"])
    emit("ingest", str(options.data or "generated exports"), results, goals)


if __name__ == "__main__":
    main()
