"""Reads exports of traces (OTLP, protobuf) with the classes that OpenTelemetry's .proto files give, and prints their spans as JSON.

python otlp.py FILE...      each file is the body of one export. A field that the classes do not know ends it with an error.
"""

import json
import sys

from google.protobuf.unknown_fields import UnknownFieldSet
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status


def refuse_unknown(message, where):
    """Every field of a message, and of those in it, must be one that the classes know."""
    if len(UnknownFieldSet(message)):
        sys.exit(f"{where}: unknown fields")
    for field, value in message.ListFields():
        if field.message_type is not None:
            for one in value if field.is_repeated else [value]:
                refuse_unknown(one, f"{where}.{field.name}")


def attributes(pairs):
    found = {}
    for pair in pairs:
        if pair.key in found:
            sys.exit(f"{pair.key} is there twice")
        found[pair.key] = getattr(pair.value, pair.value.WhichOneof("value"))
    return found


def spans(file):
    with open(file, "rb") as source:
        request = ExportTraceServiceRequest.FromString(source.read())
    refuse_unknown(request, "request")
    for of_resource in request.resource_spans:
        for of_scope in of_resource.scope_spans:
            for span in of_scope.spans:
                if (len(span.trace_id), len(span.span_id)) != (16, 8) or len(span.parent_span_id) not in (0, 8):
                    sys.exit("an id has the wrong length")
                yield {
                    "trace": span.trace_id.hex(),
                    "id": span.span_id.hex(),
                    "parent": span.parent_span_id.hex(),
                    "name": span.name,
                    "kind": Span.SpanKind.Name(span.kind),
                    "begin": span.start_time_unix_nano,
                    "end": span.end_time_unix_nano,
                    "attributes": attributes(span.attributes),
                    "status": Status.StatusCode.Name(span.status.code),
                    "resource": attributes(of_resource.resource.attributes),
                    "scope": f"{of_scope.scope.name} {of_scope.scope.version}",
                }


json.dump([span for file in sys.argv[1:] for span in spans(file)], sys.stdout)
