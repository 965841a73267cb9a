// Get one URL with `fetch` of an older Node, which finds the proxy through undici's dispatcher.
const { EnvHttpProxyAgent, fetch, setGlobalDispatcher } = require("undici");

async function main() {
  setGlobalDispatcher(new EnvHttpProxyAgent());
  const headers = { Authorization: `Bearer ${process.env.OPENAI_API_KEY}` };
  const response = await fetch(process.argv[2], { headers });
  console.log(JSON.stringify({ status: response.status, body: await response.json() }));
}

main();
