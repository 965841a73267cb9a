import json
import os

from slack_sdk import WebClient

client = WebClient(token=os.environ["SLACK_BOT_TOKEN"])
team = client.auth_test()["team"]
posted = client.chat_postMessage(channel="C0123456789", text="Hello.")
uploaded = client.files_upload_v2(channel="C0123456789", filename="hello.txt", content="Hello.")
print(json.dumps({"team": team, "posted": posted["ts"], "file": uploaded["file"]["id"]}))
