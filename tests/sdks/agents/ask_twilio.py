import json

from twilio.rest import Client

client = Client()
message = client.messages.create(to="+15005550006", from_="+15005550001", body="Hello.")
service = client.verify.v2.services("VA" + "0" * 32).fetch()  # on another host
print(json.dumps({"message": message.sid, "status": message.status, "service": service.friendly_name}))
