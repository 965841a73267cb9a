import json
import os

from qdrant_client import QdrantClient

NAMES = {"url": os.environ["QDRANT_URL"], "api_key": os.environ["QDRANT_API_KEY"], "check_compatibility": False}

collections = [each.name for each in QdrantClient(**NAMES).get_collections().collections]
remote = [each.name for each in QdrantClient(**NAMES, prefer_grpc=True, timeout=20).get_collections().collections]
print(json.dumps({"rest": collections, "grpc": remote}))
