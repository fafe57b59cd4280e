import datetime

from abstractruntime.v1 import effect_policy_pb2 as _effect_policy_pb2
from abstractruntime.v1 import worker_pb2 as _worker_pb2
from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class JobKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    JOB_KIND_UNSPECIFIED: _ClassVar[JobKind]
    JOB_KIND_TOOL: _ClassVar[JobKind]
    JOB_KIND_HANDLER: _ClassVar[JobKind]
    JOB_KIND_CUSTOM: _ClassVar[JobKind]

class ResultStatus(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    RESULT_STATUS_UNSPECIFIED: _ClassVar[ResultStatus]
    RESULT_STATUS_ACCEPTED: _ClassVar[ResultStatus]
    RESULT_STATUS_DUPLICATE: _ClassVar[ResultStatus]
    RESULT_STATUS_REFUSED: _ClassVar[ResultStatus]
JOB_KIND_UNSPECIFIED: JobKind
JOB_KIND_TOOL: JobKind
JOB_KIND_HANDLER: JobKind
JOB_KIND_CUSTOM: JobKind
RESULT_STATUS_UNSPECIFIED: ResultStatus
RESULT_STATUS_ACCEPTED: ResultStatus
RESULT_STATUS_DUPLICATE: ResultStatus
RESULT_STATUS_REFUSED: ResultStatus

class WorkRequest(_message.Message):
    __slots__ = ("hello", "credit", "accept", "heartbeat", "result", "drain", "goodbye", "pong")
    HELLO_FIELD_NUMBER: _ClassVar[int]
    CREDIT_FIELD_NUMBER: _ClassVar[int]
    ACCEPT_FIELD_NUMBER: _ClassVar[int]
    HEARTBEAT_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    DRAIN_FIELD_NUMBER: _ClassVar[int]
    GOODBYE_FIELD_NUMBER: _ClassVar[int]
    PONG_FIELD_NUMBER: _ClassVar[int]
    hello: WorkerHello
    credit: WorkerCredit
    accept: JobAccept
    heartbeat: JobHeartbeat
    result: JobResults
    drain: WorkerDrain
    goodbye: WorkerGoodbye
    pong: WorkerPong
    def __init__(self, hello: _Optional[_Union[WorkerHello, _Mapping]] = ..., credit: _Optional[_Union[WorkerCredit, _Mapping]] = ..., accept: _Optional[_Union[JobAccept, _Mapping]] = ..., heartbeat: _Optional[_Union[JobHeartbeat, _Mapping]] = ..., result: _Optional[_Union[JobResults, _Mapping]] = ..., drain: _Optional[_Union[WorkerDrain, _Mapping]] = ..., goodbye: _Optional[_Union[WorkerGoodbye, _Mapping]] = ..., pong: _Optional[_Union[WorkerPong, _Mapping]] = ...) -> None: ...

class WorkResponse(_message.Message):
    __slots__ = ("welcome", "offer", "start", "result_ack", "cancel", "pause", "lease_lost", "ping")
    WELCOME_FIELD_NUMBER: _ClassVar[int]
    OFFER_FIELD_NUMBER: _ClassVar[int]
    START_FIELD_NUMBER: _ClassVar[int]
    RESULT_ACK_FIELD_NUMBER: _ClassVar[int]
    CANCEL_FIELD_NUMBER: _ClassVar[int]
    PAUSE_FIELD_NUMBER: _ClassVar[int]
    LEASE_LOST_FIELD_NUMBER: _ClassVar[int]
    PING_FIELD_NUMBER: _ClassVar[int]
    welcome: WorkerWelcome
    offer: JobOffer
    start: JobStart
    result_ack: JobResultAcks
    cancel: JobCancel
    pause: JobPause
    lease_lost: JobLeaseLost
    ping: WorkerPing
    def __init__(self, welcome: _Optional[_Union[WorkerWelcome, _Mapping]] = ..., offer: _Optional[_Union[JobOffer, _Mapping]] = ..., start: _Optional[_Union[JobStart, _Mapping]] = ..., result_ack: _Optional[_Union[JobResultAcks, _Mapping]] = ..., cancel: _Optional[_Union[JobCancel, _Mapping]] = ..., pause: _Optional[_Union[JobPause, _Mapping]] = ..., lease_lost: _Optional[_Union[JobLeaseLost, _Mapping]] = ..., ping: _Optional[_Union[WorkerPing, _Mapping]] = ...) -> None: ...

class WorkerHello(_message.Message):
    __slots__ = ("worker_session_id", "actor_id", "name", "tools", "workflows", "custom_types", "held_tokens", "kept_vars_bytes")
    WORKER_SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    ACTOR_ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    TOOLS_FIELD_NUMBER: _ClassVar[int]
    WORKFLOWS_FIELD_NUMBER: _ClassVar[int]
    CUSTOM_TYPES_FIELD_NUMBER: _ClassVar[int]
    HELD_TOKENS_FIELD_NUMBER: _ClassVar[int]
    KEPT_VARS_BYTES_FIELD_NUMBER: _ClassVar[int]
    worker_session_id: str
    actor_id: str
    name: str
    tools: _containers.RepeatedCompositeFieldContainer[_worker_pb2.Tool]
    workflows: _containers.RepeatedCompositeFieldContainer[_worker_pb2.HandledWorkflow]
    custom_types: _containers.RepeatedCompositeFieldContainer[_worker_pb2.CustomType]
    held_tokens: _containers.RepeatedScalarFieldContainer[str]
    kept_vars_bytes: int
    def __init__(self, worker_session_id: _Optional[str] = ..., actor_id: _Optional[str] = ..., name: _Optional[str] = ..., tools: _Optional[_Iterable[_Union[_worker_pb2.Tool, _Mapping]]] = ..., workflows: _Optional[_Iterable[_Union[_worker_pb2.HandledWorkflow, _Mapping]]] = ..., custom_types: _Optional[_Iterable[_Union[_worker_pb2.CustomType, _Mapping]]] = ..., held_tokens: _Optional[_Iterable[str]] = ..., kept_vars_bytes: _Optional[int] = ...) -> None: ...

class WorkerCredit(_message.Message):
    __slots__ = ("jobs",)
    JOBS_FIELD_NUMBER: _ClassVar[int]
    jobs: int
    def __init__(self, jobs: _Optional[int] = ...) -> None: ...

class JobAccept(_message.Message):
    __slots__ = ("tokens",)
    TOKENS_FIELD_NUMBER: _ClassVar[int]
    tokens: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, tokens: _Optional[_Iterable[str]] = ...) -> None: ...

