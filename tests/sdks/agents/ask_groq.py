import json

from groq import Groq

client = Groq()
asked = {"model": "llama-3.3-70b-versatile", "messages": [{"role": "user", "content": "Count."}]}
answer = client.chat.completions.create(**asked).choices[0].message.content
chunks = [chunk.choices[0].delta.content for chunk in client.chat.completions.create(stream=True, **asked)]
print(json.dumps({"answer": answer, "chunks": chunks}))
