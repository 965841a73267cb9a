import Anthropic from "@anthropic-ai/sdk";

const client = new Anthropic();
const asked = { model: "claude-opus-4", max_tokens: 64, messages: [{ role: "user", content: "Count." }] };
const message = await client.messages.create(asked);
const chunks = [];
for await (const event of await client.messages.create({ ...asked, stream: true }))
  if (event.type === "content_block_delta") chunks.push(event.delta.text);
console.log(JSON.stringify({ answer: message.content[0].text, tokens: message.usage.output_tokens, chunks }));
