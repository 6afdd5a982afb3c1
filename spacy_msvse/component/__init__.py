"""The spaCy side: factory, pipe, and the Thinc glue around the network."""
