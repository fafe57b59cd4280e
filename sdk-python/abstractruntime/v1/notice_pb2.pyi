import datetime

from abstractruntime.v1 import run_pb2 as _run_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class NoticeKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    NOTICE_KIND_UNSPECIFIED: _ClassVar[NoticeKind]
    NOTICE_KIND_STARTED: _ClassVar[NoticeKind]
    NOTICE_KIND_WAITING: _ClassVar[NoticeKind]
    NOTICE_KIND_RESUMED: _ClassVar[NoticeKind]
    NOTICE_KIND_PAUSED: _ClassVar[NoticeKind]
    NOTICE_KIND_UNPAUSED: _ClassVar[NoticeKind]
    NOTICE_KIND_COMPLETED: _ClassVar[NoticeKind]
    NOTICE_KIND_FAILED: _ClassVar[NoticeKind]
    NOTICE_KIND_CANCELLED: _ClassVar[NoticeKind]
NOTICE_KIND_UNSPECIFIED: NoticeKind
NOTICE_KIND_STARTED: NoticeKind
NOTICE_KIND_WAITING: NoticeKind
NOTICE_KIND_RESUMED: NoticeKind
NOTICE_KIND_PAUSED: NoticeKind
NOTICE_KIND_UNPAUSED: NoticeKind
NOTICE_KIND_COMPLETED: NoticeKind
NOTICE_KIND_FAILED: NoticeKind
NOTICE_KIND_CANCELLED: NoticeKind

class Notice(_message.Message):
    __slots__ = ("notice_id", "kind", "run")
    NOTICE_ID_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    RUN_FIELD_NUMBER: _ClassVar[int]
    notice_id: str
    kind: NoticeKind
    run: _run_pb2.Run
    def __init__(self, notice_id: _Optional[str] = ..., kind: _Optional[_Union[NoticeKind, str]] = ..., run: _Optional[_Union[_run_pb2.Run, _Mapping]] = ...) -> None: ...

class Heartbeat(_message.Message):
    __slots__ = ("time",)
    TIME_FIELD_NUMBER: _ClassVar[int]
    time: _timestamp_pb2.Timestamp
    def __init__(self, time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...
