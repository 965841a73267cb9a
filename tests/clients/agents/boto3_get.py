"""Get one object from a storage that speaks S3, with whatever AWS's signature makes of the placeholder."""

import json
import os

import boto3  # type: ignore[import-untyped]  # it has none
from botocore.config import Config  # type: ignore[import-untyped]  # it has none

key = os.environ["ACME_API_KEY"]
client = boto3.client(
    "s3",
    endpoint_url="https://storage.example",
    region_name="acme",
    aws_access_key_id=key,
    aws_secret_access_key=key,
    config=Config(s3={"addressing_style": "path"}, retries={"max_attempts": 0}),
)
answer = client.get_object(Bucket="bucket", Key="key")
print(json.dumps({"body": answer["Body"].read().decode(), "held": key}))
