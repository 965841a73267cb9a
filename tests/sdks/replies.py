"""What each vendor answers, short but whole: its client makes objects of it.

A reply is told by method and URL. None looks at the credential: the test does, of every request that arrived.
"""

import json
import uuid
from collections.abc import Mapping

from vendors import Answer, Call

WIDGET = uuid.UUID("3f1cc9f1-5c2a-4d5b-9a54-6bd6aaf0d1f5")
SPOKEN = bytes(range(255, -1, -1)) * 8
"""What stands for speech."""


def _same(data: object, status: int = 200, *headers: tuple[str, str]) -> Answer:
    async def answer(call: Call) -> None:
        await call.json(data, status, *headers)

    return answer


def _message(content: bytes) -> Answer:
    async def answer(call: Call) -> None:
        await call.message(content)

    return answer


def _data(*events: object) -> list[bytes]:
    return [f"data: {json.dumps(event)}\n\n".encode() for event in events]


# OpenAI's, and what others have taken over from it.


def _whole(model: str) -> object:
    message = {"role": "assistant", "content": "I am canned."}
    usage = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    return {"id": "1", "object": "chat.completion", "created": 0, "model": model, "choices": [choice], "usage": usage}


def _chunk(model: str, content: str) -> object:
    choice = {"index": 0, "delta": {"role": "assistant", "content": content}, "finish_reason": None}
    return {"id": "1", "object": "chat.completion.chunk", "created": 0, "model": model, "choices": [choice]}


async def _completions(call: Call) -> None:
    asked = json.loads(call.arrived.body)
    if asked.get("stream"):
        chunks = _data(*(_chunk(asked["model"], word) for word in ("one", "two")))
        await call.events(*chunks, b"data: [DONE]\n\n")
    else:
        await call.json(_whole(asked["model"]))


_MODELS = {"object": "list", "data": [{"id": "canned-1", "object": "model", "created": 0, "owned_by": "acme"}]}
_PART = {"type": "output_text", "text": "I am canned.", "annotations": []}
_OUTPUT = {"type": "message", "id": "m1", "role": "assistant", "status": "completed", "content": [_PART]}
_RESPONSE = {
    "id": "r1",
    "object": "response",
    "created_at": 0,
    "model": "gpt-5",
    "status": "completed",
    "output": [_OUTPUT],
    "parallel_tool_calls": True,
    "tool_choice": "auto",
    "tools": [],
}

# Anthropic's.

_MESSAGE: dict[str, object] = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "claude-opus-4",
    "stop_reason": None,
    "content": [],
    "usage": {"input_tokens": 1, "output_tokens": 2},
}


async def _messages(call: Call) -> None:
    if not json.loads(call.arrived.body).get("stream"):
        await call.json(_MESSAGE | {"content": [{"type": "text", "text": "I am canned."}], "stop_reason": "end_turn"})
        return
    told: list[dict[str, object]] = [
        {"type": "message_start", "message": _MESSAGE},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        *(
            {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": word}}
            for word in ("one", "two")
        ),
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 2}},
        {"type": "message_stop"},
    ]
    await call.events(*(f"event: {each['type']}\n".encode() + _data(each)[0] for each in told))


# Google's.


def _candidate(text: str) -> object:
    return {"candidates": [{"content": {"role": "model", "parts": [{"text": text}]}, "finishReason": "STOP"}]}


async def _generated(call: Call) -> None:
    await call.events(*_data(_candidate("one"), _candidate("two")))


# Cohere's.


async def _chat(call: Call) -> None:
    if not json.loads(call.arrived.body).get("stream"):
        message = {"role": "assistant", "content": [{"type": "text", "text": "I am canned."}]}
        await call.json({"id": "1", "finish_reason": "COMPLETE", "message": message})
        return
    words = [{"message": {"content": {"text": word}}} for word in ("one", "two")]
    told: list[dict[str, object]] = [{"type": "content-delta", "index": 0, "delta": word} for word in words]
    told += [{"type": "message-end", "id": "1", "delta": {"finish_reason": "COMPLETE"}}]
    await call.events(*(f"event: {each['type']}\n".encode() + _data(each)[0] for each in told))


# Deepgram's.


async def _listen(call: Call) -> None:
    heard = 0
    await call.accept()
    async for message in call.messages():
        if isinstance(message, bytes):
            heard += len(message)
        elif json.loads(message)["type"] == "Finalize":
            alternative = {"transcript": f"{heard} octets", "confidence": 1.0, "words": []}
            result = {"type": "Results", "channel_index": [0, 1], "duration": 1.0, "start": 0.0, "is_final": True}
            model = {"request_id": "1", "model_uuid": "1", "model_info": {"name": "1", "version": "1", "arch": "1"}}
            await call.say(json.dumps(result | {"channel": {"alternatives": [alternative]}, "metadata": model}))


async def _speak(call: Call) -> None:
    await call.accept()
    async for _ in call.messages():
        await call.say(SPOKEN)


async def _converse(call: Call) -> None:
    """Greet, as the agent does before anything is said, and give back what is heard."""
    await call.accept()
    await call.say(json.dumps({"type": "Welcome", "request_id": "1"}))
    async for message in call.messages():
        await call.say(message)


# Qdrant's and Weaviate's messages, field by field as protobuf writes them.


def _number(value: int) -> bytes:
    return bytes([value & 127 | 128]) + _number(value >> 7) if value > 127 else bytes([value])


def _field(number: int, content: bytes) -> bytes:
    return _number(number << 3 | 2) + _number(len(content)) + content


_COLLECTIONS = _field(1, _field(1, b"widgets"))
_SERVING = bytes([1 << 3, 1])
_FOUND = _field(2, _field(1, b"") + _field(2, _field(20, WIDGET.bytes)))

