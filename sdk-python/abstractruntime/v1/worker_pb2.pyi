import datetime

from abstractruntime.v1 import effect_policy_pb2 as _effect_policy_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Tool(_message.Message):
    __slots__ = ("name", "version", "description", "input_schema", "delivery", "concurrency")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    INPUT_SCHEMA_FIELD_NUMBER: _ClassVar[int]
    DELIVERY_FIELD_NUMBER: _ClassVar[int]
    CONCURRENCY_FIELD_NUMBER: _ClassVar[int]
    name: str
    version: str
    description: str
    input_schema: bytes
    delivery: _effect_policy_pb2.Delivery
    concurrency: int
    def __init__(self, name: _Optional[str] = ..., version: _Optional[str] = ..., description: _Optional[str] = ..., input_schema: _Optional[bytes] = ..., delivery: _Optional[_Union[_effect_policy_pb2.Delivery, str]] = ..., concurrency: _Optional[int] = ...) -> None: ...

class HandledWorkflow(_message.Message):
    __slots__ = ("workflow_id", "versions")
    WORKFLOW_ID_FIELD_NUMBER: _ClassVar[int]
    VERSIONS_FIELD_NUMBER: _ClassVar[int]
    workflow_id: str
    versions: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, workflow_id: _Optional[str] = ..., versions: _Optional[_Iterable[int]] = ...) -> None: ...

class CustomType(_message.Message):
    __slots__ = ("type", "delivery", "concurrency")
    TYPE_FIELD_NUMBER: _ClassVar[int]
    DELIVERY_FIELD_NUMBER: _ClassVar[int]
    CONCURRENCY_FIELD_NUMBER: _ClassVar[int]
    type: str
    delivery: _effect_policy_pb2.Delivery
    concurrency: int
    def __init__(self, type: _Optional[str] = ..., delivery: _Optional[_Union[_effect_policy_pb2.Delivery, str]] = ..., concurrency: _Optional[int] = ...) -> None: ...

class Worker(_message.Message):
    __slots__ = ("worker_session_id", "actor_id", "name", "tools", "workflows", "custom_types", "server_id", "connect_time", "draining", "damage")
    WORKER_SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    ACTOR_ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    TOOLS_FIELD_NUMBER: _ClassVar[int]
    WORKFLOWS_FIELD_NUMBER: _ClassVar[int]
    CUSTOM_TYPES_FIELD_NUMBER: _ClassVar[int]
    SERVER_ID_FIELD_NUMBER: _ClassVar[int]
    CONNECT_TIME_FIELD_NUMBER: _ClassVar[int]
    DRAINING_FIELD_NUMBER: _ClassVar[int]
    DAMAGE_FIELD_NUMBER: _ClassVar[int]
    worker_session_id: str
    actor_id: str
    name: str
    tools: _containers.RepeatedCompositeFieldContainer[Tool]
    workflows: _containers.RepeatedCompositeFieldContainer[HandledWorkflow]
    custom_types: _containers.RepeatedCompositeFieldContainer[CustomType]
    server_id: str
    connect_time: _timestamp_pb2.Timestamp
    draining: bool
    damage: str
    def __init__(self, worker_session_id: _Optional[str] = ..., actor_id: _Optional[str] = ..., name: _Optional[str] = ..., tools: _Optional[_Iterable[_Union[Tool, _Mapping]]] = ..., workflows: _Optional[_Iterable[_Union[HandledWorkflow, _Mapping]]] = ..., custom_types: _Optional[_Iterable[_Union[CustomType, _Mapping]]] = ..., server_id: _Optional[str] = ..., connect_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., draining: _Optional[bool] = ..., damage: _Optional[str] = ...) -> None: ...
