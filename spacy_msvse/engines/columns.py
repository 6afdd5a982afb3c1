"""The columns of posts in tables."""

#: The columns of a table that are read. All columns are kept.
READ = ("text", "words", "tokens", "image", "images", "tags", "caption", "texts")

#: The columns that are added to a table. Earlier ones of these names are replaced, but a text is
#: kept.
ADDED = ("text", "spans", "error")

#: The fields of a span, with the names that their types have in Spark and in Arrow.
SPAN_FIELDS = {
    "start": ("bigint", "int64"),
    "end": ("bigint", "int64"),
    "label": ("string", "string"),
    "score": ("double", "float64"),
}
