import { Octokit } from "@octokit/rest";

const client = new Octokit({ auth: process.env.GITHUB_TOKEN });
const widgets = { owner: "acme", repo: "widgets" };
const repository = (await client.rest.repos.get(widgets)).data.full_name;
const issue = (await client.rest.issues.create({ ...widgets, title: "Broken", body: "It is." })).data.number;
const login = (await client.rest.users.getAuthenticated()).data.login;
console.log(JSON.stringify({ login, repository, issue }));
