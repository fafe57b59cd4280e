from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional

DESCRIPTOR: _descriptor.FileDescriptor

class ErrorReason(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ERROR_REASON_UNSPECIFIED: _ClassVar[ErrorReason]
    ERROR_REASON_REQUEST_INVALID: _ClassVar[ErrorReason]
    ERROR_REASON_PAYLOAD_INVALID: _ClassVar[ErrorReason]
    ERROR_REASON_PAYLOAD_TOO_LARGE: _ClassVar[ErrorReason]
    ERROR_REASON_PAYLOAD_TOO_DEEP: _ClassVar[ErrorReason]
    ERROR_REASON_NUMBER_NOT_EXACT: _ClassVar[ErrorReason]
    ERROR_REASON_WORKFLOW_INVALID: _ClassVar[ErrorReason]
    ERROR_REASON_WORKFLOW_UNKNOWN: _ClassVar[ErrorReason]
    ERROR_REASON_WORKFLOW_ARCHIVED: _ClassVar[ErrorReason]
    ERROR_REASON_VERSION_UNKNOWN: _ClassVar[ErrorReason]
    ERROR_REASON_VARS_INVALID: _ClassVar[ErrorReason]
    ERROR_REASON_RUN_UNKNOWN: _ClassVar[ErrorReason]
    ERROR_REASON_RUN_EXISTS: _ClassVar[ErrorReason]
    ERROR_REASON_RUN_ENDED: _ClassVar[ErrorReason]
    ERROR_REASON_RUN_NOT_ENDED: _ClassVar[ErrorReason]
    ERROR_REASON_RUN_NOT_WAITING: _ClassVar[ErrorReason]
    ERROR_REASON_RUN_NOT_PAUSED: _ClassVar[ErrorReason]
    ERROR_REASON_WAIT_UNKNOWN: _ClassVar[ErrorReason]
    ERROR_REASON_WAIT_ALREADY_ANSWERED: _ClassVar[ErrorReason]
    ERROR_REASON_WAIT_NOT_ANSWERABLE: _ClassVar[ErrorReason]
    ERROR_REASON_ANSWER_INVALID: _ClassVar[ErrorReason]
    ERROR_REASON_STEP_RECORD_UNKNOWN: _ClassVar[ErrorReason]
    ERROR_REASON_CURSOR_INVALID: _ClassVar[ErrorReason]
    ERROR_REASON_CURSOR_EXPIRED: _ClassVar[ErrorReason]
    ERROR_REASON_PAGE_TOKEN_INVALID: _ClassVar[ErrorReason]
    ERROR_REASON_STREAM_TOO_SLOW: _ClassVar[ErrorReason]
    ERROR_REASON_TRANSITION_REJECTED: _ClassVar[ErrorReason]
    ERROR_REASON_TRANSITION_CONFLICT: _ClassVar[ErrorReason]
    ERROR_REASON_OVERLOADED: _ClassVar[ErrorReason]
    ERROR_REASON_DATABASE_UNAVAILABLE: _ClassVar[ErrorReason]
    ERROR_REASON_SHUTTING_DOWN: _ClassVar[ErrorReason]
    ERROR_REASON_ORIGIN_REFUSED: _ClassVar[ErrorReason]
    ERROR_REASON_HOST_REFUSED: _ClassVar[ErrorReason]
    ERROR_REASON_RPC_UNKNOWN: _ClassVar[ErrorReason]
    ERROR_REASON_JOB_UNKNOWN: _ClassVar[ErrorReason]
    ERROR_REASON_JOB_LEASE_LOST: _ClassVar[ErrorReason]
    ERROR_REASON_JOB_SETTLED: _ClassVar[ErrorReason]
    ERROR_REASON_JOB_CANCELLED: _ClassVar[ErrorReason]
    ERROR_REASON_WORKER_SESSION_REPLACED: _ClassVar[ErrorReason]
    ERROR_REASON_WORKER_SILENT: _ClassVar[ErrorReason]
    ERROR_REASON_DATA_DAMAGED: _ClassVar[ErrorReason]
ERROR_REASON_UNSPECIFIED: ErrorReason
ERROR_REASON_REQUEST_INVALID: ErrorReason
ERROR_REASON_PAYLOAD_INVALID: ErrorReason
ERROR_REASON_PAYLOAD_TOO_LARGE: ErrorReason
ERROR_REASON_PAYLOAD_TOO_DEEP: ErrorReason
ERROR_REASON_NUMBER_NOT_EXACT: ErrorReason
ERROR_REASON_WORKFLOW_INVALID: ErrorReason
ERROR_REASON_WORKFLOW_UNKNOWN: ErrorReason
ERROR_REASON_WORKFLOW_ARCHIVED: ErrorReason
ERROR_REASON_VERSION_UNKNOWN: ErrorReason
ERROR_REASON_VARS_INVALID: ErrorReason
ERROR_REASON_RUN_UNKNOWN: ErrorReason
ERROR_REASON_RUN_EXISTS: ErrorReason
ERROR_REASON_RUN_ENDED: ErrorReason
ERROR_REASON_RUN_NOT_ENDED: ErrorReason
ERROR_REASON_RUN_NOT_WAITING: ErrorReason
ERROR_REASON_RUN_NOT_PAUSED: ErrorReason
ERROR_REASON_WAIT_UNKNOWN: ErrorReason
ERROR_REASON_WAIT_ALREADY_ANSWERED: ErrorReason
ERROR_REASON_WAIT_NOT_ANSWERABLE: ErrorReason
ERROR_REASON_ANSWER_INVALID: ErrorReason
ERROR_REASON_STEP_RECORD_UNKNOWN: ErrorReason
ERROR_REASON_CURSOR_INVALID: ErrorReason
ERROR_REASON_CURSOR_EXPIRED: ErrorReason
ERROR_REASON_PAGE_TOKEN_INVALID: ErrorReason
ERROR_REASON_STREAM_TOO_SLOW: ErrorReason
ERROR_REASON_TRANSITION_REJECTED: ErrorReason
ERROR_REASON_TRANSITION_CONFLICT: ErrorReason
ERROR_REASON_OVERLOADED: ErrorReason
ERROR_REASON_DATABASE_UNAVAILABLE: ErrorReason
ERROR_REASON_SHUTTING_DOWN: ErrorReason
ERROR_REASON_ORIGIN_REFUSED: ErrorReason
ERROR_REASON_HOST_REFUSED: ErrorReason
ERROR_REASON_RPC_UNKNOWN: ErrorReason
ERROR_REASON_JOB_UNKNOWN: ErrorReason
ERROR_REASON_JOB_LEASE_LOST: ErrorReason
ERROR_REASON_JOB_SETTLED: ErrorReason
ERROR_REASON_JOB_CANCELLED: ErrorReason
ERROR_REASON_WORKER_SESSION_REPLACED: ErrorReason
ERROR_REASON_WORKER_SILENT: ErrorReason
ERROR_REASON_DATA_DAMAGED: ErrorReason

class Refusal(_message.Message):
    __slots__ = ("code", "reason", "message", "metadata")
    class MetadataEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    CODE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    code: int
    reason: str
    message: str
    metadata: _containers.ScalarMap[str, str]
    def __init__(self, code: _Optional[int] = ..., reason: _Optional[str] = ..., message: _Optional[str] = ..., metadata: _Optional[_Mapping[str, str]] = ...) -> None: ...