class JobHeartbeat(_message.Message):
    __slots__ = ("tokens",)
    TOKENS_FIELD_NUMBER: _ClassVar[int]
    tokens: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, tokens: _Optional[_Iterable[str]] = ...) -> None: ...

class JobResults(_message.Message):
    __slots__ = ("results",)
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    results: _containers.RepeatedCompositeFieldContainer[JobResult]
    def __init__(self, results: _Optional[_Iterable[_Union[JobResult, _Mapping]]] = ...) -> None: ...

class JobResult(_message.Message):
    __slots__ = ("token", "output", "failure")
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_FIELD_NUMBER: _ClassVar[int]
    FAILURE_FIELD_NUMBER: _ClassVar[int]
    token: str
    output: bytes
    failure: JobFailure
    def __init__(self, token: _Optional[str] = ..., output: _Optional[bytes] = ..., failure: _Optional[_Union[JobFailure, _Mapping]] = ...) -> None: ...

class JobFailure(_message.Message):
    __slots__ = ("code", "message", "non_retryable", "details")
    CODE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    NON_RETRYABLE_FIELD_NUMBER: _ClassVar[int]
    DETAILS_FIELD_NUMBER: _ClassVar[int]
    code: str
    message: str
    non_retryable: bool
    details: bytes
    def __init__(self, code: _Optional[str] = ..., message: _Optional[str] = ..., non_retryable: _Optional[bool] = ..., details: _Optional[bytes] = ...) -> None: ...

