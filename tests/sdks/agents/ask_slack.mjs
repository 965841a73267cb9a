import { WebClient } from "@slack/web-api";

const client = new WebClient(process.env.SLACK_BOT_TOKEN);
const { team } = await client.auth.test();
const posted = (await client.chat.postMessage({ channel: "C0123456789", text: "Hello." })).ts;
const hello = { channel_id: "C0123456789", filename: "hello.txt", content: "Hello." };
const uploaded = await client.filesUploadV2(hello);
console.log(JSON.stringify({ team, posted, file: uploaded.files[0].files[0].id }));
