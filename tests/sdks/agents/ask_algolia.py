import asyncio
import json
import os

from algoliasearch.search.client import SearchClient


async def main() -> None:
    # Its `SearchClientSync` trusts no file but one of its own.
    async with SearchClient(os.environ["ALGOLIA_APP_ID"], os.environ["ALGOLIA_API_KEY"]) as client:
        saved = (await client.save_object("widgets", {"objectID": "1"})).task_id
        indices = [each.name for each in (await client.list_indices()).items]
        found = (await client.search_single_index("widgets", {"query": "x"})).hits[0].object_id
    print(json.dumps({"saved": saved, "indices": indices, "found": found}))


asyncio.run(main())
