"""Code for Ray, Spark and REST. Processes that only read and write import only `columns`."""
