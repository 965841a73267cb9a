// Get one URL with the `fetch` that this Node has built in; it finds the proxy by NODE_USE_ENV_PROXY.
const headers = { Authorization: `Bearer ${process.env.OPENAI_API_KEY}` };
const response = await fetch(process.argv[2], { headers });
console.log(JSON.stringify({ status: response.status, body: await response.json() }));
