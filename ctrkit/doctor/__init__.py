"""Doubt a log before a model is trained on it, and a model's index, records and tables afterwards."""

from ctrkit.doctor.examine import examine
from ctrkit.doctor.findings import findings_of
from ctrkit.doctor.options import DoctorOptions

__all__ = ["DoctorOptions", "examine", "findings_of"]
