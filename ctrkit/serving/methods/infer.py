"""Classify, Regress and MultiInference: `tf.Example`s to classes with scores, or to one value each."""

from __future__ import annotations

from typing import Any

import grpc
import numpy as np

from ctrkit.errors import RequestError, did_you_mean
from ctrkit.serving.methods.call import DEFAULT_SIGNATURE, name
from ctrkit.serving.methods.examples import named_inputs, serialized
from ctrkit.serving.protos import classification_pb2 as wire
from ctrkit.serving.refusal import Refusal
from ctrkit.serving.servable import Servable
from ctrkit.serving.signatures import STRING, dtype_name

CLASSIFY, REGRESS = "tensorflow/serving/classify", "tensorflow/serving/regress"
NOT_CLICKED, CLICKED = "0", "1"  # The labels of TensorFlow's own binary classifiers.
CLICKED_SCORE = "ctr"  # The output of a ctrkit model.
NAMED = "named"  # The signature of a ctrkit model that takes one input a feature.
EXAMPLES = "inputs"  # The one input of a classify or regress signature.


def classify(request: Any, servable: Servable, model: str) -> Any:
    """Answer a ClassificationRequest. Raises `RequestError`, `SessionError`."""
    signature, result = _classified(servable, request.model_spec, request.input)
    response = wire.ClassificationResponse(result=result)
    name(response.model_spec, model, servable.version, signature)
    return response


def regress(request: Any, servable: Servable, model: str) -> Any:
    """Answer a RegressionRequest. Raises `RequestError`, `SessionError`."""
    signature, result = _regressed(servable, request.model_spec, request.input)
    response = wire.RegressionResponse(result=result)
    name(response.model_spec, model, servable.version, signature)
    return response


def multi_inference(request: Any, servable: Servable, model: str) -> Any:
    """Answer a MultiInferenceRequest: several signatures of one model over the same Examples."""
    response = wire.MultiInferenceResponse()
    for task in request.tasks:
        answer = response.results.add()
        if task.method_name == CLASSIFY:
            signature, result = _classified(servable, task.model_spec, request.input)
            answer.classification_result.CopyFrom(result)
        else:
            signature, result = _regressed(servable, task.model_spec, request.input)
            answer.regression_result.CopyFrom(result)
        name(answer.model_spec, model, servable.version, signature)
    return response


def spec_of(tasks: Any) -> Any:
    """The ModelSpec that all tasks of a MultiInferenceRequest share. Raises `RequestError` when they do not."""
    if not tasks:
        raise RequestError("Inference request must have at least one task in `tasks`, and Examples in `input`.")
    seen = set()
    for task in tasks:
        if not task.model_spec.name:
            raise RequestError("Found ModelSpec with an empty model name in `tasks`.")
        if task.model_spec.name != tasks[0].model_spec.name:
            raise RequestError(
                "All ModelSpecs in a MultiInferenceRequest must access the same model name; got "
                f"{tasks[0].model_spec.name!r} and {task.model_spec.name!r}."
            )
        if task.method_name not in (CLASSIFY, REGRESS):
            raise Refusal(
                f"Unsupported signature method_name: {task.method_name}. Valid: {CLASSIFY!r}, {REGRESS!r}.",
                grpc.StatusCode.UNIMPLEMENTED,
            )
        key = task.model_spec.signature_name or DEFAULT_SIGNATURE, task.method_name
        if key in seen:
            raise RequestError(f"Duplicate evaluation of signature: {key[0]}")
        seen.add(key)
    return tasks[0].model_spec


def _classified(servable: Servable, spec: Any, request_input: Any) -> tuple[str, Any]:
    """The signature that was used and its ClassificationResult."""
    examples = serialized(request_input)
    asked = spec.signature_name or DEFAULT_SIGNATURE
    if _takes_ids(servable, spec.signature_name):
        clicked = _clicked(servable, examples)
        scores = np.stack([np.float32(1) - clicked, clicked], axis=1)
        return NAMED, _classes([[NOT_CLICKED, CLICKED]] * len(examples), scores)
    _check_method(servable, asked, CLASSIFY, "classification")
    outputs = servable.predict(asked, {EXAMPLES: _strings(examples)})
    labels, scores = outputs.get("classes"), outputs.get("scores")
    if labels is None and scores is None:
        raise Refusal(
            f'Expected classification signature outputs to contain at least one of "classes" or "scores". {asked!r} '
            f"gives {sorted(outputs)}.",
            grpc.StatusCode.FAILED_PRECONDITION,
        )
    shapes = {array.shape for array in (labels, scores) if array is not None}
    rows = {shape[0] for shape in shapes if len(shape) == 2}
    if len(shapes) != 1 or rows != {len(examples)}:
        raise RequestError(
            f"Expected Tensor shape: [batch_size num_classes] but got {' and '.join(map(str, map(list, shapes)))} for "
            f"{len(examples)} Examples."
        )
    texts = None if labels is None else [[label.decode(errors="replace") for label in row] for row in labels.tolist()]
    return asked, _classes(texts, scores)


