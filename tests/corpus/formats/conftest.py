import json

import pytest

from spacy_msvse.corpus.formats.options import ReadOptions
from spacy_msvse.corpus.formats.table import open_posts
from spacy_msvse.corpus.jsonl import parse_rows
from spacy_msvse.corpus.rows import BadRow
from spacy_msvse.errors import MsvseError


@pytest.fixture
def read(tmp_path, nlp):
    """Write records as lines of JSON, or a text, and read the file: what it is read as, posts,
    Docs, and bad rows as (line, reason)."""

    def read(content, name="posts.jsonl", offsets="characters", **options):
        path = tmp_path / name
        if isinstance(content, list):
            content = "\n".join(json.dumps(record) for record in content)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        source = open_posts(path, ReadOptions(**options))
        bad_rows = []
        posts = list(parse_rows(source.rows, bad_rows, offsets=offsets))
        docs = []
        for post in posts:
            try:
                docs.append(post.to_doc(nlp))
            except MsvseError as error:
                bad_rows.append(BadRow(post.path, post.line, str(error)))
        return source, posts, docs, [(row.line, row.reason) for row in bad_rows]

    return read


def get_entities(doc):
    return [(ent.text, ent.label_) for ent in doc.ents]
