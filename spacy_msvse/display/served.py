"""The pipelines that `serve` has loaded. Streamlit runs its page in the same process."""

from spacy.language import Language

#: Name or folder of a pipeline to the loaded pipeline.
PIPELINES: dict[str, Language] = {}
