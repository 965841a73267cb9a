"""List models and stream a completion with OpenAI's own client, which has nothing but the environment."""

import json
import os
import urllib.request
import uuid

from openai import OpenAI
from openai.types.chat import ChatCompletionUserMessageParam

QUESTION: ChatCompletionUserMessageParam = {"role": "user", "content": "?"}

client = OpenAI(max_retries=0, timeout=45)
models = [model.id for model in client.models.list()]
stream_id = uuid.uuid4().hex
chunks: list[str | None] = []
with client.chat.completions.create(model="canned-1", messages=[QUESTION], stream=True, user=stream_id) as stream:
    for chunk in stream:
        chunks.append(chunk.choices[0].delta.content)
        if len(chunks) == 1:
            # The origin holds the last chunk back until this request: a proxy that buffered would wait for ever.
            with urllib.request.urlopen(
                f"https://api.openai.com/v1/release?stream={stream_id}", timeout=30
            ) as response:
                response.read()
client.close()
print(json.dumps({"models": models, "chunks": chunks, "key": os.environ["OPENAI_API_KEY"]}))
