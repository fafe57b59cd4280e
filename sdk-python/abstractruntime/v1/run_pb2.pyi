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

class RunStatus(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    RUN_STATUS_UNSPECIFIED: _ClassVar[RunStatus]
    RUN_STATUS_RUNNING: _ClassVar[RunStatus]
    RUN_STATUS_WAITING: _ClassVar[RunStatus]
    RUN_STATUS_COMPLETED: _ClassVar[RunStatus]
    RUN_STATUS_FAILED: _ClassVar[RunStatus]
    RUN_STATUS_CANCELLED: _ClassVar[RunStatus]

class BlockedReason(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    BLOCKED_REASON_UNSPECIFIED: _ClassVar[BlockedReason]
    BLOCKED_REASON_NO_WORKER: _ClassVar[BlockedReason]
    BLOCKED_REASON_RETRY_AT: _ClassVar[BlockedReason]
    BLOCKED_REASON_RATE_LIMIT: _ClassVar[BlockedReason]

class RunView(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    RUN_VIEW_UNSPECIFIED: _ClassVar[RunView]
    RUN_VIEW_BASIC: _ClassVar[RunView]
    RUN_VIEW_FULL: _ClassVar[RunView]

class RunOrder(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    RUN_ORDER_UNSPECIFIED: _ClassVar[RunOrder]
    RUN_ORDER_CREATE_TIME_DESC: _ClassVar[RunOrder]
    RUN_ORDER_CREATE_TIME_ASC: _ClassVar[RunOrder]
    RUN_ORDER_UPDATE_TIME_DESC: _ClassVar[RunOrder]
RUN_STATUS_UNSPECIFIED: RunStatus
RUN_STATUS_RUNNING: RunStatus
RUN_STATUS_WAITING: RunStatus
RUN_STATUS_COMPLETED: RunStatus
RUN_STATUS_FAILED: RunStatus
RUN_STATUS_CANCELLED: RunStatus
BLOCKED_REASON_UNSPECIFIED: BlockedReason
BLOCKED_REASON_NO_WORKER: BlockedReason
BLOCKED_REASON_RETRY_AT: BlockedReason
BLOCKED_REASON_RATE_LIMIT: BlockedReason
RUN_VIEW_UNSPECIFIED: RunView
RUN_VIEW_BASIC: RunView
RUN_VIEW_FULL: RunView
RUN_ORDER_UNSPECIFIED: RunOrder
RUN_ORDER_CREATE_TIME_DESC: RunOrder
RUN_ORDER_CREATE_TIME_ASC: RunOrder
RUN_ORDER_UPDATE_TIME_DESC: RunOrder

class Run(_message.Message):
    __slots__ = ("run_id", "workflow_id", "version", "status", "paused", "current_node", "vars", "output", "error", "waiting", "blocked_reason", "session_id", "actor_id", "parent_run_id", "root_run_id", "labels", "seq", "usage", "create_time", "update_time", "end_time", "damage")
    class LabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    WORKFLOW_ID_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    PAUSED_FIELD_NUMBER: _ClassVar[int]
    CURRENT_NODE_FIELD_NUMBER: _ClassVar[int]
    VARS_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    WAITING_FIELD_NUMBER: _ClassVar[int]
    BLOCKED_REASON_FIELD_NUMBER: _ClassVar[int]
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    ACTOR_ID_FIELD_NUMBER: _ClassVar[int]
    PARENT_RUN_ID_FIELD_NUMBER: _ClassVar[int]
    ROOT_RUN_ID_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    SEQ_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    UPDATE_TIME_FIELD_NUMBER: _ClassVar[int]
    END_TIME_FIELD_NUMBER: _ClassVar[int]
    DAMAGE_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    workflow_id: str
    version: int
    status: RunStatus
    paused: bool
    current_node: str
    vars: _struct_pb2.Struct
    output: _struct_pb2.Value
    error: _failure_pb2.Failure
    waiting: _wait_pb2.Wait
    blocked_reason: BlockedReason
    session_id: str
    actor_id: str
    parent_run_id: str
    root_run_id: str
    labels: _containers.ScalarMap[str, str]
    seq: int
    usage: Usage
    create_time: _timestamp_pb2.Timestamp
    update_time: _timestamp_pb2.Timestamp
    end_time: _timestamp_pb2.Timestamp
    damage: str
    def __init__(self, run_id: _Optional[str] = ..., workflow_id: _Optional[str] = ..., version: _Optional[int] = ..., status: _Optional[_Union[RunStatus, str]] = ..., paused: _Optional[bool] = ..., current_node: _Optional[str] = ..., vars: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., output: _Optional[_Union[_struct_pb2.Value, _Mapping]] = ..., error: _Optional[_Union[_failure_pb2.Failure, _Mapping]] = ..., waiting: _Optional[_Union[_wait_pb2.Wait, _Mapping]] = ..., blocked_reason: _Optional[_Union[BlockedReason, str]] = ..., session_id: _Optional[str] = ..., actor_id: _Optional[str] = ..., parent_run_id: _Optional[str] = ..., root_run_id: _Optional[str] = ..., labels: _Optional[_Mapping[str, str]] = ..., seq: _Optional[int] = ..., usage: _Optional[_Union[Usage, _Mapping]] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., update_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., end_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., damage: _Optional[str] = ...) -> None: ...

class Usage(_message.Message):
    __slots__ = ("steps",)
    STEPS_FIELD_NUMBER: _ClassVar[int]
    steps: int
    def __init__(self, steps: _Optional[int] = ...) -> None: ...

class RunFilter(_message.Message):
    __slots__ = ("workflow_id", "version", "statuses", "session_id", "actor_id", "parent_run_id", "root_run_id", "labels", "paused", "waiting_reasons", "create_time_after", "create_time_before")
    class LabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    WORKFLOW_ID_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    STATUSES_FIELD_NUMBER: _ClassVar[int]
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    ACTOR_ID_FIELD_NUMBER: _ClassVar[int]
    PARENT_RUN_ID_FIELD_NUMBER: _ClassVar[int]
    ROOT_RUN_ID_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    PAUSED_FIELD_NUMBER: _ClassVar[int]
    WAITING_REASONS_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_AFTER_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_BEFORE_FIELD_NUMBER: _ClassVar[int]
    workflow_id: str
    version: int
    statuses: _containers.RepeatedScalarFieldContainer[RunStatus]
    session_id: str
    actor_id: str
    parent_run_id: str
    root_run_id: str
    labels: _containers.ScalarMap[str, str]
    paused: bool
    waiting_reasons: _containers.RepeatedScalarFieldContainer[_wait_pb2.WaitReason]
    create_time_after: _timestamp_pb2.Timestamp
    create_time_before: _timestamp_pb2.Timestamp
    def __init__(self, workflow_id: _Optional[str] = ..., version: _Optional[int] = ..., statuses: _Optional[_Iterable[_Union[RunStatus, str]]] = ..., session_id: _Optional[str] = ..., actor_id: _Optional[str] = ..., parent_run_id: _Optional[str] = ..., root_run_id: _Optional[str] = ..., labels: _Optional[_Mapping[str, str]] = ..., paused: _Optional[bool] = ..., waiting_reasons: _Optional[_Iterable[_Union[_wait_pb2.WaitReason, str]]] = ..., create_time_after: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., create_time_before: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...
