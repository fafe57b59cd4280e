import datetime

from abstractruntime.v1 import event_pb2 as _event_pb2
from abstractruntime.v1 import run_pb2 as _run_pb2
from abstractruntime.v1 import worker_service_pb2 as _worker_service_pb2
from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class NextMoveKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    NEXT_MOVE_KIND_UNSPECIFIED: _ClassVar[NextMoveKind]
    NEXT_MOVE_KIND_NOTHING: _ClassVar[NextMoveKind]
    NEXT_MOVE_KIND_SERVER: _ClassVar[NextMoveKind]
    NEXT_MOVE_KIND_CLAIM: _ClassVar[NextMoveKind]
    NEXT_MOVE_KIND_MAIL: _ClassVar[NextMoveKind]
    NEXT_MOVE_KIND_UNPAUSE: _ClassVar[NextMoveKind]
    NEXT_MOVE_KIND_ANSWER: _ClassVar[NextMoveKind]
    NEXT_MOVE_KIND_EVENT: _ClassVar[NextMoveKind]
    NEXT_MOVE_KIND_TIME: _ClassVar[NextMoveKind]
    NEXT_MOVE_KIND_RESULT: _ClassVar[NextMoveKind]
    NEXT_MOVE_KIND_WORKER_ROOM: _ClassVar[NextMoveKind]
    NEXT_MOVE_KIND_RETRY: _ClassVar[NextMoveKind]
    NEXT_MOVE_KIND_WORKER_RETURN: _ClassVar[NextMoveKind]
    NEXT_MOVE_KIND_WORKER: _ClassVar[NextMoveKind]

class JobState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    JOB_STATE_UNSPECIFIED: _ClassVar[JobState]
    JOB_STATE_OPEN: _ClassVar[JobState]
    JOB_STATE_DELAYED: _ClassVar[JobState]
    JOB_STATE_LEASED: _ClassVar[JobState]
    JOB_STATE_RUNNING: _ClassVar[JobState]
    JOB_STATE_SETTLED: _ClassVar[JobState]
    JOB_STATE_CANCELLED: _ClassVar[JobState]

class JobReasonKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    JOB_REASON_KIND_UNSPECIFIED: _ClassVar[JobReasonKind]
    JOB_REASON_KIND_NO_WORKER: _ClassVar[JobReasonKind]
    JOB_REASON_KIND_NO_CREDIT: _ClassVar[JobReasonKind]
    JOB_REASON_KIND_QUEUE: _ClassVar[JobReasonKind]
    JOB_REASON_KIND_RETRY_AT: _ClassVar[JobReasonKind]
    JOB_REASON_KIND_HELD: _ClassVar[JobReasonKind]
    JOB_REASON_KIND_AT_WORKER: _ClassVar[JobReasonKind]
    JOB_REASON_KIND_WORKER_AWAY: _ClassVar[JobReasonKind]

class LeaseState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    LEASE_STATE_UNSPECIFIED: _ClassVar[LeaseState]
    LEASE_STATE_OWN: _ClassVar[LeaseState]
    LEASE_STATE_OTHER: _ClassVar[LeaseState]
    LEASE_STATE_ENDED: _ClassVar[LeaseState]
