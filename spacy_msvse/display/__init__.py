"""Posts, their pictures and their entities as HTML, beside displaCy."""
