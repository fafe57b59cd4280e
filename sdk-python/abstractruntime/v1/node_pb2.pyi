from abstractruntime.v1 import effect_policy_pb2 as _effect_policy_pb2
from abstractruntime.v1 import effects_pb2 as _effects_pb2
from google.protobuf import struct_pb2 as _struct_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Node(_message.Message):
    __slots__ = ("description", "ask_user", "wait_until", "wait_event", "emit_event", "answer_user", "tool_calls", "custom", "assign", "handler", "complete", "fail", "result_key", "next", "on_error", "policy")
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    ASK_USER_FIELD_NUMBER: _ClassVar[int]
    WAIT_UNTIL_FIELD_NUMBER: _ClassVar[int]
    WAIT_EVENT_FIELD_NUMBER: _ClassVar[int]
    EMIT_EVENT_FIELD_NUMBER: _ClassVar[int]
    ANSWER_USER_FIELD_NUMBER: _ClassVar[int]
    TOOL_CALLS_FIELD_NUMBER: _ClassVar[int]
    CUSTOM_FIELD_NUMBER: _ClassVar[int]
    ASSIGN_FIELD_NUMBER: _ClassVar[int]
    HANDLER_FIELD_NUMBER: _ClassVar[int]
    COMPLETE_FIELD_NUMBER: _ClassVar[int]
    FAIL_FIELD_NUMBER: _ClassVar[int]
    RESULT_KEY_FIELD_NUMBER: _ClassVar[int]
    NEXT_FIELD_NUMBER: _ClassVar[int]
    ON_ERROR_FIELD_NUMBER: _ClassVar[int]
    POLICY_FIELD_NUMBER: _ClassVar[int]
    description: str
    ask_user: _effects_pb2.AskUser
    wait_until: _effects_pb2.WaitUntil
    wait_event: _effects_pb2.WaitEvent
    emit_event: _effects_pb2.EmitEvent
    answer_user: _effects_pb2.AnswerUser
    tool_calls: _effects_pb2.ToolCalls
    custom: _effects_pb2.Custom
    assign: Assign
    handler: Handler
    complete: Complete
    fail: Fail
    result_key: str
    next: _containers.RepeatedCompositeFieldContainer[Edge]
    on_error: str
    policy: _effect_policy_pb2.EffectPolicy
    def __init__(self, description: _Optional[str] = ..., ask_user: _Optional[_Union[_effects_pb2.AskUser, _Mapping]] = ..., wait_until: _Optional[_Union[_effects_pb2.WaitUntil, _Mapping]] = ..., wait_event: _Optional[_Union[_effects_pb2.WaitEvent, _Mapping]] = ..., emit_event: _Optional[_Union[_effects_pb2.EmitEvent, _Mapping]] = ..., answer_user: _Optional[_Union[_effects_pb2.AnswerUser, _Mapping]] = ..., tool_calls: _Optional[_Union[_effects_pb2.ToolCalls, _Mapping]] = ..., custom: _Optional[_Union[_effects_pb2.Custom, _Mapping]] = ..., assign: _Optional[_Union[Assign, _Mapping]] = ..., handler: _Optional[_Union[Handler, _Mapping]] = ..., complete: _Optional[_Union[Complete, _Mapping]] = ..., fail: _Optional[_Union[Fail, _Mapping]] = ..., result_key: _Optional[str] = ..., next: _Optional[_Iterable[_Union[Edge, _Mapping]]] = ..., on_error: _Optional[str] = ..., policy: _Optional[_Union[_effect_policy_pb2.EffectPolicy, _Mapping]] = ...) -> None: ...

class Edge(_message.Message):
    __slots__ = ("to", "when")
    TO_FIELD_NUMBER: _ClassVar[int]
    WHEN_FIELD_NUMBER: _ClassVar[int]
    to: str
    when: str
    def __init__(self, to: _Optional[str] = ..., when: _Optional[str] = ...) -> None: ...

class Assign(_message.Message):
    __slots__ = ("values", "append", "unset")
    VALUES_FIELD_NUMBER: _ClassVar[int]
    APPEND_FIELD_NUMBER: _ClassVar[int]
    UNSET_FIELD_NUMBER: _ClassVar[int]
    values: _struct_pb2.Struct
    append: _struct_pb2.Struct
    unset: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, values: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., append: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., unset: _Optional[_Iterable[str]] = ...) -> None: ...

class Handler(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Complete(_message.Message):
    __slots__ = ("output",)
    OUTPUT_FIELD_NUMBER: _ClassVar[int]
    output: _struct_pb2.Value
    def __init__(self, output: _Optional[_Union[_struct_pb2.Value, _Mapping]] = ...) -> None: ...

class Fail(_message.Message):
    __slots__ = ("code", "message")
    CODE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    code: str
    message: str
    def __init__(self, code: _Optional[str] = ..., message: _Optional[str] = ...) -> None: ...
