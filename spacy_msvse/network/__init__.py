"""Methods of multimodal named entity recognition in plain PyTorch, without spaCy and Thinc."""
