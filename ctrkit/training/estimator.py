"""Convert a Keras model into the Estimator that trains it, leaving the model itself alone."""

from __future__ import annotations

import contextlib
import logging
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from ctrkit.errors import ConfigError
from ctrkit.layers.shard import logical_weights, pieces, shard, split_only
from ctrkit.losses import LogLoss
from ctrkit.optimizers import build_optimizer
from ctrkit.training.logical import check_holds, logical_variables
from ctrkit.training.options import TrainingOptions
from ctrkit.training.stepwise_randomness import draw_by_step


@dataclass(frozen=True, kw_only=True)
class TrainingGraph:
    """What hooks may use of the graph that the Estimator trains."""

    loss: tf.Tensor  # Scalar, of the batch before its update.
    scores: tf.Tensor  # float `(batch, 1)`, likewise; layers behave as in training.
    features: Mapping[str, tf.Tensor]  # The batch, as the input function gave it.
    score: Callable[[tf.Tensor], tf.Tensor]  # From ids to scores with the current weights; layers behave as in use.
    weights: Sequence[Sequence[tf.Variable]]  # Each of the model's own weights in its order, as the parts it is in.
    variables: Mapping[str, tf.Variable]  # What a checkpoint holds, by its name there: see `logical_variables`.
    saver: tf.compat.v1.train.Saver  # Of these.


def build_estimator(
    model: tf.keras.Model,
    options: TrainingOptions,
    config: tf.estimator.RunConfig,
    *,
    steps: int | None = None,
    on_graph: Callable[[TrainingGraph], None] | None = None,
    parts: Mapping[int, int] | None = None,
    sharded_files: bool = False,
    wrapped: Callable[[Any], Any] = lambda optimizer: optimizer,
) -> tf.estimator.Estimator:
    """Return an Estimator that trains a clone of `model`, starting from the weights that `model` holds.

    Its input function gives batches as `Records.dataset` does. `on_graph` is called when the training graph is built,
    before the session starts: hooks given to `train` learn their tensors there. Build and train within
    `keras_classes_kept()`. `steps` is the run's length, over which learning rates decay where the options say so.
    `parts` are the numbers of parts to split weights into, as `ctrkit.layers.shard` takes them; with `sharded_files`
    each parameter server writes a file of its own into a checkpoint. `wrapped` may put the optimizer into another.

    Raises `ConfigError` when the model cannot be cloned, or a weight cannot be split.
    """
    parts = split_only(parts or {})
    is_new = config.is_chief and tf.train.latest_checkpoint(config.model_dir) is None
    initial = model.get_weights() if is_new else []  # Copies, which nobody else needs.
    clone = compiled_clone(model, options, steps=steps, parts=parts)
    clone.optimizer = wrapped(clone.optimizer)
    converted = _convert(clone, config)

    def model_fn(features: dict[str, tf.Tensor], mode: str, config: Any) -> tf.estimator.EstimatorSpec:
        ids, inputs = features["ids"], features["ids"]
        if "weight" in features and mode != tf.estimator.ModeKeys.PREDICT:
            inputs = {"features": ids, "sample_weights": tf.reshape(features["weight"], [-1])}
        spec = converted.model_fn(inputs, features.get("label"), mode, config)
        if mode != tf.estimator.ModeKeys.TRAIN:
            return spec
        draw_by_step(spec.loss, seed=options.seed, step=tf.compat.v1.train.get_global_step())
        (scores,) = spec.predictions.values()
        scorer = tf.keras.Model(ids, scores)  # The converter keeps its clone to itself; this shares its layers.
        weights = logical_weights(scorer.weights, parts)
        variables = logical_variables(weights, converted.optimizer(), tf.compat.v1.train.get_global_step())
        restored = tf.train.latest_checkpoint(config.model_dir) if config.is_chief else None
        if restored is not None:
            check_holds(restored, variables)
        graph = TrainingGraph(
            loss=spec.loss,
            scores=scores,
            features=features,
            score=lambda ids: scorer(ids, training=False),
            weights=weights,
            variables=variables,
            saver=tf.compat.v1.train.Saver(variables, sharded=sharded_files, max_to_keep=None),
        )
        if on_graph is not None:
            on_graph(graph)
        return spec._replace(scaffold=_scaffold(graph, initial))

    return tf.estimator.Estimator(model_fn, config=config)


def run_config(
    options: TrainingOptions,
    model_dir: Path,
    *,
    session_config: tf.compat.v1.ConfigProto | None = None,
    device_fn: Callable[[tf.Operation], str] | None = None,
) -> tf.estimator.RunConfig:
    """Return a RunConfig with this run's seed; what an Estimator would save and log by itself is left to our hooks."""
    return tf.estimator.RunConfig(
        model_dir=str(model_dir),
        tf_random_seed=options.seed,
        session_config=session_config,
        device_fn=device_fn,
        save_checkpoints_steps=None,
        save_checkpoints_secs=None,
        save_summary_steps=None,
        log_step_count_steps=None,
    )


