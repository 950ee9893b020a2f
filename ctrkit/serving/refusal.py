"""A request refused with a gRPC status other than INVALID_ARGUMENT."""

from __future__ import annotations

import grpc
from google.protobuf.message import DecodeError

from ctrkit.errors import CtrkitError, RequestError
from ctrkit.serving.tensorflow_c import SessionError

_BY_NUMBER = {code.value[0]: code for code in grpc.StatusCode}


class Refusal(RequestError):
    """`code` says what a caller may do about it: NOT_FOUND, UNAVAILABLE (try again), FAILED_PRECONDITION, …"""

    def __init__(self, message: str, code: grpc.StatusCode) -> None:
        super().__init__(message)
        self.code = code


def status_of(error: CtrkitError) -> grpc.StatusCode:
    """The gRPC status for an error that was raised on purpose."""
    if isinstance(error, Refusal):
        return error.code
    if isinstance(error, SessionError):  # TensorFlow's codes are gRPC's.
        return _BY_NUMBER.get(error.code, grpc.StatusCode.UNKNOWN)
    return grpc.StatusCode.INVALID_ARGUMENT if isinstance(error, RequestError) else grpc.StatusCode.INTERNAL


def failure(error: Exception) -> tuple[grpc.StatusCode, str]:
    """The status and the text for whatever answering a request raised."""
    if isinstance(error, DecodeError):
        return grpc.StatusCode.INVALID_ARGUMENT, f"The message is not a request of this method: {error}."
    if isinstance(error, CtrkitError):
        return status_of(error), str(error)
    return grpc.StatusCode.INTERNAL, f"{type(error).__name__}: {error}"
