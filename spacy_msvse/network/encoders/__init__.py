"""Text encoders. Each file adds prefixes to the self-attention of one group of families."""
