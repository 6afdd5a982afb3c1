"""Reads files of posts as Docs with pictures, and such Docs as training examples."""
