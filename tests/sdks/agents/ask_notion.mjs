import { Client } from "@notionhq/client";

const client = new Client({ auth: process.env.NOTION_TOKEN });
const me = (await client.users.me({})).name;
const found = (await client.search({ query: "x" })).results[0].id;
console.log(JSON.stringify({ me, found }));
