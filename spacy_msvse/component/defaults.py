"""The default config of the component. No torch here."""

from thinc.api import Config

#: Settings that are not here have the defaults of their functions.
DEFAULT_CONFIG = Config().from_str("""
[msvse_ner]
overwrite = false
on_missing_image = "warn"
min_view_share = 0.01
view_dropout = {}
max_pictures = 4
max_batch_tokens = 2048
min_confidence = 0.0
spans_key = null

[msvse_ner.model]
@architectures = "spacy-msvse.MSVSE.v1"

[msvse_ner.vision]
@misc = "spacy-msvse.VisualExtractor.v1"

[msvse_ner.vision.regions]
@misc = "spacy-msvse.EfficientNetLite0.v1"

[msvse_ner.vision.tags]
@misc = "spacy-msvse.EfficientNetLite0.v1"

[msvse_ner.vision.caption]
@misc = "spacy-msvse.TagCaption.v1"

[msvse_ner.scorer]
@scorers = "spacy.ner_scorer.v1"
""")["msvse_ner"]
