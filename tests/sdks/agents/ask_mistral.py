import json
import os

from mistralai.client import Mistral

with Mistral(api_key=os.environ["MISTRAL_API_KEY"]) as client:
    asked = {"model": "mistral-small-latest", "messages": [{"role": "user", "content": "Count."}]}
    answer = client.chat.complete(**asked).choices[0].message.content
    chunks = [event.data.choices[0].delta.content for event in client.chat.stream(**asked)]
print(json.dumps({"answer": answer, "chunks": chunks}))
