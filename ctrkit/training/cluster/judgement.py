"""What the evaluator found, in a file of the run's folder, and how the chief hears of it."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

from ctrkit.atomic import write_json
from ctrkit.errors import ArtifactError
from ctrkit.training.checkpoint import Checkpoint
from ctrkit.training.early_stopping import EarlyStopping

EVALUATIONS = "evaluations.json"
_LISTEN_EVERY = 1.0  # Seconds: a small file, but perhaps on a network disk.


def identity(checkpoint: Checkpoint) -> str:
    """What tells a checkpoint from any other, also from one of the same step that the run wrote before it went back.

    TensorFlow's index file has the checksum of every tensor, and outlives links and copies. Raises `OSError` when the
    checkpoint was deleted meanwhile.
    """
    index = Path(f"{checkpoint.prefix}.index").read_bytes()
    return f"{checkpoint.step}-{hashlib.sha256(index).hexdigest()[:16]}"


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """Of one checkpoint."""

    step: int
    checkpoint: str  # Its `identity`.
    metrics: dict[str, float]


@dataclass
class Judgement:
    """The evaluations of a run, and what they mean for it."""

    stopping: EarlyStopping
    evaluations: list[Evaluation] = field(default_factory=list)  # In order of time.
    best: str | None = None  # The `identity` of the best checkpoint.

    @classmethod
    def read(cls, run_dir: Path, stopping: EarlyStopping) -> Judgement:
        """What is known so far; `stopping` is brought to that state. Raises `ArtifactError` when it cannot be read."""
        path = run_dir / EVALUATIONS
        try:
            kept = json.loads(path.read_text(encoding="utf-8"))
            evaluations = [Evaluation(**one) for one in kept["evaluations"]]
            stopping.restore(kept["stopping"])
            return cls(stopping, evaluations, kept["best"])
        except FileNotFoundError:
            return cls(stopping)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ArtifactError(f"Cannot read {path}: {error}. Train a new run (run=new).") from error

    def write(self, run_dir: Path) -> None:
        """Replace the file."""
        evaluations = [asdict(one) for one in self.evaluations]
        write_json(
            run_dir / EVALUATIONS, {"stopping": self.stopping.to_dict(), "best": self.best, "evaluations": evaluations}
        )

    def add(self, evaluation: Evaluation) -> bool:
        """Take in an evaluation; returns whether it is the best so far.

        Those from which the run went back are forgotten, the best aside, and do not use up the patience.
        """
        stopping = self.stopping
        # The best weights once more, cut into other parts.
        again = (evaluation.step, evaluation.metrics) == (stopping.best_step, stopping.best_metrics)
        is_best = again or stopping.observe(evaluation.step, evaluation.metrics)
        if is_best:
            self.best = evaluation.checkpoint
        kept: list[Evaluation] = []
        for one in [*self.evaluations, evaluation]:
            kept = [old for old in kept if old.step < one.step or old.checkpoint == self.best] + [one]
        self.evaluations = kept
        best = next(place for place, one in enumerate(kept) if one.checkpoint == self.best)
        stopping.since_best = len(kept) - 1 - best
        return is_best

    def knows(self, checkpoint: str) -> bool:
        """Whether the checkpoint of this `identity` was evaluated."""
        return any(one.checkpoint == checkpoint for one in self.evaluations)


class Hearing:
    """The chief's side: reads the evaluator's word again and again, and passes on what is new.

    Args:
        run_dir: the run's folder.
        stopping: makes the run's `EarlyStopping`, without any evaluation.
        tell: told of each evaluation that comes from now on, once.
    """

    def __init__(
        self, run_dir: Path, stopping: Callable[[], EarlyStopping], tell: Callable[[Evaluation], None]
    ) -> None:
        self._run_dir, self._stopping, self._tell = run_dir, stopping, tell
        self.judgement = Judgement.read(run_dir, stopping())
        self._told = {one.checkpoint for one in self.judgement.evaluations}
        self._heard = time.monotonic()

    def listen(self) -> Judgement:
        """Read the file as it is now."""
        self._heard = time.monotonic()
        self.judgement = Judgement.read(self._run_dir, self._stopping())
        for evaluation in self.judgement.evaluations:
            if evaluation.checkpoint not in self._told:
                self._told.add(evaluation.checkpoint)
                self._tell(evaluation)
        return self.judgement

    def says_over(self) -> bool:
        """Whether the patience is used up; asked at every step, it reads the file once a second."""
        if time.monotonic() - self._heard > _LISTEN_EVERY:
            self.listen()
        return self.judgement.stopping.is_over
