"""The MSVSE network in plain PyTorch. Knows nothing of spaCy or Thinc."""
