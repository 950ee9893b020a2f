"""Watch runs: parameters, metrics, figures and models in MLflow, which is imported when a run begins."""

from ctrkit.tracking.apart import ApartStore, store_apart
from ctrkit.tracking.location import Location, experiment_page, locate, run_page, ui_command
from ctrkit.tracking.options import TrackingOptions
from ctrkit.tracking.run import Run, linked_run
from ctrkit.tracking.start import start_run
from ctrkit.tracking.upload import has_buffered, upload_buffered

__all__ = [
    "ApartStore",
    "Location",
    "Run",
    "TrackingOptions",
    "experiment_page",
    "has_buffered",
    "linked_run",
    "locate",
    "run_page",
    "start_run",
    "store_apart",
    "ui_command",
    "upload_buffered",
]
