"""Everything an author has published, as raw documents in the document store."""
