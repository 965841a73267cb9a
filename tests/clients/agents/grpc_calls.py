"""Call a unary and a streaming method over gRPC; the stream's second message is let go when the first has arrived."""

import json
import os

import grpc  # type: ignore[import-untyped]  # it has none

metadata = [("authorization", f"Bearer {os.environ['ACME_API_KEY']}"), ("x-watch", str(os.getpid()))]
with grpc.secure_channel("rpc.example:443", grpc.ssl_channel_credentials()) as channel:
    single = channel.unary_unary("/acme.Widgets/Get")(b"ask", metadata=metadata, timeout=30)
    streamed = []
    for message in channel.unary_stream("/acme.Widgets/Watch")(b"ask", metadata=metadata, timeout=30):
        streamed.append(message.decode())
        if message == b"first":
            channel.unary_unary("/acme.Widgets/Release")(b"now", metadata=metadata, timeout=30)
print(json.dumps({"single": single.decode(), "streamed": streamed}))
