import json
import os

from sendgrid import SendGridAPIClient
from sendgrid.helpers.mail import Mail

client = SendGridAPIClient(os.environ["SENDGRID_API_KEY"])
mail = Mail("from@acme.example", "to@acme.example", "Hello", "Hello.")
sent = client.send(mail)
scopes = json.loads(client.client.scopes.get().body)["scopes"]
print(json.dumps({"status": sent.status_code, "id": sent.headers["X-Message-Id"], "scopes": scopes}))
