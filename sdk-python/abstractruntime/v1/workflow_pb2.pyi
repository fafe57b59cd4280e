import datetime

from abstractruntime.v1 import limits_pb2 as _limits_pb2
from abstractruntime.v1 import node_pb2 as _node_pb2
from google.protobuf import struct_pb2 as _struct_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Workflow(_message.Message):
    __slots__ = ("workflow_id", "version", "digest", "description", "entry_node", "nodes", "vars_schema", "default_vars", "on_error", "on_cancel", "limits", "labels", "commit_every_step", "current", "archived", "create_time", "damage")
    class NodesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: _node_pb2.Node
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[_node_pb2.Node, _Mapping]] = ...) -> None: ...
    class LabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    WORKFLOW_ID_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    ENTRY_NODE_FIELD_NUMBER: _ClassVar[int]
    NODES_FIELD_NUMBER: _ClassVar[int]
    VARS_SCHEMA_FIELD_NUMBER: _ClassVar[int]
    DEFAULT_VARS_FIELD_NUMBER: _ClassVar[int]
    ON_ERROR_FIELD_NUMBER: _ClassVar[int]
    ON_CANCEL_FIELD_NUMBER: _ClassVar[int]
    LIMITS_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    COMMIT_EVERY_STEP_FIELD_NUMBER: _ClassVar[int]
    CURRENT_FIELD_NUMBER: _ClassVar[int]
    ARCHIVED_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    DAMAGE_FIELD_NUMBER: _ClassVar[int]
    workflow_id: str
    version: int
    digest: str
    description: str
    entry_node: str
    nodes: _containers.MessageMap[str, _node_pb2.Node]
    vars_schema: _struct_pb2.Struct
    default_vars: _struct_pb2.Struct
    on_error: str
    on_cancel: str
    limits: _limits_pb2.Limits
    labels: _containers.ScalarMap[str, str]
    commit_every_step: bool
    current: bool
    archived: bool
    create_time: _timestamp_pb2.Timestamp
    damage: str
    def __init__(self, workflow_id: _Optional[str] = ..., version: _Optional[int] = ..., digest: _Optional[str] = ..., description: _Optional[str] = ..., entry_node: _Optional[str] = ..., nodes: _Optional[_Mapping[str, _node_pb2.Node]] = ..., vars_schema: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., default_vars: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., on_error: _Optional[str] = ..., on_cancel: _Optional[str] = ..., limits: _Optional[_Union[_limits_pb2.Limits, _Mapping]] = ..., labels: _Optional[_Mapping[str, str]] = ..., commit_every_step: _Optional[bool] = ..., current: _Optional[bool] = ..., archived: _Optional[bool] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., damage: _Optional[str] = ...) -> None: ...
