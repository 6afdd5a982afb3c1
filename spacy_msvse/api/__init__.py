"""A REST server for a pipeline. Needs the extra `api`."""

from .server import Service, serve

__all__ = ["Service", "serve"]