NEXT_MOVE_KIND_UNSPECIFIED: NextMoveKind
NEXT_MOVE_KIND_NOTHING: NextMoveKind
NEXT_MOVE_KIND_SERVER: NextMoveKind
NEXT_MOVE_KIND_CLAIM: NextMoveKind
NEXT_MOVE_KIND_MAIL: NextMoveKind
NEXT_MOVE_KIND_UNPAUSE: NextMoveKind
NEXT_MOVE_KIND_ANSWER: NextMoveKind
NEXT_MOVE_KIND_EVENT: NextMoveKind
NEXT_MOVE_KIND_TIME: NextMoveKind
NEXT_MOVE_KIND_RESULT: NextMoveKind
NEXT_MOVE_KIND_WORKER_ROOM: NextMoveKind
NEXT_MOVE_KIND_RETRY: NextMoveKind
NEXT_MOVE_KIND_WORKER_RETURN: NextMoveKind
NEXT_MOVE_KIND_WORKER: NextMoveKind
JOB_STATE_UNSPECIFIED: JobState
JOB_STATE_OPEN: JobState
JOB_STATE_DELAYED: JobState
JOB_STATE_LEASED: JobState
JOB_STATE_RUNNING: JobState
JOB_STATE_SETTLED: JobState
JOB_STATE_CANCELLED: JobState
JOB_REASON_KIND_UNSPECIFIED: JobReasonKind
JOB_REASON_KIND_NO_WORKER: JobReasonKind
JOB_REASON_KIND_NO_CREDIT: JobReasonKind
JOB_REASON_KIND_QUEUE: JobReasonKind
JOB_REASON_KIND_RETRY_AT: JobReasonKind
JOB_REASON_KIND_HELD: JobReasonKind
JOB_REASON_KIND_AT_WORKER: JobReasonKind
JOB_REASON_KIND_WORKER_AWAY: JobReasonKind
LEASE_STATE_UNSPECIFIED: LeaseState
LEASE_STATE_OWN: LeaseState
LEASE_STATE_OTHER: LeaseState
LEASE_STATE_ENDED: LeaseState

