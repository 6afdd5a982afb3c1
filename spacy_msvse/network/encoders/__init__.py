"""Text encoders: one file for each way in which a family lets prefixes into its self-attention."""
