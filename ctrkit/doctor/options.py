"""What counts as a finding, and how much memory looking for it may take."""

from __future__ import annotations

from dataclasses import dataclass

from ctrkit.errors import ConfigError

_SHARES = ("drift", "missing", "missing_jump", "oov", "oov_jump", "unseen", "unique", "leak", "duplicates", "untrained")


@dataclass(frozen=True, kw_only=True)
class DoctorOptions:
    """Thresholds; None switches a check off. Raises `ConfigError` on a value that cannot be."""

    reference: float = 0.5  # Share of the rows, the earliest, that the later ones are compared with.
    drift: float | None = 0.05  # Bits, see `ctrkit.indexing.drift`.
    missing: float | None = 0.5  # Share of a feature's values.
    missing_jump: float | None = 0.1  # Share of one day's values beyond the median day's.
    oov: float | None = 0.2  # Share of present values that the index does not know.
    oov_jump: float | None = 0.1
    unseen: float | None = 0.2  # Share of the later window's rows.
    growth: float | None = 0.5  # New values of the later window over the values before.
    unique: float | None = 0.8  # Distinct over present values.
    leak: float | None = 0.9  # AUC.
    duplicates: float | None = 0.01  # Share of the rows.
    label_change: float | None = 0.5  # Relative to the median day's rate.
    untrained: float | None = 0.1  # Share of a table's known rows.
    ignore: tuple[str, ...] = ()  # Features that nothing is said of.
    values: int = 1 << 17  # Distinct values of a feature that are counted one by one, 44 bytes each.
    least_rows: int = 200  # Of a day that is judged by itself.
    log_only: bool = False  # Leave aside index, records and run.

    def __post_init__(self) -> None:
        object.__setattr__(self, "ignore", tuple(self.ignore))
        if not 0 < self.reference < 1:
            raise ConfigError(f"doctor.reference is {self.reference!r}, expected a share of the rows such as 0.5.")
        for name in _SHARES:
            value = getattr(self, name)
            if value is not None and (isinstance(value, bool) or not 0 <= value <= 1):
                raise ConfigError(f"doctor.{name} is {value!r}, expected a number from 0 to 1, or null for no check.")
        for name, least in (("values", 1024), ("least_rows", 1)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise ConfigError(f"doctor.{name} is {value!r}, expected a whole number of at least {least}.")
