"""Pictures to regions, tags, captions and texts. Knows nothing of spaCy."""
