import { readFileSync } from "node:fs";
import Stripe from "stripe";

// Its own agent knows no proxy; what is built into Node does.
const client = new Stripe(process.env.STRIPE_API_KEY, { httpClient: Stripe.createFetchHttpClient() });
const customers = [];
for await (const customer of client.customers.list()) customers.push(customer.email);
// This goes to another host.
const evidence = { data: readFileSync(import.meta.filename), name: "evidence.txt", type: "text/plain" };
const file = await client.files.create({ purpose: "dispute_evidence", file: evidence });
console.log(JSON.stringify({ customers, file: file.id }));