class RunExplanation(_message.Message):
    __slots__ = ("run", "next", "owner", "row_records_behind", "wake_time", "mail", "mail_total", "channel", "job_counts", "open_jobs", "read_time")
    RUN_FIELD_NUMBER: _ClassVar[int]
    NEXT_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    ROW_RECORDS_BEHIND_FIELD_NUMBER: _ClassVar[int]
    WAKE_TIME_FIELD_NUMBER: _ClassVar[int]
    MAIL_FIELD_NUMBER: _ClassVar[int]
    MAIL_TOTAL_FIELD_NUMBER: _ClassVar[int]
    CHANNEL_FIELD_NUMBER: _ClassVar[int]
    JOB_COUNTS_FIELD_NUMBER: _ClassVar[int]
    OPEN_JOBS_FIELD_NUMBER: _ClassVar[int]
    READ_TIME_FIELD_NUMBER: _ClassVar[int]
    run: _run_pb2.Run
    next: NextMove
    owner: RunOwner
    row_records_behind: int
    wake_time: _timestamp_pb2.Timestamp
    mail: _containers.RepeatedCompositeFieldContainer[RunMail]
    mail_total: int
    channel: ChannelStanding
    job_counts: _containers.RepeatedCompositeFieldContainer[JobCount]
    open_jobs: _containers.RepeatedCompositeFieldContainer[OpenJob]
    read_time: _timestamp_pb2.Timestamp
    def __init__(self, run: _Optional[_Union[_run_pb2.Run, _Mapping]] = ..., next: _Optional[_Union[NextMove, _Mapping]] = ..., owner: _Optional[_Union[RunOwner, _Mapping]] = ..., row_records_behind: _Optional[int] = ..., wake_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., mail: _Optional[_Iterable[_Union[RunMail, _Mapping]]] = ..., mail_total: _Optional[int] = ..., channel: _Optional[_Union[ChannelStanding, _Mapping]] = ..., job_counts: _Optional[_Iterable[_Union[JobCount, _Mapping]]] = ..., open_jobs: _Optional[_Iterable[_Union[OpenJob, _Mapping]]] = ..., read_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class NextMove(_message.Message):
    __slots__ = ("kind", "message", "metadata")
    class MetadataEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    KIND_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    kind: NextMoveKind
    message: str
    metadata: _containers.ScalarMap[str, str]
    def __init__(self, kind: _Optional[_Union[NextMoveKind, str]] = ..., message: _Optional[str] = ..., metadata: _Optional[_Mapping[str, str]] = ...) -> None: ...

class RunOwner(_message.Message):
    __slots__ = ("server_id", "process", "lane_id", "lease", "since_renewal")
    SERVER_ID_FIELD_NUMBER: _ClassVar[int]
    PROCESS_FIELD_NUMBER: _ClassVar[int]
    LANE_ID_FIELD_NUMBER: _ClassVar[int]
    LEASE_FIELD_NUMBER: _ClassVar[int]
    SINCE_RENEWAL_FIELD_NUMBER: _ClassVar[int]
    server_id: str
    process: str
    lane_id: int
    lease: LeaseState
    since_renewal: _duration_pb2.Duration
    def __init__(self, server_id: _Optional[str] = ..., process: _Optional[str] = ..., lane_id: _Optional[int] = ..., lease: _Optional[_Union[LeaseState, str]] = ..., since_renewal: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class RunMail(_message.Message):
    __slots__ = ("kind", "create_time")
    KIND_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    kind: str
    create_time: _timestamp_pb2.Timestamp
    def __init__(self, kind: _Optional[str] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class ChannelStanding(_message.Message):
    __slots__ = ("scope", "scope_id", "last_number", "looked_number", "start_number")
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    SCOPE_ID_FIELD_NUMBER: _ClassVar[int]
    LAST_NUMBER_FIELD_NUMBER: _ClassVar[int]
    LOOKED_NUMBER_FIELD_NUMBER: _ClassVar[int]
    START_NUMBER_FIELD_NUMBER: _ClassVar[int]
    scope: _event_pb2.Scope
    scope_id: str
    last_number: int
    looked_number: int
    start_number: int
    def __init__(self, scope: _Optional[_Union[_event_pb2.Scope, str]] = ..., scope_id: _Optional[str] = ..., last_number: _Optional[int] = ..., looked_number: _Optional[int] = ..., start_number: _Optional[int] = ...) -> None: ...

class JobCount(_message.Message):
    __slots__ = ("state", "count")
    STATE_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    state: JobState
    count: int
    def __init__(self, state: _Optional[_Union[JobState, str]] = ..., count: _Optional[int] = ...) -> None: ...

class OpenJob(_message.Message):
    __slots__ = ("kind", "name", "node_id", "idempotency_key", "state", "attempt", "due_time", "lease", "queue_place", "losses", "reason")
    KIND_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    IDEMPOTENCY_KEY_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    DUE_TIME_FIELD_NUMBER: _ClassVar[int]
    LEASE_FIELD_NUMBER: _ClassVar[int]
    QUEUE_PLACE_FIELD_NUMBER: _ClassVar[int]
    LOSSES_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    kind: _worker_service_pb2.JobKind
    name: str
    node_id: str
    idempotency_key: str
    state: JobState
    attempt: int
    due_time: _timestamp_pb2.Timestamp
    lease: JobLease
    queue_place: int
    losses: int
    reason: JobReason
    def __init__(self, kind: _Optional[_Union[_worker_service_pb2.JobKind, str]] = ..., name: _Optional[str] = ..., node_id: _Optional[str] = ..., idempotency_key: _Optional[str] = ..., state: _Optional[_Union[JobState, str]] = ..., attempt: _Optional[int] = ..., due_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., lease: _Optional[_Union[JobLease, _Mapping]] = ..., queue_place: _Optional[int] = ..., losses: _Optional[int] = ..., reason: _Optional[_Union[JobReason, _Mapping]] = ...) -> None: ...

class JobLease(_message.Message):
    __slots__ = ("worker_session_id", "server_id", "number", "begin_time")
    WORKER_SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    SERVER_ID_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    BEGIN_TIME_FIELD_NUMBER: _ClassVar[int]
    worker_session_id: str
    server_id: str
    number: int
    begin_time: _timestamp_pb2.Timestamp
    def __init__(self, worker_session_id: _Optional[str] = ..., server_id: _Optional[str] = ..., number: _Optional[int] = ..., begin_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class JobReason(_message.Message):
    __slots__ = ("kind", "message", "metadata")
    class MetadataEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    KIND_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    kind: JobReasonKind
    message: str
    metadata: _containers.ScalarMap[str, str]
    def __init__(self, kind: _Optional[_Union[JobReasonKind, str]] = ..., message: _Optional[str] = ..., metadata: _Optional[_Mapping[str, str]] = ...) -> None: ...
