"""What a status of gRPC means to whoever asked for scores."""

from __future__ import annotations

import grpc

from ctrkit.errors import CtrkitError, IndexMismatchError, RequestError, ServingError

LOADING = "Model "  # How a server's own UNAVAILABLE begins, as against one of gRPC's.
OTHER_INDEX = "The ids were made with index"  # How the embedded server refuses ids of another index.


class NotServedError(ServingError):
    """The server has no such model, version or label."""


def explained(code: grpc.StatusCode | None, details: str, target: str, seconds: float) -> CtrkitError:
    """The error for a failed call to `target` that had `seconds`."""
    if code in (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.OUT_OF_RANGE):
        return RequestError(f"{target} refused the request: {details}")
    if code is grpc.StatusCode.FAILED_PRECONDITION and details.startswith(OTHER_INDEX):
        return IndexMismatchError(f"{target} refused the request: {details}")
    if code is grpc.StatusCode.FAILED_PRECONDITION:  # No such signature, as TensorFlow Serving says it.
        return RequestError(f"{target} refused the request: {details}")
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return ServingError(
            f"{target} did not answer within {seconds:g} s. Is it overloaded, or no model server? Allow more "
            "with `deadline=` (seconds)."
        )
    if code is grpc.StatusCode.UNAVAILABLE and not details.startswith(LOADING):
        return ServingError(
            f"No server answers at {target} (tried to connect over gRPC: {details}). Start one with "
            f"`ctrkit serve`, or `python -m ctrkit.serving.server PATH --port {target.rpartition(':')[2]}`, "
            "or name the address where yours listens."
        )
    if code is grpc.StatusCode.CANCELLED:  # How gRPC itself refuses, before a server's own queue is asked.
        return ServingError(
            f"{target} is overloaded and refused the call unread ({details}). Send less, or add servers."
        )
    if code is grpc.StatusCode.UNIMPLEMENTED:
        return ServingError(f"{target} is a gRPC server, but not one that serves models ({details}).")
    name = "no status" if code is None else code.name
    kind = NotServedError if code is grpc.StatusCode.NOT_FOUND else ServingError
    return kind(f"{target} answered {name}: {details}")