def _regressed(servable: Servable, spec: Any, request_input: Any) -> tuple[str, Any]:
    """The signature that was used and its RegressionResult."""
    examples = serialized(request_input)
    asked = spec.signature_name or DEFAULT_SIGNATURE
    if _takes_ids(servable, spec.signature_name):
        return NAMED, _values(_clicked(servable, examples))
    _check_method(servable, asked, REGRESS, "regression")
    outputs = servable.predict(asked, {EXAMPLES: _strings(examples)})
    if "outputs" not in outputs:
        raise Refusal(
            f"No regression outputs found in SignatureDef: {asked!r} gives {sorted(outputs)}, expected 'outputs'.",
            grpc.StatusCode.FAILED_PRECONDITION,
        )
    values = outputs["outputs"]
    if values.shape not in ((len(examples),), (len(examples), 1)):
        raise RequestError(
            "Expected output Tensor shape to be either [batch_size] or [batch_size, 1] but got "
            f"{list(values.shape)} for {len(examples)} Examples."
        )
    return asked, _values(values.reshape(-1))


def _takes_ids(servable: Servable, asked: str) -> bool:
    """Whether the Examples hold ids for a ctrkit model, rather than what a SavedModel parses by itself."""
    return servable.index is not None and asked in ("", DEFAULT_SIGNATURE, NAMED)


def _clicked(servable: Servable, examples: list[bytes]) -> np.ndarray:
    """Click probability of each Example, `float32 [n]`."""
    assert servable.index is not None
    inputs = named_inputs(examples, servable.index.fields, servable.input_names)
    scores: np.ndarray = servable.predict(NAMED, inputs, (CLICKED_SCORE,))[CLICKED_SCORE].reshape(-1)
    return scores


def _check_method(servable: Servable, asked: str, method: str, word: str) -> None:
    """Whether a signature of a SavedModel is one for this method. Raises `RequestError`."""
    definitions = servable.runtime.definitions
    if asked not in servable.runtime.signatures:
        raise RequestError(
            f"No signature was found with the name: {asked}.{did_you_mean(asked, servable.runtime.signatures)}"
        )
    if definitions[asked].method_name != method:
        fitting = [name for name in servable.runtime.signatures if definitions[name].method_name == method]
        raise RequestError(
            f"Expected {word} signature method_name to be {method}. Was: {definitions[asked].method_name}. "
            + (f"Signatures for it: {', '.join(map(repr, fitting))}." if fitting else "The model has no such one.")
        )
    inputs = servable.runtime.signatures[asked].inputs
    if list(inputs) != [EXAMPLES] or inputs[EXAMPLES].dtype != STRING:
        given = ", ".join(f"{alias!r} of {dtype_name(spec.dtype)}" for alias, spec in inputs.items())
        raise RequestError(f"Expected one input Tensor, 'inputs', of serialized Examples. {asked!r} takes {given}.")


def _strings(examples: list[bytes]) -> np.ndarray:
    array = np.empty(len(examples), dtype=object)
    array[:] = examples
    return array


def _classes(labels: list[list[str]] | None, scores: np.ndarray | None) -> Any:
    result = wire.ClassificationResult()
    numbers = np.zeros(np.shape(labels or [])) if scores is None else scores
    texts = [[""] * numbers.shape[1]] * len(numbers) if labels is None else labels
    for row_texts, row in zip(texts, numbers.tolist(), strict=True):
        classes = result.classifications.add().classes
        for label, score in zip(row_texts, row, strict=True):
            classes.add(label=label, score=score)
    return result


def _values(values: np.ndarray) -> Any:
    result = wire.RegressionResult()
    for value in values.tolist():
        result.regressions.add(value=value)
    return result
