"""What a person wants to see of a listing: counts, dates, lengths. No text, no titles."""

from typing import Any

from llmtwin_assets.corpus.reading import Listing


def overview(listing: Listing) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Facts and plots of a listing."""
    words = [len(document.text.split()) for document in listing.documents]
    dates = [document.published for document in listing.documents if document.published]
    figures: dict[str, int | str] = {
        "documents": len(words),
        "words": sum(words),
        "unreadable": len(listing.quarantined),
    }
    if dates:
        figures |= {"first": min(dates).isoformat(), "last": max(dates).isoformat()}
    plots = {}
    if words:
        from llmtwin_assets.plots import document_lengths

        plots["lengths"] = document_lengths([d.published for d in listing.documents], words)
    return {"unreadable": len(listing.quarantined), "figures": figures}, plots
