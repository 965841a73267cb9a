import OpenAI from "openai";

const client = new OpenAI();
const models = [];
for await (const model of client.models.list()) models.push(model.id);
const answer = (await client.responses.create({ model: "gpt-5", input: "Who are you?" })).output_text;
const asked = { model: "gpt-5", messages: [{ role: "user", content: "Count." }], stream: true };
const chunks = [];
for await (const chunk of await client.chat.completions.create(asked)) chunks.push(chunk.choices[0].delta.content);
console.log(JSON.stringify({ models, answer, chunks }));
