import json

from google import genai

client = genai.Client()
answer = client.models.generate_content(model="gemini-2.5-flash", contents="Who are you?").text
chunks = [each.text for each in client.models.generate_content_stream(model="gemini-2.5-flash", contents="Count.")]
print(json.dumps({"answer": answer, "chunks": chunks}))
