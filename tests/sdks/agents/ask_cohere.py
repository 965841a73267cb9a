import json

from cohere import ClientV2

client = ClientV2()
asked = {"model": "command-a-03-2025", "messages": [{"role": "user", "content": "Count."}]}
answer = client.chat(**asked).message.content[0].text
chunks = [event.delta.message.content.text for event in client.chat_stream(**asked) if event.type == "content-delta"]
print(json.dumps({"answer": answer, "chunks": chunks}))
