import json
import os
from pathlib import Path

import stripe

# It trusts a file of its own unless it is told another.
stripe.ca_bundle_path = os.environ["SSL_CERT_FILE"]

client = stripe.StripeClient(os.environ["STRIPE_API_KEY"])
customers = [customer.email for customer in client.v1.customers.list().auto_paging_iter()]
with Path(__file__).open("rb") as evidence:  # which goes to another host
    file = client.v1.files.create({"purpose": "dispute_evidence", "file": evidence})
print(json.dumps({"customers": customers, "file": file.id}))
