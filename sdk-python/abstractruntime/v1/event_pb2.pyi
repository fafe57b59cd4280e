from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from typing import ClassVar as _ClassVar

DESCRIPTOR: _descriptor.FileDescriptor

class Scope(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SCOPE_UNSPECIFIED: _ClassVar[Scope]
    SCOPE_RUN: _ClassVar[Scope]
    SCOPE_SESSION: _ClassVar[Scope]
    SCOPE_WORKFLOW: _ClassVar[Scope]
    SCOPE_GLOBAL: _ClassVar[Scope]
SCOPE_UNSPECIFIED: Scope
SCOPE_RUN: Scope
SCOPE_SESSION: Scope
SCOPE_WORKFLOW: Scope
SCOPE_GLOBAL: Scope
