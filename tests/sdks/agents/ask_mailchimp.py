import json
import os

from mailchimp_marketing import Client

client = Client({"api_key": os.environ["MAILCHIMP_API_KEY"]})  # which says the data centre
print(json.dumps({"health": client.ping.get()["health_status"], "lists": client.lists.get_all_lists()["total_items"]}))
