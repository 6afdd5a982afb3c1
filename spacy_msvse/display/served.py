"""What `serve` hands to its page, which Streamlit runs in the same process."""

from spacy.language import Language

#: Name or folder of a pipeline to the loaded pipeline.
PIPELINES: dict[str, Language] = {}
