import datetime

from abstractruntime.v1 import failure_pb2 as _failure_pb2
from abstractruntime.v1 import wait_pb2 as _wait_pb2
from google.protobuf import struct_pb2 as _struct_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class StepStatus(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    STEP_STATUS_UNSPECIFIED: _ClassVar[StepStatus]
    STEP_STATUS_STARTED: _ClassVar[StepStatus]
    STEP_STATUS_COMPLETED: _ClassVar[StepStatus]
    STEP_STATUS_WAITING: _ClassVar[StepStatus]
    STEP_STATUS_FAILED: _ClassVar[StepStatus]
    STEP_STATUS_CANCELLED: _ClassVar[StepStatus]

class PatchOpKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PATCH_OP_KIND_UNSPECIFIED: _ClassVar[PatchOpKind]
    PATCH_OP_KIND_SET: _ClassVar[PatchOpKind]
    PATCH_OP_KIND_APPEND: _ClassVar[PatchOpKind]
    PATCH_OP_KIND_UNSET: _ClassVar[PatchOpKind]

class PatchSource(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PATCH_SOURCE_UNSPECIFIED: _ClassVar[PatchSource]
    PATCH_SOURCE_GIVEN: _ClassVar[PatchSource]
    PATCH_SOURCE_RESULT: _ClassVar[PatchSource]
    PATCH_SOURCE_CALLS: _ClassVar[PatchSource]
STEP_STATUS_UNSPECIFIED: StepStatus
STEP_STATUS_STARTED: StepStatus
STEP_STATUS_COMPLETED: StepStatus
STEP_STATUS_WAITING: StepStatus
STEP_STATUS_FAILED: StepStatus
STEP_STATUS_CANCELLED: StepStatus
PATCH_OP_KIND_UNSPECIFIED: PatchOpKind
PATCH_OP_KIND_SET: PatchOpKind
PATCH_OP_KIND_APPEND: PatchOpKind
PATCH_OP_KIND_UNSET: PatchOpKind
PATCH_SOURCE_UNSPECIFIED: PatchSource
PATCH_SOURCE_GIVEN: PatchSource
PATCH_SOURCE_RESULT: PatchSource
PATCH_SOURCE_CALLS: PatchSource

class StepRecord(_message.Message):
    __slots__ = ("run_id", "seq", "time", "kind", "status", "node_id", "attempt", "epoch", "actor_id", "idempotency_key", "effect", "result", "error", "patch", "wait", "next_node", "output", "reason", "request_id", "workflow_digest", "hash", "proof", "call_id", "retry_time", "damage")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    SEQ_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    ACTOR_ID_FIELD_NUMBER: _ClassVar[int]
    IDEMPOTENCY_KEY_FIELD_NUMBER: _ClassVar[int]
    EFFECT_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    PATCH_FIELD_NUMBER: _ClassVar[int]
    WAIT_FIELD_NUMBER: _ClassVar[int]
    NEXT_NODE_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    WORKFLOW_DIGEST_FIELD_NUMBER: _ClassVar[int]
    HASH_FIELD_NUMBER: _ClassVar[int]
    PROOF_FIELD_NUMBER: _ClassVar[int]
    CALL_ID_FIELD_NUMBER: _ClassVar[int]
    RETRY_TIME_FIELD_NUMBER: _ClassVar[int]
    DAMAGE_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    seq: int
    time: _timestamp_pb2.Timestamp
    kind: str
    status: StepStatus
    node_id: str
    attempt: int
    epoch: int
    actor_id: str
    idempotency_key: str
    effect: Effect
    result: _struct_pb2.Value
    error: _failure_pb2.Failure
    patch: _containers.RepeatedCompositeFieldContainer[PatchOp]
    wait: _wait_pb2.Wait
    next_node: str
    output: _struct_pb2.Value
    reason: str
    request_id: str
    workflow_digest: str
    hash: str
    proof: StepProof
    call_id: str
    retry_time: _timestamp_pb2.Timestamp
    damage: str
    def __init__(self, run_id: _Optional[str] = ..., seq: _Optional[int] = ..., time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., kind: _Optional[str] = ..., status: _Optional[_Union[StepStatus, str]] = ..., node_id: _Optional[str] = ..., attempt: _Optional[int] = ..., epoch: _Optional[int] = ..., actor_id: _Optional[str] = ..., idempotency_key: _Optional[str] = ..., effect: _Optional[_Union[Effect, _Mapping]] = ..., result: _Optional[_Union[_struct_pb2.Value, _Mapping]] = ..., error: _Optional[_Union[_failure_pb2.Failure, _Mapping]] = ..., patch: _Optional[_Iterable[_Union[PatchOp, _Mapping]]] = ..., wait: _Optional[_Union[_wait_pb2.Wait, _Mapping]] = ..., next_node: _Optional[str] = ..., output: _Optional[_Union[_struct_pb2.Value, _Mapping]] = ..., reason: _Optional[str] = ..., request_id: _Optional[str] = ..., workflow_digest: _Optional[str] = ..., hash: _Optional[str] = ..., proof: _Optional[_Union[StepProof, _Mapping]] = ..., call_id: _Optional[str] = ..., retry_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., damage: _Optional[str] = ...) -> None: ...

class Effect(_message.Message):
    __slots__ = ("type", "payload")
    TYPE_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_FIELD_NUMBER: _ClassVar[int]
    type: str
    payload: _struct_pb2.Value
    def __init__(self, type: _Optional[str] = ..., payload: _Optional[_Union[_struct_pb2.Value, _Mapping]] = ...) -> None: ...

class PatchOp(_message.Message):
    __slots__ = ("op", "path", "value", "values", "of", "at")
    OP_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    VALUES_FIELD_NUMBER: _ClassVar[int]
    OF_FIELD_NUMBER: _ClassVar[int]
    AT_FIELD_NUMBER: _ClassVar[int]
    op: PatchOpKind
    path: str
    value: _struct_pb2.Value
    values: _containers.RepeatedCompositeFieldContainer[_struct_pb2.Value]
    of: PatchSource
    at: str
    def __init__(self, op: _Optional[_Union[PatchOpKind, str]] = ..., path: _Optional[str] = ..., value: _Optional[_Union[_struct_pb2.Value, _Mapping]] = ..., values: _Optional[_Iterable[_Union[_struct_pb2.Value, _Mapping]]] = ..., of: _Optional[_Union[PatchSource, str]] = ..., at: _Optional[str] = ...) -> None: ...

class StepProof(_message.Message):
    __slots__ = ("header_json", "body_json", "given", "salts")
    class SaltsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: bytes
        def __init__(self, key: _Optional[str] = ..., value: _Optional[bytes] = ...) -> None: ...
    HEADER_JSON_FIELD_NUMBER: _ClassVar[int]
    BODY_JSON_FIELD_NUMBER: _ClassVar[int]
    GIVEN_FIELD_NUMBER: _ClassVar[int]
    SALTS_FIELD_NUMBER: _ClassVar[int]
    header_json: str
    body_json: str
    given: bytes
    salts: _containers.ScalarMap[str, bytes]
    def __init__(self, header_json: _Optional[str] = ..., body_json: _Optional[str] = ..., given: _Optional[bytes] = ..., salts: _Optional[_Mapping[str, bytes]] = ...) -> None: ...
