"""What a person may choose about an export."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from ctrkit.errors import ConfigError, did_you_mean

RankForm = Literal["auto", "broadcast", "tiled"]
Xla = bool | Literal["auto"]
SERVING_REPLAYS = 1000  # TensorFlow Serving refuses to load a model with more warmup records than this.
LARGEST_BUCKET = 100_000  # Rows; a warmup file of more would cost more than the first request that it saves.


@dataclass(frozen=True, kw_only=True)
class ExportOptions:
    """How a model is frozen.

    `rank="auto"` computes the user's half of the network once for all candidates when that is proven to give the same
    scores, and repeats the user for every candidate otherwise; `"broadcast"` fails instead of falling back, `"tiled"`
    never tries.

    `xla=True` compiles the scoring signatures, for the sizes of `buckets`; `"auto"` measures each of them both ways on
    this machine and compiles those that it makes faster (it writes the model twice, and takes some seconds).
    """

    buckets: tuple[int, ...] = (1, 10, 100, 1000)  # Rows per warmup request: the batch sizes that you will send.
    golden_rows: int = 16  # Rows whose scores travel inside, so that a server can prove that it computes the same.
    rank: RankForm = "auto"
    rank_tolerance: float = 5e-6  # Largest difference of a click probability between the two forms of `rank`.
    index_signature: bool = True  # Whether clients may fetch the index, with every value it knows, from the server.
    xla: Xla = False  # Whether signatures are compiled; TensorFlow Serving then needs --xla_cpu_compilation_enabled.

    def __post_init__(self) -> None:
        object.__setattr__(self, "buckets", _buckets(self.buckets))
        if (
            isinstance(self.golden_rows, bool)
            or not isinstance(self.golden_rows, int)
            or not 1 <= self.golden_rows <= 1000
        ):
            raise ConfigError(
                f"`golden_rows` is {self.golden_rows!r}, expected an integer from 1 to 1000, e.g. golden_rows=16."
            )
        if self.rank not in get_args(RankForm):
            raise ConfigError(f"`rank` is {self.rank!r}.{did_you_mean(str(self.rank), get_args(RankForm))}")
        if not 0 <= self.rank_tolerance < 1:
            raise ConfigError(f"`rank_tolerance` is {self.rank_tolerance!r}, expected a number in [0, 1), e.g. 1e-6.")
        if not isinstance(self.xla, bool) and self.xla != "auto":
            raise ConfigError(f"`xla` is {self.xla!r}, expected true, false or auto, e.g. xla=auto.")
        if self.xla is not False and not self.buckets:
            raise ConfigError(
                f"`xla` is {self.xla!r}, but there are no `buckets`: XLA compiles for one batch size after the other, "
                "and nothing says for which. Give those that you will send, e.g. buckets=[1,10,100,1000], or xla=false."
            )


def _buckets(given: object) -> tuple[int, ...]:
    """The batch sizes in ascending order, each once."""
    advice = "expected batch sizes, e.g. buckets=[1,10,100,1000] (an empty list: no warmup)"
    try:
        listed = list(given)  # type: ignore[call-overload]
    except TypeError:
        raise ConfigError(f"`buckets` is {given!r}, {advice}.") from None
    for size in listed:
        if isinstance(size, bool) or not isinstance(size, int) or not 1 <= size <= LARGEST_BUCKET:
            raise ConfigError(f"`buckets` holds {size!r}, {advice}; each from 1 to {LARGEST_BUCKET:,}.")
    if len(listed) * 3 + 1 > SERVING_REPLAYS:
        raise ConfigError(
            f"`buckets` holds {len(listed)} sizes, expected at most {(SERVING_REPLAYS - 1) // 3}: {advice}."
        )
    return tuple(sorted(set(listed)))
