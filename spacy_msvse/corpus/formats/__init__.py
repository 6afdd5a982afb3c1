"""Formats of posts. A container is how a file holds records; a shape is what a record looks like.
`table.py` lists both."""
