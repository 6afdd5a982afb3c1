"""The models that look at pictures, one file for each kind. Each is registered in setup.cfg."""
