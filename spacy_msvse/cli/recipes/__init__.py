"""The configs that `init-config` starts from: what all share, and one for each choice."""
