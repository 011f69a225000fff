"""A crawl in a process of its own, to be killed: python -m … FOLDER HOST URL."""

import json
import sys
from pathlib import Path

from llmtwin_assets.authors import Author, SiteSource
from llmtwin_assets.corpus import sites
from llmtwin_assets.corpus.reading import Context, Listing
from resources.addresses import Guard, allowed_host
from resources.hosts import Hosts
from resources.polite import Manners, Polite
from resources.web import Web

if __name__ == "__main__":
    folder, host, url = sys.argv[1:]
    source = SiteSource(type="site", url=url)
    author = Author(id="ada", name="Ada Writer", sources=(source,))
    web = Polite(Web(Guard((allowed_host(host),))), Hosts(Path(folder) / "hosts"), Manners(delay=0))
    listing = Listing()
    sites.read(source, Context(author, Path(folder), web=web, cache=Path(folder) / "ada"), listing)
    print(json.dumps({"documents": len(listing.documents), "unreadable": listing.quarantined}))
