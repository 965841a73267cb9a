// Get one URL with the `https` that Node has built in, or with axios.
const [, , client, url] = process.argv;
const headers = { Authorization: `Bearer ${process.env.OPENAI_API_KEY}` };

if (client === "axios") {
  require("axios").get(url, { headers }).then((response) => console.log(JSON.stringify({ status: response.status })));
} else {
  require("node:https").get(url, { headers }, (response) => {
    response.resume();
    console.log(JSON.stringify({ status: response.statusCode }));
  });
}
