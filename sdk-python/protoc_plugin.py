"""A plugin for buf: generates messages, their types and gRPC stubs with the protoc of grpcio-tools.

grpcio-tools has these generators inside its protoc, not as plugins, so this plugin passes its input files to protoc.
"""

import sys
import tempfile
from pathlib import Path

from google.protobuf.compiler.plugin_pb2 import CodeGeneratorRequest, CodeGeneratorResponse
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from grpc_tools import protoc

request = CodeGeneratorRequest.FromString(sys.stdin.buffer.read())
response = CodeGeneratorResponse(supported_features=CodeGeneratorResponse.FEATURE_PROTO3_OPTIONAL)
with tempfile.TemporaryDirectory() as folder:
    descriptors = Path(folder, "descriptors.binpb")
    descriptors.write_bytes(FileDescriptorSet(file=request.proto_file).SerializeToString())
    out = Path(folder, "out")
    out.mkdir()
    status = protoc.main(
        [
            "protoc",
            f"--descriptor_set_in={descriptors}",
            f"--python_out={out}",
            f"--pyi_out={out}",
            f"--grpc_python_out={out}",
            *request.file_to_generate,
        ]
    )
    if status != 0:
        sys.exit(status)  # protoc has printed the reason.
    # protoc writes a file of stubs for every .proto; if the .proto has no service, that file is empty.
    without_service = {
        file.name.removesuffix(".proto") + "_pb2_grpc.py" for file in request.proto_file if not file.service
    }
    for path in sorted(out.rglob("*.py*")):
        if path.relative_to(out).as_posix() in without_service:
            continue
        response.file.add(name=path.relative_to(out).as_posix(), content=path.read_text("utf-8"))
sys.stdout.buffer.write(response.SerializeToString())
