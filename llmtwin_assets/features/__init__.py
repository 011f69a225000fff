"""From raw documents to cleaned text, chunks and embeddings."""
