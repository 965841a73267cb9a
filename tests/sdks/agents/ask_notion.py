import json
import os

from notion_client import Client

client = Client(auth=os.environ["NOTION_TOKEN"])
print(json.dumps({"me": client.users.me()["name"], "found": client.search(query="x")["results"][0]["id"]}))
