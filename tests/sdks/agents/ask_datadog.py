import json
import os
from urllib.parse import urlsplit

from datadog_api_client import ApiClient, Configuration
from datadog_api_client.v1.api.authentication_api import AuthenticationApi
from datadog_api_client.v1.api.monitors_api import MonitorsApi
from urllib3 import make_headers

# It reads its keys from the environment, and neither the proxy nor whom to trust.
configuration = Configuration(ssl_ca_cert=os.environ["SSL_CERT_FILE"])
configuration.proxy = os.environ["HTTPS_PROXY"]
proxy = urlsplit(configuration.proxy)
configuration.proxy_headers = make_headers(proxy_basic_auth=f"{proxy.username}:{proxy.password}")

with ApiClient(configuration) as client:
    valid = AuthenticationApi(client).validate().valid
    monitors = [monitor.name for monitor in MonitorsApi(client).list_monitors()]
print(json.dumps({"valid": valid, "monitors": monitors}))
