import datetime

from abstractruntime.v1 import event_pb2 as _event_pb2
from google.protobuf import struct_pb2 as _struct_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class WaitReason(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    WAIT_REASON_UNSPECIFIED: _ClassVar[WaitReason]
    WAIT_REASON_EVENT: _ClassVar[WaitReason]
    WAIT_REASON_UNTIL: _ClassVar[WaitReason]
    WAIT_REASON_USER: _ClassVar[WaitReason]
    WAIT_REASON_JOB: _ClassVar[WaitReason]
    WAIT_REASON_SUBWORKFLOW: _ClassVar[WaitReason]
WAIT_REASON_UNSPECIFIED: WaitReason
WAIT_REASON_EVENT: WaitReason
WAIT_REASON_UNTIL: WaitReason
WAIT_REASON_USER: WaitReason
WAIT_REASON_JOB: WaitReason
WAIT_REASON_SUBWORKFLOW: WaitReason

class Wait(_message.Message):
    __slots__ = ("wait_id", "run_id", "workflow_id", "node_id", "session_id", "labels", "reason", "prompt", "details", "choices", "allow_free_text", "answer_schema", "assignees", "names", "scope", "key", "due_time", "create_time", "close_time", "answered_by", "damage")
    class LabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    WAIT_ID_FIELD_NUMBER: _ClassVar[int]
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    WORKFLOW_ID_FIELD_NUMBER: _ClassVar[int]
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    PROMPT_FIELD_NUMBER: _ClassVar[int]
    DETAILS_FIELD_NUMBER: _ClassVar[int]
    CHOICES_FIELD_NUMBER: _ClassVar[int]
    ALLOW_FREE_TEXT_FIELD_NUMBER: _ClassVar[int]
    ANSWER_SCHEMA_FIELD_NUMBER: _ClassVar[int]
    ASSIGNEES_FIELD_NUMBER: _ClassVar[int]
    NAMES_FIELD_NUMBER: _ClassVar[int]
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    DUE_TIME_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    CLOSE_TIME_FIELD_NUMBER: _ClassVar[int]
    ANSWERED_BY_FIELD_NUMBER: _ClassVar[int]
    DAMAGE_FIELD_NUMBER: _ClassVar[int]
    wait_id: str
    run_id: str
    workflow_id: str
    node_id: str
    session_id: str
    labels: _containers.ScalarMap[str, str]
    reason: WaitReason
    prompt: str
    details: _struct_pb2.Value
    choices: _struct_pb2.Value
    allow_free_text: bool
    answer_schema: _struct_pb2.Struct
    assignees: _containers.RepeatedScalarFieldContainer[str]
    names: _containers.RepeatedScalarFieldContainer[str]
    scope: _event_pb2.Scope
    key: str
    due_time: _timestamp_pb2.Timestamp
    create_time: _timestamp_pb2.Timestamp
    close_time: _timestamp_pb2.Timestamp
    answered_by: str
    damage: str
    def __init__(self, wait_id: _Optional[str] = ..., run_id: _Optional[str] = ..., workflow_id: _Optional[str] = ..., node_id: _Optional[str] = ..., session_id: _Optional[str] = ..., labels: _Optional[_Mapping[str, str]] = ..., reason: _Optional[_Union[WaitReason, str]] = ..., prompt: _Optional[str] = ..., details: _Optional[_Union[_struct_pb2.Value, _Mapping]] = ..., choices: _Optional[_Union[_struct_pb2.Value, _Mapping]] = ..., allow_free_text: _Optional[bool] = ..., answer_schema: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., assignees: _Optional[_Iterable[str]] = ..., names: _Optional[_Iterable[str]] = ..., scope: _Optional[_Union[_event_pb2.Scope, str]] = ..., key: _Optional[str] = ..., due_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., close_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., answered_by: _Optional[str] = ..., damage: _Optional[str] = ...) -> None: ...

class WaitFilter(_message.Message):
    __slots__ = ("reasons", "workflow_id", "session_id", "run_id", "assignee", "labels")
    class LabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    REASONS_FIELD_NUMBER: _ClassVar[int]
    WORKFLOW_ID_FIELD_NUMBER: _ClassVar[int]
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    ASSIGNEE_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    reasons: _containers.RepeatedScalarFieldContainer[WaitReason]
    workflow_id: str
    session_id: str
    run_id: str
    assignee: str
    labels: _containers.ScalarMap[str, str]
    def __init__(self, reasons: _Optional[_Iterable[_Union[WaitReason, str]]] = ..., workflow_id: _Optional[str] = ..., session_id: _Optional[str] = ..., run_id: _Optional[str] = ..., assignee: _Optional[str] = ..., labels: _Optional[_Mapping[str, str]] = ...) -> None: ...
