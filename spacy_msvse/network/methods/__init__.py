"""The methods of multimodal named entity recognition: one file each."""
