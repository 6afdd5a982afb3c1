"""Experiments: variants of one config, trained with several seeds and compared."""
