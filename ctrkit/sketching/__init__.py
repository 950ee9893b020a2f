"""Sketch a schema from a log that nobody has described yet, for a person to read and to mend."""

from ctrkit.sketching.sketch import Sketch, sketch_schema

__all__ = ["Sketch", "sketch_schema"]
