"""Embeddings of windows: from an open corpus and a proxy to rows on disk, and back. Begin with `embed`."""