class WorkerDrain(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class WorkerGoodbye(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class WorkerPong(_message.Message):
    __slots__ = ("number",)
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    number: int
    def __init__(self, number: _Optional[int] = ...) -> None: ...

class WorkerWelcome(_message.Message):
    __slots__ = ("server_id", "ping_interval", "silence_timeout", "accept_timeout")
    SERVER_ID_FIELD_NUMBER: _ClassVar[int]
    PING_INTERVAL_FIELD_NUMBER: _ClassVar[int]
    SILENCE_TIMEOUT_FIELD_NUMBER: _ClassVar[int]
    ACCEPT_TIMEOUT_FIELD_NUMBER: _ClassVar[int]
    server_id: str
    ping_interval: _duration_pb2.Duration
    silence_timeout: _duration_pb2.Duration
    accept_timeout: _duration_pb2.Duration
    def __init__(self, server_id: _Optional[str] = ..., ping_interval: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., silence_timeout: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., accept_timeout: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class JobOffer(_message.Message):
    __slots__ = ("jobs",)
    JOBS_FIELD_NUMBER: _ClassVar[int]
    jobs: _containers.RepeatedCompositeFieldContainer[Job]
    def __init__(self, jobs: _Optional[_Iterable[_Union[Job, _Mapping]]] = ...) -> None: ...

class Job(_message.Message):
    __slots__ = ("token", "kind", "name", "payload", "run_id", "workflow_id", "version", "node_id", "call_id", "idempotency_key", "attempt", "lease_number", "timeout", "heartbeat_timeout", "delivery", "session_id", "large_vars", "forgotten_vars")
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_FIELD_NUMBER: _ClassVar[int]
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    WORKFLOW_ID_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    CALL_ID_FIELD_NUMBER: _ClassVar[int]
    IDEMPOTENCY_KEY_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    LEASE_NUMBER_FIELD_NUMBER: _ClassVar[int]
    TIMEOUT_FIELD_NUMBER: _ClassVar[int]
    HEARTBEAT_TIMEOUT_FIELD_NUMBER: _ClassVar[int]
    DELIVERY_FIELD_NUMBER: _ClassVar[int]
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    LARGE_VARS_FIELD_NUMBER: _ClassVar[int]
    FORGOTTEN_VARS_FIELD_NUMBER: _ClassVar[int]
    token: str
    kind: JobKind
    name: str
    payload: bytes
    run_id: str
    workflow_id: str
    version: int
    node_id: str
    call_id: str
    idempotency_key: str
    attempt: int
    lease_number: int
    timeout: _duration_pb2.Duration
    heartbeat_timeout: _duration_pb2.Duration
    delivery: _effect_policy_pb2.Delivery
    session_id: str
    large_vars: _containers.RepeatedCompositeFieldContainer[LargeVar]
    forgotten_vars: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, token: _Optional[str] = ..., kind: _Optional[_Union[JobKind, str]] = ..., name: _Optional[str] = ..., payload: _Optional[bytes] = ..., run_id: _Optional[str] = ..., workflow_id: _Optional[str] = ..., version: _Optional[int] = ..., node_id: _Optional[str] = ..., call_id: _Optional[str] = ..., idempotency_key: _Optional[str] = ..., attempt: _Optional[int] = ..., lease_number: _Optional[int] = ..., timeout: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., heartbeat_timeout: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., delivery: _Optional[_Union[_effect_policy_pb2.Delivery, str]] = ..., session_id: _Optional[str] = ..., large_vars: _Optional[_Iterable[_Union[LargeVar, _Mapping]]] = ..., forgotten_vars: _Optional[_Iterable[int]] = ...) -> None: ...

class LargeVar(_message.Message):
    __slots__ = ("name", "id", "value")
    NAME_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    name: str
    id: int
    value: bytes
    def __init__(self, name: _Optional[str] = ..., id: _Optional[int] = ..., value: _Optional[bytes] = ...) -> None: ...

class JobStart(_message.Message):
    __slots__ = ("tokens",)
    TOKENS_FIELD_NUMBER: _ClassVar[int]
    tokens: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, tokens: _Optional[_Iterable[str]] = ...) -> None: ...

class JobResultAcks(_message.Message):
    __slots__ = ("acks",)
    ACKS_FIELD_NUMBER: _ClassVar[int]
    acks: _containers.RepeatedCompositeFieldContainer[JobResultAck]
    def __init__(self, acks: _Optional[_Iterable[_Union[JobResultAck, _Mapping]]] = ...) -> None: ...

class JobResultAck(_message.Message):
    __slots__ = ("token", "status", "reason")
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    token: str
    status: ResultStatus
    reason: str
    def __init__(self, token: _Optional[str] = ..., status: _Optional[_Union[ResultStatus, str]] = ..., reason: _Optional[str] = ...) -> None: ...

class JobCancel(_message.Message):
    __slots__ = ("tokens",)
    TOKENS_FIELD_NUMBER: _ClassVar[int]
    tokens: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, tokens: _Optional[_Iterable[str]] = ...) -> None: ...

class JobPause(_message.Message):
    __slots__ = ("tokens", "paused")
    TOKENS_FIELD_NUMBER: _ClassVar[int]
    PAUSED_FIELD_NUMBER: _ClassVar[int]
    tokens: _containers.RepeatedScalarFieldContainer[str]
    paused: bool
    def __init__(self, tokens: _Optional[_Iterable[str]] = ..., paused: _Optional[bool] = ...) -> None: ...

class JobLeaseLost(_message.Message):
    __slots__ = ("tokens",)
    TOKENS_FIELD_NUMBER: _ClassVar[int]
    tokens: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, tokens: _Optional[_Iterable[str]] = ...) -> None: ...

class WorkerPing(_message.Message):
    __slots__ = ("number",)
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    number: int
    def __init__(self, number: _Optional[int] = ...) -> None: ...

class ListWorkersRequest(_message.Message):
    __slots__ = ("tool", "page_size", "page_token")
    TOOL_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    tool: str
    page_size: int
    page_token: str
    def __init__(self, tool: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListWorkersResponse(_message.Message):
    __slots__ = ("workers", "next_page_token")
    WORKERS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    workers: _containers.RepeatedCompositeFieldContainer[_worker_pb2.Worker]
    next_page_token: str
    def __init__(self, workers: _Optional[_Iterable[_Union[_worker_pb2.Worker, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...
