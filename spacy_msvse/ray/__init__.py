"""Annotate posts with Ray Data: `Annotator` for `Dataset.map_batches`."""

from .annotator import Annotator, annotated_schema

__all__ = ["Annotator", "annotated_schema"]