_ACCOUNT = "https://api.twilio.com/2010-04-01/Accounts/ACDc5Ed6Fe70f81A92Ba3Cb4Dc5Ed6Fe70"
_CUSTOMER = {"id": "cus_1", "object": "customer", "email": "a@acme.example"}
_MONITOR = {"id": 1, "name": "up", "type": "metric alert", "query": "q"}
_REPOSITORY = {"name": "widgets", "full_name": "acme/widgets", "url": "https://api.github.com/repos/acme/widgets"}
_LISTED = {"result": {"collections": [{"name": "widgets"}]}, "status": "ok", "time": 0}
_DAY = "2026-01-01T00:00:00Z"
_NUMBERS = ("entries", "dataSize", "fileSize", "lastBuildTimeS", "numberOfPendingTasks")
_INDEX = {"name": "widgets", "createdAt": _DAY, "updatedAt": _DAY, "pendingTask": False, **dict.fromkeys(_NUMBERS, 0)}
_ALGOLIA = "https://w1dget5app"
_QDRANT = "https://acme.eu-central-1-0.aws.cloud.qdrant.io"
_WEAVIATE = "acme.c0.europe-west3.gcp.weaviate.cloud"
_PUT = "https://files.slack.com/upload/v1/ticket"

REPLIES: Mapping[str, Answer] = {
    "GET https://api.openai.com/v1/models": _same(_MODELS),
    "POST https://api.openai.com/v1/responses": _same(_RESPONSE),
    "POST https://api.openai.com/v1/chat/completions": _completions,
    "POST https://api.anthropic.com/v1/messages": _messages,
    "POST https://generativelanguage.googleapis.com/v1/models/gemini-2.5-flash:generateContent": _same(
        _candidate("I am canned.")
    ),
    "POST https://generativelanguage.googleapis.com/v1/models/gemini-2.5-flash:streamGenerateContent": _generated,
    "POST https://api.mistral.ai/v1/chat/completions": _completions,
    "POST https://api.cohere.com/v2/chat": _chat,
    "POST https://api.groq.com/openai/v1/chat/completions": _completions,
    "GET https://api.stripe.com/v1/customers": _same({"object": "list", "has_more": False, "data": [_CUSTOMER]}),
    "POST https://files.stripe.com/v1/files": _same({"id": "file_1", "object": "file"}),
    f"POST {_ACCOUNT}/Messages.json": _same({"sid": "SM1", "status": "queued"}, 201),
    f"GET https://verify.twilio.com/v2/Services/VA{'0' * 32}": _same({"sid": "VA1", "friendly_name": "Widgets"}),
    "POST https://api.sendgrid.com/v3/mail/send": _same("", 202, ("X-Message-Id", "m1")),
    "GET https://api.sendgrid.com/v3/scopes": _same({"scopes": ["mail.send"]}),
    "POST https://slack.com/api/auth.test": _same({"ok": True, "team": "Acme"}),
    "POST https://slack.com/api/chat.postMessage": _same({"ok": True, "ts": "1.2"}),
    "POST https://slack.com/api/files.getUploadURLExternal": _same({"ok": True, "upload_url": _PUT, "file_id": "F1"}),
    f"POST {_PUT}": _same("OK - 6"),
    "POST https://slack.com/api/files.completeUploadExternal": _same({"ok": True, "files": [{"id": "F1"}]}),
    "GET https://api.notion.com/v1/users/me": _same({"object": "user", "id": "u1", "name": "Acme", "type": "bot"}),
    "POST https://api.notion.com/v1/search": _same({"object": "list", "results": [{"object": "page", "id": "p1"}]}),
    "GET https://api.github.com/user": _same({"login": "acme"}),
    "GET https://api.github.com/repos/acme/widgets": _same(_REPOSITORY),
    "POST https://api.github.com/repos/acme/widgets/issues": _same({"number": 7, "title": "Broken"}, 201),
    "GET https://api.datadoghq.com/api/v1/validate": _same({"valid": True}),
    "GET https://api.datadoghq.com/api/v1/monitor": _same([_MONITOR]),
    "GET https://api.deepgram.com/v1/projects": _same({"projects": [{"project_id": "1", "name": "Acme"}]}),
    "GET wss://api.deepgram.com/v1/listen": _listen,
    "GET wss://api.deepgram.com/v1/speak": _speak,
    "GET wss://agent.deepgram.com/v1/agent/converse": _converse,
    "GET https://us21.api.mailchimp.com/3.0/ping": _same({"health_status": "Everything's Chimpy!"}),
    "GET https://us21.api.mailchimp.com/3.0/lists": _same({"lists": [], "total_items": 3}),
    f"POST {_ALGOLIA}.algolia.net/1/indexes/widgets": _same({"createdAt": _DAY, "taskID": 5, "objectID": "1"}, 201),
    f"GET {_ALGOLIA}-dsn.algolia.net/1/indexes": _same({"items": [_INDEX], "nbPages": 1}),
    f"POST {_ALGOLIA}-dsn.algolia.net/1/indexes/widgets/query": _same(
        {"hits": [{"objectID": "1"}], "processingTimeMS": 1, "query": "x", "params": ""}
    ),
    f"GET {_QDRANT}:6333/collections": _same(_LISTED),
    f"POST {_QDRANT}:6334/qdrant.Collections/List": _message(_COLLECTIONS),
    f"GET https://{_WEAVIATE}/v1/meta": _same({"hostname": f"https://{_WEAVIATE}", "version": "1.32.0", "modules": {}}),
    f"POST https://grpc-{_WEAVIATE}/grpc.health.v1.Health/Check": _message(_SERVING),
    f"POST https://grpc-{_WEAVIATE}/weaviate.v1.Weaviate/Search": _message(_FOUND),
}
