from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Optional as _Optional

DESCRIPTOR: _descriptor.FileDescriptor

class Limits(_message.Message):
    __slots__ = ("max_steps", "max_tokens", "max_cost_usd", "max_depth", "run_timeout", "warn_percent")
    MAX_STEPS_FIELD_NUMBER: _ClassVar[int]
    MAX_TOKENS_FIELD_NUMBER: _ClassVar[int]
    MAX_COST_USD_FIELD_NUMBER: _ClassVar[int]
    MAX_DEPTH_FIELD_NUMBER: _ClassVar[int]
    RUN_TIMEOUT_FIELD_NUMBER: _ClassVar[int]
    WARN_PERCENT_FIELD_NUMBER: _ClassVar[int]
    max_steps: int
    max_tokens: int
    max_cost_usd: float
    max_depth: int
    run_timeout: str
    warn_percent: int
    def __init__(self, max_steps: _Optional[int] = ..., max_tokens: _Optional[int] = ..., max_cost_usd: _Optional[float] = ..., max_depth: _Optional[int] = ..., run_timeout: _Optional[str] = ..., warn_percent: _Optional[int] = ...) -> None: ...
