"""Strip a traced function of what its outputs do not need: losses, regularisers, summaries."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

import tensorflow as tf

Scorer = Callable[[Mapping[str, tf.Tensor]], Mapping[str, tf.Tensor]]


@dataclass(frozen=True)
class PrunedFunction:
    """A function with named inputs, ready to be a signature, and the variables that it reads."""

    concrete: tf.types.experimental.ConcreteFunction
    variables: tuple[tf.Variable, ...]
    replay: Scorer  # The pruned graph as a function, to trace it again.
    inputs: Mapping[str, tf.TensorSpec]

    def compiled(self) -> PrunedFunction:
        """The same function for XLA, which compiles it for each size of a batch when that is first seen."""
        return replace(self, concrete=_function(self.replay, self.inputs, jit_compile=True))


def traced(score: Scorer, inputs: Mapping[str, tf.TensorSpec]) -> PrunedFunction:
    """Trace `score` on a mapping of named inputs and keep only what its outputs depend on."""
    whole = _function(score, inputs)
    graph = whole.graph.as_graph_def()
    outputs = {name: tensor.name for name, tensor in whole.structured_outputs.items()}
    needed = _ancestors(graph, outputs.values())
    names = sorted(inputs)  # The order in which TensorFlow flattens a mapping.
    arguments, placeholders = whole.inputs[: len(names)], whole.inputs[len(names) :]
    features = {tensor.name: name for name, tensor in zip(names, arguments, strict=True) if tensor.op.name in needed}
    captures = {
        placeholder.name: outside
        for placeholder, outside in zip(placeholders, whole.captured_inputs, strict=True)
        if placeholder.op.name in needed
    }
    given = {name.split(":")[0] for name in (*features, *captures)}
    kept = tf.compat.v1.GraphDef(versions=graph.versions, library=graph.library)
    kept.node.extend(node for node in graph.node if node.name in needed - given)
    for node in kept.node:
        node.attr.pop("_class", None)  # "Colocate with", which may name an input that is gone.

    def replay(tensors: Mapping[str, tf.Tensor]) -> Mapping[str, tf.Tensor]:
        inner = tf.compat.v1.get_default_graph()
        values = {placeholder: tensors[name] for placeholder, name in features.items()}
        values |= {placeholder: inner.capture(outside) for placeholder, outside in captures.items()}
        found = tf.graph_util.import_graph_def(
            kept, input_map=values, return_elements=list(outputs.values()), name="score"
        )
        return dict(zip(outputs, found, strict=True))

    handles = {id(tensor) for tensor in captures.values()}
    variables = tuple(variable for variable in whole.variables if id(variable.handle) in handles)
    return PrunedFunction(concrete=_function(replay, inputs), variables=variables, replay=replay, inputs=inputs)


def _function(
    score: Scorer, inputs: Mapping[str, tf.TensorSpec], *, jit_compile: bool | None = None
) -> tf.types.experimental.ConcreteFunction:
    return tf.function(score, autograph=False, jit_compile=jit_compile).get_concrete_function(dict(inputs))


def _ancestors(graph: tf.compat.v1.GraphDef, tensors: Iterable[str]) -> set[str]:
    """Names of the nodes that the tensors depend on, themselves included."""
    nodes = {node.name: node for node in graph.node}
    found: set[str] = set()
    ahead = [tensor.split(":")[0] for tensor in tensors]
    while ahead:
        name = ahead.pop()
        if name not in found:
            found.add(name)
            ahead += [source.removeprefix("^").split(":")[0] for source in nodes[name].input]
    return found
