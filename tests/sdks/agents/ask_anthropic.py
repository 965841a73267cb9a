import json

from anthropic import Anthropic

client = Anthropic()
asked = {"model": "claude-opus-4", "max_tokens": 64, "messages": [{"role": "user", "content": "Count."}]}
message = client.messages.create(**asked)
with client.messages.stream(**asked) as stream:
    chunks = list(stream.text_stream)
print(json.dumps({"answer": message.content[0].text, "tokens": message.usage.output_tokens, "chunks": chunks}))
