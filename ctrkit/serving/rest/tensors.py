"""JSON values to tensors of a signature's types: nothing is rounded, cut or guessed."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Callable, Mapping
from itertools import chain
from typing import Any

import numpy as np

from ctrkit.errors import RequestError, did_you_mean
from ctrkit.serving.signatures import DTYPES, STRING, TensorSpec, dtype_name
from ctrkit.serving.wire import MAX_RANK

LONGEST_VALUE = 100  # Characters of a client's value that are shown.
BOOL = 10  # tensorflow.DataType.DT_BOOL.
_BASE64 = "b64"
_PERHAPS_HUGE = re.compile(rb"[eE]\+?[0-9]{3}|[0-9]{300}")  # Python would read 1e999 as infinite without a word.


def parse(body: bytes) -> dict[str, Any]:
    """Read a request's JSON object; NaN, Infinity and -Infinity are numbers. Raises `RequestError`."""
    if not body:
        raise RequestError("JSON Parse error: The document is empty")
    try:
        found = json.loads(body, parse_float=_float if _PERHAPS_HUGE.search(body) else None)
    except RecursionError:
        raise RequestError("JSON Parse error: lists or objects are nested too deeply.") from None
    except ValueError as error:  # A UnicodeDecodeError too, and an integer of thousands of digits.
        raise RequestError(f"JSON Parse error: {error}") from None
    if not isinstance(found, dict):
        raise RequestError(f'JSON Value: {shown(found)} Is not object. Expected e.g. {{"instances": [...]}}.')
    return found


def _float(text: str) -> float:
    value = float(text)
    if value in (np.inf, -np.inf):
        raise ValueError(f"Number too big to be stored in double: {text[:40]}")
    return value


def inputs_of(document: Mapping[str, Any], specs: Mapping[str, TensorSpec]) -> tuple[bool, dict[str, np.ndarray]]:
    """Whether the request is in rows ("instances"), and its inputs as arrays. Raises `RequestError`."""
    by_row = "instances" in document
    if by_row == ("inputs" in document):
        if by_row:
            raise RequestError("Not formatted correctly expecting only one of 'inputs' or 'instances' keys to exist.")
        near = did_you_mean(next(iter(document)), ["inputs", "instances"]) if document else ""
        raise RequestError(f"Missing 'inputs' or 'instances' key.{near}")
    if not specs:
        raise RequestError("Failed to get input map for signature: it takes no inputs. Ask for it over gRPC.")
    return by_row, _rows(document["instances"], specs) if by_row else _columns(document["inputs"], specs)


def _rows(instances: Any, specs: Mapping[str, TensorSpec]) -> dict[str, np.ndarray]:
    if not isinstance(instances, list):
        raise RequestError(f"JSON Value: {shown(instances)} Excepting 'instances' to be an list/array.")
    if not instances:
        raise RequestError("No values in 'instances' array.")
    if not _is_object(instances[0]):
        if len(specs) > 1:
            raise RequestError(
                "instances is a plain list, but expecting list of objects as multiple input tensors required as per "
                f"tensorinfo_map: {', '.join(map(repr, specs))}."
            )
        for number, one in enumerate(instances):
            if _is_object(one):
                raise RequestError(f"Expecting value/list but got object at item {number} of input list.")
        ((name, spec),) = specs.items()
        return {name: _tensor(instances, spec, name)}
    for number, one in enumerate(instances):
        if not _is_object(one):
            raise RequestError(f"Expecting object but got list at item {number} of input list.")
        if one.keys() != specs.keys():
            other = next(iter(sorted(one.keys() ^ specs.keys())))
            what = f"{other!r} is missing" if other in specs else f"{other!r} is no input.{did_you_mean(other, specs)}"
            raise RequestError(
                f"Failed to process element: {number} of 'instances' list: {what} (JSON object keys must be equal to: "
                f"{','.join(sorted(specs))})."
            )
    return {name: _tensor([one[name] for one in instances], spec, name) for name, spec in specs.items()}


def _columns(inputs: Any, specs: Mapping[str, TensorSpec]) -> dict[str, np.ndarray]:
    if not _is_object(inputs):
        if len(specs) > 1:
            raise RequestError(
                "inputs is a plain value/list, but expecting an object as multiple input tensors required as per "
                f"tensorinfo_map: {', '.join(map(repr, specs))}."
            )
        ((name, spec),) = specs.items()
        return {name: _tensor(inputs, spec, name)}
    for name in inputs:
        if name not in specs:  # TensorFlow Serving passes it over, so that a misspelt optional input is lost.
            raise RequestError(f"'inputs' object: there is no input {name!r}.{did_you_mean(name, specs)}")
    for name in specs:
        if name not in inputs:
            raise RequestError(f"Missing named input: {name} in 'inputs' object.")
    return {name: _tensor(inputs[name], spec, name) for name, spec in specs.items()}


