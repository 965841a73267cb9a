import json
import os

import weaviate
from weaviate.classes.init import AdditionalConfig, Auth

key = Auth.api_key(os.environ["WEAVIATE_API_KEY"])
# It reads the proxy from the environment when it is told to.
reads = AdditionalConfig(trust_env=True)
with weaviate.connect_to_weaviate_cloud(os.environ["WEAVIATE_URL"], key, additional_config=reads) as client:
    version = client.get_meta()["version"]
    found = client.collections.use("Widget").query.fetch_objects(limit=1).objects
print(json.dumps({"version": version, "found": [str(each.uuid) for each in found]}))
