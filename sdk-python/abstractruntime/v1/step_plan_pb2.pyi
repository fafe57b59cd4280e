from abstractruntime.v1 import effects_pb2 as _effects_pb2
from abstractruntime.v1 import node_pb2 as _node_pb2
from abstractruntime.v1 import step_record_pb2 as _step_record_pb2
from google.protobuf import struct_pb2 as _struct_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class StepPlan(_message.Message):
    __slots__ = ("ask_user", "wait_until", "wait_event", "emit_event", "answer_user", "tool_calls", "custom", "result_key", "next_node", "complete_output", "fail", "patch")
    ASK_USER_FIELD_NUMBER: _ClassVar[int]
    WAIT_UNTIL_FIELD_NUMBER: _ClassVar[int]
    WAIT_EVENT_FIELD_NUMBER: _ClassVar[int]
    EMIT_EVENT_FIELD_NUMBER: _ClassVar[int]
    ANSWER_USER_FIELD_NUMBER: _ClassVar[int]
    TOOL_CALLS_FIELD_NUMBER: _ClassVar[int]
    CUSTOM_FIELD_NUMBER: _ClassVar[int]
    RESULT_KEY_FIELD_NUMBER: _ClassVar[int]
    NEXT_NODE_FIELD_NUMBER: _ClassVar[int]
    COMPLETE_OUTPUT_FIELD_NUMBER: _ClassVar[int]
    FAIL_FIELD_NUMBER: _ClassVar[int]
    PATCH_FIELD_NUMBER: _ClassVar[int]
    ask_user: _effects_pb2.AskUser
    wait_until: _effects_pb2.WaitUntil
    wait_event: _effects_pb2.WaitEvent
    emit_event: _effects_pb2.EmitEvent
    answer_user: _effects_pb2.AnswerUser
    tool_calls: _effects_pb2.ToolCalls
    custom: _effects_pb2.Custom
    result_key: str
    next_node: str
    complete_output: _struct_pb2.Value
    fail: _node_pb2.Fail
    patch: _containers.RepeatedCompositeFieldContainer[_step_record_pb2.PatchOp]
    def __init__(self, ask_user: _Optional[_Union[_effects_pb2.AskUser, _Mapping]] = ..., wait_until: _Optional[_Union[_effects_pb2.WaitUntil, _Mapping]] = ..., wait_event: _Optional[_Union[_effects_pb2.WaitEvent, _Mapping]] = ..., emit_event: _Optional[_Union[_effects_pb2.EmitEvent, _Mapping]] = ..., answer_user: _Optional[_Union[_effects_pb2.AnswerUser, _Mapping]] = ..., tool_calls: _Optional[_Union[_effects_pb2.ToolCalls, _Mapping]] = ..., custom: _Optional[_Union[_effects_pb2.Custom, _Mapping]] = ..., result_key: _Optional[str] = ..., next_node: _Optional[str] = ..., complete_output: _Optional[_Union[_struct_pb2.Value, _Mapping]] = ..., fail: _Optional[_Union[_node_pb2.Fail, _Mapping]] = ..., patch: _Optional[_Iterable[_Union[_step_record_pb2.PatchOp, _Mapping]]] = ...) -> None: ...
