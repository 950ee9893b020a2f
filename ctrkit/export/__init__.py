"""Keras model to SavedModel, index inside. Names are loaded on first use: reading an export needs no TensorFlow."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ctrkit.lazy import lazy

__all__ = [
    "ExportOptions",
    "Exported",
    "Golden",
    "Manifest",
    "ParityReport",
    "PathParity",
    "SavedModelScorers",
    "export_model",
    "open_exported",
    "verify",
]

if TYPE_CHECKING:
    from ctrkit.export.exported import Exported, open_exported
    from ctrkit.export.freeze import export_model
    from ctrkit.export.manifest import Golden, Manifest
    from ctrkit.export.options import ExportOptions
    from ctrkit.export.parity import ParityReport, PathParity, verify
    from ctrkit.export.saved_scorers import SavedModelScorers
else:
    __getattr__, __dir__ = lazy(
        __name__,
        {
            "exported": ["Exported", "open_exported"],
            "freeze": ["export_model"],
            "manifest": ["Golden", "Manifest"],
            "options": ["ExportOptions"],
            "parity": ["ParityReport", "PathParity", "verify"],
            "saved_scorers": ["SavedModelScorers"],
        },
    )