def compiled_clone(
    model: tf.keras.Model,
    options: TrainingOptions,
    *,
    steps: int | None = None,
    parts: Mapping[int, int] | None = None,
) -> tf.keras.Model:
    """Return a copy of the structure of `model` in `parts`, compiled as `model` is or else as `options` say.

    Raises `ConfigError` for a model that is not functional, or has a layer that cannot be cloned.
    """
    if not isinstance(model, tf.keras.Model) or not getattr(model, "_is_graph_network", False):
        raise ConfigError(
            f"train: got {type(model).__name__}, expected a functional model, which alone can be converted to an "
            "Estimator. Build it as `tf.keras.Model(inputs.ids, ctr)` where `inputs = Inputs(index)`."
        )
    try:
        clone = shard(model, parts) if parts else tf.keras.models.clone_model(model)
    except ConfigError:
        raise
    except (TypeError, ValueError, NotImplementedError) as error:
        reason = " ".join(str(error).split())
        raise ConfigError(
            f"Model {model.name!r} cannot be cloned: {reason}. Give each layer of your own a `get_config` that returns "
            "all arguments of its `__init__`."
        ) from error
    is_compiled = getattr(model, "optimizer", None) is not None
    clone.compile(optimizer=optimizer_of(model, options, steps=steps), loss=model.loss if is_compiled else LogLoss())
    return clone


def optimizer_of(model: tf.keras.Model, options: TrainingOptions, *, steps: int | None = None) -> Any:
    """A new optimizer: as `model` is compiled, or else as `options` say, with rates that may fall over `steps`."""
    if getattr(model, "optimizer", None) is not None:
        return type(model.optimizer).from_config(model.optimizer.get_config())
    return build_optimizer(
        options.table_optimizer,
        _rate(options.table_learning_rate, options, steps),
        options.dense_optimizer,
        _rate(options.dense_learning_rate, options, steps),
        table_options=dict(options.table_options),
        dense_options=dict(options.dense_options),
    )


def _rate(start: float, options: TrainingOptions, steps: int | None) -> Any:
    """The learning rate by step: constant, or falling from `start` to 0 over `steps`."""
    if options.learning_rate_decay is None or steps is None:
        return start
    if options.learning_rate_decay == "cosine":
        return tf.keras.optimizers.schedules.CosineDecay(start, steps)
    return tf.keras.optimizers.schedules.PolynomialDecay(start, steps, end_learning_rate=0.0)


@dataclass(frozen=True)
class _Converted:
    """What `model_to_estimator` makes of a model."""

    model_fn: Callable[..., tf.estimator.EstimatorSpec]
    clone: tf.keras.Model

    def optimizer(self) -> Any:
        """The optimizer of the graph that `model_fn` built last: Keras leaves it among the arguments of `compile`."""
        return self.clone._get_compile_args()["optimizer"]


def _convert(clone: tf.keras.Model, config: tf.estimator.RunConfig) -> _Converted:
    """Convert a compiled model."""
    with tempfile.TemporaryDirectory(prefix="ctrkit-") as directory:
        _pretend_first_checkpoint(Path(directory))
        estimator = tf.keras.estimator.model_to_estimator(
            clone, config=config.replace(model_dir=directory), checkpoint_format="saver"
        )
    for weight in clone.weights:  # Only the structure is used from here on; a table may fill half of the memory.
        tf.raw_ops.DestroyResourceOp(resource=weight.handle)
    return _Converted(estimator.model_fn, clone)


def _pretend_first_checkpoint(directory: Path) -> None:
    """Keep the converter from building a graph and writing all weights of the model just to read them back.

    It does neither where it finds such a checkpoint. Reading it back, by variable name, fails anyway for layers inside
    layers, whose names differ from graph to graph; `_assign` goes by order instead.
    """
    keras = directory / "keras"
    keras.mkdir()
    (keras / "keras_model.ckpt.index").touch()
    tf.compat.v1.train.update_checkpoint_state(str(keras), str(keras / "keras_model.ckpt"))


def _scaffold(graph: TrainingGraph, initial: list[np.ndarray]) -> tf.compat.v1.train.Scaffold:
    """Say how a session of the graph starts: a new run from `initial`, any other from its checkpoint.

    Weights become initialized by being given their values, so that no other worker can start on them before. What no
    checkpoint holds (an optimizer's rates, sums of metrics) starts over in every session.
    """
    weights = {id(part) for parts in graph.weights for part in parts}
    kept = {id(variable) for variable in graph.variables.values()}
    all_variables = tf.compat.v1.global_variables()
    # By its collection: where an Estimator joins scaffolds of a distribution strategy it takes a tensor for a bool.
    tf.compat.v1.add_to_collection(
        tf.compat.v1.GraphKeys.READY_FOR_LOCAL_INIT_OP,
        tf.compat.v1.report_uninitialized_variables([one for one in all_variables if id(one) in kept]),
    )
    return tf.compat.v1.train.Scaffold(
        init_op=tf.compat.v1.variables_initializer([one for one in all_variables if id(one) not in weights]),
        init_fn=lambda _, session: _assign(session, graph.weights, initial),
        local_init_op=tf.group(
            tf.compat.v1.train.Scaffold.default_local_init_op(),
            tf.compat.v1.variables_initializer([one for one in all_variables if id(one) not in kept]),
        ),
        saver=graph.saver,
    )


def _assign(session: tf.compat.v1.Session, weights: Sequence[Sequence[tf.Variable]], values: list[np.ndarray]) -> None:
    """Set the weights of a new run, then let go of the copies."""
    for parts, value in zip(weights, values, strict=True):
        for variable, piece in zip(parts, pieces(value, len(parts)), strict=True):
            session.run(variable.initializer, {variable.initializer.inputs[1]: piece})
    values.clear()


@contextlib.contextmanager
def quiet_tensorflow() -> Iterator[None]:
    """Silence the Estimator's notices (deprecations, one line per checkpoint); errors still show."""
    logger = tf.get_logger()
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=r"(keras|tensorflow|tensorflow_estimator)\b")
            yield
    finally:
        logger.setLevel(level)
