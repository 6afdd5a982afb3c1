"""The extractors, one file each. Each is registered in setup.cfg."""
