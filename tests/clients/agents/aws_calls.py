"""Use four services of AWS with keys that are none, as a program does that knows nothing of a proxy."""

import io
import json
import os
import sys

import boto3  # type: ignore[import-untyped]  # it has none
import httpx
from boto3.s3.transfer import TransferConfig  # type: ignore[import-untyped]  # it has none
from botocore.config import Config  # type: ignore[import-untyped]  # it has none
from botocore.exceptions import ClientError  # type: ignore[import-untyped]  # it has none

CONFIG = Config(retries={"max_attempts": 0})  # a bucket is a name of its own, as boto3 has it
BY_PATH = CONFIG.merge(Config(s3={"addressing_style": "path"}))
PART = 5 << 20


def _storage() -> dict[str, object]:
    s3 = boto3.client("s3", config=CONFIG)
    boto3.client("s3", config=BY_PATH).put_object(
        Bucket="bucket", Key="a key/ä+b", Body=b"stored", Metadata={"who": "me"}
    )
    got = s3.get_object(Bucket="bucket", Key="a key/ä+b")["Body"].read().decode()
    s3.upload_fileobj(
        io.BytesIO(b"x" * (2 * PART + 7)),
        "bucket",
        "large",
        Config=TransferConfig(multipart_threshold=PART, multipart_chunksize=PART, max_concurrency=2),
    )
    large = len(s3.get_object(Bucket="bucket", Key="large")["Body"].read())
    asked = {"Bucket": "bucket", "Key": "presigned"}
    httpx.put(s3.generate_presigned_url("put_object", asked), content=b"by url").raise_for_status()  # of Version 2
    newer = boto3.client("s3", config=CONFIG.merge(Config(signature_version="s3v4")))
    presigned = httpx.get(newer.generate_presigned_url("get_object", asked, ExpiresIn=86400)).text
    return {"got": got, "large": large, "presigned": presigned}


def _others() -> dict[str, object]:
    sts = boto3.client("sts", config=CONFIG)
    identity = sts.get_caller_identity()
    try:
        sts.get_session_token()
        refused = "nothing"
    except ClientError as error:
        refused = error.response["Error"]["Code"]
    item = boto3.client("dynamodb", config=CONFIG).get_item(TableName="t", Key={"id": {"S": "7"}})["Item"]
    return {"account": identity["Account"], "said": identity["Arn"], "refused": refused, "item": item}


def _stream() -> list[str]:
    bedrock = boto3.client("bedrock-runtime", config=CONFIG)
    text = "x" * (3 << 20)
    asked = [{"role": "user", "content": [{"text": text}]}]
    found = []
    for event in bedrock.converse_stream(modelId="anthropic.claude-v2:1", messages=asked)["stream"]:
        if "contentBlockDelta" in event:
            found.append(event["contentBlockDelta"]["delta"]["text"])
            boto3.client("s3", config=CONFIG).get_object(Bucket="bucket", Key="release")
    return found


held = [os.environ.get(f"AWS_{name}") for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "SESSION_TOKEN", "REGION")]
json.dump({**_storage(), **_others(), "stream": _stream(), "held": held}, sys.stdout)
