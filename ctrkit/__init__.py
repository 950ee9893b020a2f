"""ctrkit: click-through-rate models, from a raw click log to a served prediction.

Names are imported when first used, so `import ctrkit` costs nothing and the serving client never loads TensorFlow.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ctrkit.lazy import lazy
from ctrkit.version import __version__

__all__ = [
    "Client",
    "ExportOptions",
    "FeatureIndex",
    "FieldEmbeddings",
    "Inputs",
    "Prepared",
    "Records",
    "Schema",
    "Server",
    "Split",
    "TrainingOptions",
    "__version__",
    "analysis",
    "datasets",
    "evaluate",
    "export",
    "export_model",
    "indexing",
    "layers",
    "load_weights",
    "losses",
    "metrics",
    "models",
    "optimizers",
    "prepare",
    "records",
    "schema",
    "serving",
    "sketch_schema",
    "sketching",
    "start_run",
    "tracking",
    "train",
    "training",
    "verify",
]

if TYPE_CHECKING:
    from ctrkit import (
        analysis,
        datasets,
        export,
        indexing,
        layers,
        losses,
        metrics,
        models,
        optimizers,
        records,
        schema,
        serving,
        sketching,
        tracking,
        training,
    )
    from ctrkit.export import ExportOptions, export_model, verify
    from ctrkit.indexing import FeatureIndex
    from ctrkit.layers import FieldEmbeddings, Inputs
    from ctrkit.records import Prepared, Records, Split, prepare
    from ctrkit.schema import Schema
    from ctrkit.serving import Client, Server
    from ctrkit.sketching import sketch_schema
    from ctrkit.tracking import start_run
    from ctrkit.training import TrainingOptions, evaluate, load_weights, train
else:
    __getattr__, __dir__ = lazy(
        __name__,
        {
            "export": ["ExportOptions", "export_model", "verify"],
            "indexing": ["FeatureIndex"],
            "layers": ["FieldEmbeddings", "Inputs"],
            "records": ["Prepared", "Records", "Split", "prepare"],
            "schema": ["Schema"],
            "serving": ["Client", "Server"],
            "sketching": ["sketch_schema"],
            "tracking": ["start_run"],
            "training": ["TrainingOptions", "evaluate", "load_weights", "train"],
        },
        packages=[
            "analysis",
            "datasets",
            "export",
            "indexing",
            "layers",
            "losses",
            "metrics",
            "models",
            "optimizers",
            "records",
            "schema",
            "serving",
            "sketching",
            "tracking",
            "training",
        ],
    )
