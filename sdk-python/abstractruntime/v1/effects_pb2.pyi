from abstractruntime.v1 import event_pb2 as _event_pb2
from google.protobuf import struct_pb2 as _struct_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ToolFailure(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    TOOL_FAILURE_UNSPECIFIED: _ClassVar[ToolFailure]
    TOOL_FAILURE_AS_DATA: _ClassVar[ToolFailure]
    TOOL_FAILURE_AS_ERROR: _ClassVar[ToolFailure]
TOOL_FAILURE_UNSPECIFIED: ToolFailure
TOOL_FAILURE_AS_DATA: ToolFailure
TOOL_FAILURE_AS_ERROR: ToolFailure

class AskUser(_message.Message):
    __slots__ = ("prompt", "details", "choices", "allow_free_text", "answer_schema", "assignees", "timeout", "default_answer")
    PROMPT_FIELD_NUMBER: _ClassVar[int]
    DETAILS_FIELD_NUMBER: _ClassVar[int]
    CHOICES_FIELD_NUMBER: _ClassVar[int]
    ALLOW_FREE_TEXT_FIELD_NUMBER: _ClassVar[int]
    ANSWER_SCHEMA_FIELD_NUMBER: _ClassVar[int]
    ASSIGNEES_FIELD_NUMBER: _ClassVar[int]
    TIMEOUT_FIELD_NUMBER: _ClassVar[int]
    DEFAULT_ANSWER_FIELD_NUMBER: _ClassVar[int]
    prompt: str
    details: _struct_pb2.Value
    choices: _struct_pb2.Value
    allow_free_text: bool
    answer_schema: _struct_pb2.Struct
    assignees: _containers.RepeatedScalarFieldContainer[str]
    timeout: str
    default_answer: _struct_pb2.Value
    def __init__(self, prompt: _Optional[str] = ..., details: _Optional[_Union[_struct_pb2.Value, _Mapping]] = ..., choices: _Optional[_Union[_struct_pb2.Value, _Mapping]] = ..., allow_free_text: _Optional[bool] = ..., answer_schema: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., assignees: _Optional[_Iterable[str]] = ..., timeout: _Optional[str] = ..., default_answer: _Optional[_Union[_struct_pb2.Value, _Mapping]] = ...) -> None: ...

class WaitUntil(_message.Message):
    __slots__ = ("at", "after")
    AT_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    at: str
    after: str
    def __init__(self, at: _Optional[str] = ..., after: _Optional[str] = ...) -> None: ...

class WaitEvent(_message.Message):
    __slots__ = ("names", "scope", "key", "timeout")
    NAMES_FIELD_NUMBER: _ClassVar[int]
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    TIMEOUT_FIELD_NUMBER: _ClassVar[int]
    names: _containers.RepeatedScalarFieldContainer[str]
    scope: _event_pb2.Scope
    key: str
    timeout: str
    def __init__(self, names: _Optional[_Iterable[str]] = ..., scope: _Optional[_Union[_event_pb2.Scope, str]] = ..., key: _Optional[str] = ..., timeout: _Optional[str] = ...) -> None: ...

class EmitEvent(_message.Message):
    __slots__ = ("name", "scope", "key", "payload", "event_id")
    NAME_FIELD_NUMBER: _ClassVar[int]
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_FIELD_NUMBER: _ClassVar[int]
    EVENT_ID_FIELD_NUMBER: _ClassVar[int]
    name: str
    scope: _event_pb2.Scope
    key: str
    payload: _struct_pb2.Value
    event_id: str
    def __init__(self, name: _Optional[str] = ..., scope: _Optional[_Union[_event_pb2.Scope, str]] = ..., key: _Optional[str] = ..., payload: _Optional[_Union[_struct_pb2.Value, _Mapping]] = ..., event_id: _Optional[str] = ...) -> None: ...

class AnswerUser(_message.Message):
    __slots__ = ("message",)
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    message: str
    def __init__(self, message: _Optional[str] = ...) -> None: ...

class ToolCalls(_message.Message):
    __slots__ = ("calls", "calls_from", "require_approval", "on_failure")
    CALLS_FIELD_NUMBER: _ClassVar[int]
    CALLS_FROM_FIELD_NUMBER: _ClassVar[int]
    REQUIRE_APPROVAL_FIELD_NUMBER: _ClassVar[int]
    ON_FAILURE_FIELD_NUMBER: _ClassVar[int]
    calls: _containers.RepeatedCompositeFieldContainer[ToolCall]
    calls_from: str
    require_approval: bool
    on_failure: ToolFailure
    def __init__(self, calls: _Optional[_Iterable[_Union[ToolCall, _Mapping]]] = ..., calls_from: _Optional[str] = ..., require_approval: _Optional[bool] = ..., on_failure: _Optional[_Union[ToolFailure, str]] = ...) -> None: ...

class ToolCall(_message.Message):
    __slots__ = ("name", "arguments", "call_id")
    NAME_FIELD_NUMBER: _ClassVar[int]
    ARGUMENTS_FIELD_NUMBER: _ClassVar[int]
    CALL_ID_FIELD_NUMBER: _ClassVar[int]
    name: str
    arguments: _struct_pb2.Value
    call_id: str
    def __init__(self, name: _Optional[str] = ..., arguments: _Optional[_Union[_struct_pb2.Value, _Mapping]] = ..., call_id: _Optional[str] = ...) -> None: ...

class Custom(_message.Message):
    __slots__ = ("type", "payload")
    TYPE_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_FIELD_NUMBER: _ClassVar[int]
    type: str
    payload: _struct_pb2.Value
    def __init__(self, type: _Optional[str] = ..., payload: _Optional[_Union[_struct_pb2.Value, _Mapping]] = ...) -> None: ...
