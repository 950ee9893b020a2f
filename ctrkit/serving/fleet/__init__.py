"""Several server processes behind one port: a parent that starts, watches and stops them."""

from ctrkit.serving.fleet.fleet import Fleet, serve_fleet

__all__ = ["Fleet", "serve_fleet"]
