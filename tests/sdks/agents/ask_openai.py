import json

from openai import OpenAI

client = OpenAI()
models = [model.id for model in client.models.list()]
answer = client.responses.create(model="gpt-5", input="Who are you?").output_text
with client.chat.completions.create(
    model="gpt-5", messages=[{"role": "user", "content": "Count."}], stream=True
) as stream:
    chunks = [chunk.choices[0].delta.content for chunk in stream if chunk.choices]
print(json.dumps({"models": models, "answer": answer, "chunks": chunks}))
