import datetime

from abstractruntime.v1 import step_record_pb2 as _step_record_pb2
from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ListStepRecordsRequest(_message.Message):
    __slots__ = ("run_id", "after_seq", "wait", "page_size", "page_token", "include_proof")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    AFTER_SEQ_FIELD_NUMBER: _ClassVar[int]
    WAIT_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    INCLUDE_PROOF_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    after_seq: int
    wait: _duration_pb2.Duration
    page_size: int
    page_token: str
    include_proof: bool
    def __init__(self, run_id: _Optional[str] = ..., after_seq: _Optional[int] = ..., wait: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., include_proof: _Optional[bool] = ...) -> None: ...

class ListStepRecordsResponse(_message.Message):
    __slots__ = ("step_records", "next_page_token")
    STEP_RECORDS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    step_records: _containers.RepeatedCompositeFieldContainer[_step_record_pb2.StepRecord]
    next_page_token: str
    def __init__(self, step_records: _Optional[_Iterable[_Union[_step_record_pb2.StepRecord, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class GetStepRecordRequest(_message.Message):
    __slots__ = ("run_id", "seq", "include_proof")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    SEQ_FIELD_NUMBER: _ClassVar[int]
    INCLUDE_PROOF_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    seq: int
    include_proof: bool
    def __init__(self, run_id: _Optional[str] = ..., seq: _Optional[int] = ..., include_proof: _Optional[bool] = ...) -> None: ...

class GetStepRecordResponse(_message.Message):
    __slots__ = ("step_record",)
    STEP_RECORD_FIELD_NUMBER: _ClassVar[int]
    step_record: _step_record_pb2.StepRecord
    def __init__(self, step_record: _Optional[_Union[_step_record_pb2.StepRecord, _Mapping]] = ...) -> None: ...