def _tensor(value: Any, spec: TensorSpec, name: str) -> np.ndarray:
    """Nested lists to an array: all lists of a level are as long, all values lie at one level and have one type."""
    shape: list[int] = []
    level = [value]
    while level and isinstance(level[0], list):
        length = len(level[0])
        for one in level:
            if type(one) is not list:
                raise RequestError(f"Input {name!r}: JSON Value: {shown(one)} beside a list, expected lists only.")
            if len(one) != length:
                raise RequestError(
                    f"Input {name!r}: Encountered list at unexpected size: {len(one)} at level: {len(shape)} expected "
                    f"size: {length}."
                )
        shape.append(length)
        if len(shape) > MAX_RANK:
            raise RequestError(f"Input {name!r}: lists are nested deeper than {MAX_RANK}.")
        level = list(chain.from_iterable(level))
    return _flat(level, spec.dtype, name).reshape(shape)


def _flat(values: list[Any], dtype: int, name: str) -> np.ndarray:
    if dtype not in DTYPES:
        raise RequestError(f"Input {name!r}: {dtype_name(dtype)} cannot be sent as JSON. Use gRPC.")
    wanted = DTYPES[dtype][1]
    if dtype == STRING:
        array = np.empty(len(values), dtype=object)
        array[:] = [_bytes(value, name) for value in values]
        return array
    kinds = {bool} if dtype == BOOL else {int, float} if wanted.kind == "f" else {int}
    if not set(map(type, values)) <= kinds:  # Of their exact types: True is no number.
        bad = next(value for value in values if type(value) not in kinds)
        raise RequestError(
            f"Input {name!r}: JSON Value: {shown(bad)} Type: {_kind(bad)} is not of expected type: {dtype_name(dtype)}"
        )
    if dtype == BOOL:
        return np.array(values, dtype=bool)
    return _integers(values, wanted, name) if wanted.kind in "iu" else _floats(values, wanted, name)


def _integers(values: list[Any], wanted: np.dtype[Any], name: str) -> np.ndarray:
    bounds = np.iinfo(wanted)
    if values and not (min(values) >= bounds.min and max(values) <= bounds.max):
        bad = next(value for value in values if not bounds.min <= value <= bounds.max)
        raise RequestError(
            f"Input {name!r}: JSON Value: {shown(bad)} is not of expected type: {wanted.name}, which holds "
            f"{bounds.min} to {bounds.max}."
        )
    return np.array(values, dtype=wanted)


def _floats(values: list[Any], wanted: np.dtype[Any], name: str) -> np.ndarray:
    limits = np.finfo(wanted)
    whole = 2 ** (limits.nmant + 1) - 1  # The largest number up to which all integers are held.
    largest = float(limits.max)

    def lossy(value: Any) -> bool:
        if type(value) is int:
            return abs(value) > whole
        return abs(value) > largest and value not in (np.inf, -np.inf)

    _refuse(values, lossy, f"to {wanted.name} without loss of precision", name)
    return np.array(values, dtype=wanted)


def _refuse(values: list[Any], is_bad: Callable[[Any], bool], what: str, name: str) -> None:
    for value in values:
        if is_bad(value):
            raise RequestError(f"Input {name!r}: Cannot convert JSON value: {shown(value)} {what}.")


def _bytes(value: Any, name: str) -> bytes:
    if isinstance(value, str):
        try:
            return value.encode()
        except UnicodeEncodeError:  # Half of a surrogate pair.
            raise RequestError(f"Input {name!r}: JSON Value: {shown(value)} is no text of Unicode.") from None
    return decoded(value, f"Input {name!r}")


def decoded(value: Any, where: str) -> bytes:
    """The bytes of a `{"b64": "..."}` object. Raises `RequestError`."""
    if not is_base64(value):
        raise RequestError(f"{where}: JSON Value: {shown(value)} Type: {_kind(value)} is not of expected type: string")
    try:
        return base64.b64decode(value[_BASE64], validate=True)
    except (binascii.Error, ValueError):
        raise RequestError(f"{where}: Unable to base64 decode {shown(value[_BASE64])}.") from None


def is_base64(value: Any) -> bool:
    """Whether a JSON value stands for bytes."""
    return isinstance(value, dict) and len(value) == 1 and isinstance(value.get(_BASE64), str)


def shown(value: Any) -> str:
    """A value of a client as it is quoted in an error."""
    text = json.dumps(value)[: LONGEST_VALUE + 1]
    return text if len(text) <= LONGEST_VALUE else text[:LONGEST_VALUE] + "…"


def _is_object(value: Any) -> bool:
    return isinstance(value, dict) and not is_base64(value)


def _kind(value: Any) -> str:
    if value is None:
        return "Null"
    kinds = {bool: str(value), int: "Number", float: "Number", str: "String", list: "Array", dict: "Object"}
    return kinds[type(value)]
