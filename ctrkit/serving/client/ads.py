"""What stands for an ad in a request, and how many ads a client keeps."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

ROWS = (
    20_000  # Beside its ids an ad takes some 30 bytes a column, and the values themselves where the caller drops them.
)
Ad = Mapping[str, Any] | Hashable  # Its values, or its id alone.
