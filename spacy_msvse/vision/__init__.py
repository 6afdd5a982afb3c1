"""Extraction of regions, tags, captions and texts from pictures. Does not import spaCy."""
