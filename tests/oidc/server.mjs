// A certified authorization server (panva's oidc-provider) over https on loopback, told what to do on standard input.
//
// It says where it listens in its first line of JSON, answers every line that it is sent with one, and ends with its
// input. Nothing here is reachable over the network that a provider would not have: tests count, expire and revoke
// through the pipe. Every secret that it makes begins with the canary that tests search for.

import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:https';
import { createInterface } from 'node:readline';
import { parseArgs } from 'node:util';

console.info = console.error; // the library's notices; standard output is for answers
const { Provider, errors } = await import('oidc-provider');

const { values: given } = parseArgs({
  options: {
    certificate: { type: 'string' },
    key: { type: 'string' },
    clients: { type: 'string' }, // a file with the applications that are known beforehand (RFC 7591, 2)
  },
});

const AT_FIRST = {
  access: 3600, // seconds for which what is given out holds
  refresh: 86400,
  code: 60,
  device: 600,
  interval: 5, // seconds between two questions of a device
  rotates: true, // whether a refresh token is good for one time
  slow: 0, // how many questions of a device are still told to come slower
};
const settings = { ...AT_FIRST };
const SCOPES = ['openid', 'offline_access', 'read', 'write', 'admin'];
const tokenCalls = [];
const apiCalls = [];

// ---- what is kept

const kept = new Map(); // "Model:id" -> payload

class Shelf {
  constructor(model) {
    this.model = model;
  }

  key(id) {
    return `${this.model}:${id}`;
  }

  async find(id) {
    return kept.get(this.key(id));
  }

  async upsert(id, payload) {
    kept.set(this.key(id), payload);
  }

  async consume(id) {
    kept.get(this.key(id)).consumed = now();
  }

  async destroy(id) {
    kept.delete(this.key(id));
  }

  async findByUid(uid) {
    return this.first((payload) => payload.uid === uid);
  }

  async findByUserCode(userCode) {
    return this.first((payload) => payload.userCode === userCode);
  }

  async revokeByGrantId(grantId) {
    for (const [key, payload] of kept) {
      if (key.startsWith(`${this.model}:`) && payload.grantId === grantId) kept.delete(key);
    }
  }

  first(fits) {
    for (const [key, payload] of kept) {
      if (key.startsWith(`${this.model}:`) && fits(payload)) return payload;
    }
    return undefined;
  }
}

function now() {
  return Math.floor(Date.now() / 1000);
}

// ---- pages

function escaped(text) {
  return String(text).replace(/[&<>"']/g, (each) => `&#${each.charCodeAt(0)};`);
}

function page(ctx, title, body) {
  ctx.type = 'html';
  ctx.set('cache-control', 'no-store');
  ctx.body = `<!DOCTYPE html><html lang="en"><meta charset="utf-8"><title>${escaped(title)}</title>
<style>body{font:1.1rem/1.5 sans-serif;max-width:32rem;margin:3rem auto;padding:0 1rem}button{font:inherit}</style>
<h1>${escaped(title)}</h1>${body}`;
}

function asksForLogin(ctx, client) {
  page(ctx, 'Sign in to Certified', `<p>to go on to <b>${escaped(client.clientName || client.clientId)}</b></p>
<form method="post" id="login"><label>Name <input name="login" value="ada" required></label>
<button name="act" value="login">Sign in</button> <button name="act" value="deny">Cancel</button></form>`);
}

function asksForConsent(ctx, client, wanted) {
  const boxes = wanted.map((scope) => `<p><label><input type="checkbox" name="scope" value="${escaped(scope)}" checked>
${escaped(scope)}</label></p>`).join('');
  page(ctx, 'Allow access?', `<p><b>${escaped(client.clientName || client.clientId)}</b> asks for</p>
<form method="post" id="consent">${boxes}
<button name="act" value="allow">Allow</button> <button name="act" value="deny">Deny</button></form>`);
}

const deviceFlow = {
  enabled: true,
  async userCodeInputSource(ctx, form, out, error) {
    page(ctx, 'Connect a device', `${error ? `<p id="wrong">${escaped(error.name)}</p>` : ''}${form}
<button type="submit" form="op.deviceInputForm">Continue</button>`);
  },
  async userCodeConfirmSource(ctx, form, client, device, userCode) {
    page(ctx, 'Is this your device?', `<p><b>${escaped(client.clientName || client.clientId)}</b> shows
<code>${escaped(userCode)}</code></p>${form}<button type="submit" form="op.deviceConfirmForm">Continue</button>
<button type="submit" form="op.deviceConfirmForm" name="abort" value="yes">Deny</button>`);
  },
  async successSource(ctx) {
    page(ctx, 'Device connected', '<p>You can close this window.</p>');
  },
};

async function fields(req) {
  let text = '';
  for await (const piece of req) text += piece;
  return new URLSearchParams(text);
}

async function interaction(ctx) {
  const { prompt, params, session, grantId } = await provider.interactionDetails(ctx.req, ctx.res);
  const client = await provider.Client.find(params.client_id);
  const scopes = prompt.details.missingOIDCScope || [];
  const ofResources = prompt.details.missingResourceScopes || {};
  const wanted = [...scopes, ...Object.values(ofResources).flat()];
  if (ctx.method === 'GET') {
    if (prompt.name === 'login') asksForLogin(ctx, client);
    else asksForConsent(ctx, client, wanted);
    return;
  }
  const form = await fields(ctx.req);
  let result;
  if (form.get('act') === 'deny') {
    result = { error: 'access_denied', error_description: 'The person said no' };
  } else if (prompt.name === 'login') {
    result = { login: { accountId: form.get('login') } };
  } else {
    const agreed = new Set(form.getAll('scope'));
    const grant = grantId
      ? await provider.Grant.find(grantId)
      : new provider.Grant({ accountId: session.accountId, clientId: params.client_id });
    for (const scope of scopes) {
      if (agreed.has(scope)) grant.addOIDCScope(scope);
      else grant.rejectOIDCScope(scope);
    }
    for (const [resource, asked] of Object.entries(ofResources)) {
      for (const scope of asked) {
        if (agreed.has(scope)) grant.addResourceScope(resource, scope);
        else grant.rejectResourceScope(resource, scope);
      }
    }
    result = { consent: { grantId: await grant.save() } };
  }
  const to = await provider.interactionResult(ctx.req, ctx.res, result, { mergeWithLastSubmission: !result.error });
  ctx.status = 303;
  ctx.set('location', to);
}

// ---- what tokens are for

async function held(value) {
  const found = (await provider.AccessToken.find(value)) || (await provider.ClientCredentials.find(value));
  return found && !found.isExpired ? found : undefined;
}

async function api(ctx) {
  const [, value] = /^Bearer (.+)$/i.exec(ctx.get('authorization')) || [];
  let octets = 0;
  for await (const piece of ctx.req) octets += piece.length;
  let token = value && (await held(value));
  if (ctx.path === '/mcp' && token?.aud !== `${issuer}/mcp`) token = undefined; // RFC 8707: one for somebody else
  ctx.status = token ? 200 : 401;
  apiCalls.push({ method: ctx.method, path: ctx.path, status: ctx.status, octets });
  if (token) {
    const scopes = token.scope ? token.scope.split(' ') : [];
    ctx.body = { login: token.accountId || token.clientId, client: token.clientId, scopes, octets };
  } else {
    const said = value ? ', error="invalid_token"' : '';
    ctx.set('www-authenticate', `Bearer resource_metadata="${issuer}/.well-known/oauth-protected-resource/mcp"${said}`);
    ctx.body = { error: value ? 'invalid_token' : 'no token' };
  }
}

function resourceMetadata(ctx) {
  ctx.body = {
    resource: `${issuer}/mcp`,
    authorization_servers: [issuer],
    scopes_supported: ['read', 'write'],
    bearer_methods_supported: ['header'],
  };
}

async function watched(ctx, next) {
  if (ctx.path.startsWith('/interaction/')) return interaction(ctx);
  if (ctx.path.startsWith('/api/') || ctx.path === '/mcp') return api(ctx);
  if (ctx.path === '/.well-known/oauth-protected-resource/mcp') return resourceMetadata(ctx);
  await next();
  if (ctx.path === '/device/auth' && ctx.status === 200) ctx.body = { ...ctx.body, interval: settings.interval };
  if (ctx.path === '/token') {
    tokenCalls.push({
      grant: ctx.oidc?.params?.grant_type || null,
      client: ctx.oidc?.client?.clientId || null,
      status: ctx.status,
      error: ctx.body?.error || null,
    });
  }
  return undefined;
}

// ---- the server

const server = createServer({ cert: readFileSync(given.certificate), key: readFileSync(given.key) });
await new Promise((done) => { server.listen(0, '127.0.0.1', done); });
const issuer = `https://localhost:${server.address().port}`;
const GRANTS = ['authorization_code', 'refresh_token', 'urn:ietf:params:oauth:grant-type:device_code'];

const provider = new Provider(issuer, {
  adapter: Shelf,
  clients: JSON.parse(readFileSync(given.clients)),
  clientDefaults: { grant_types: GRANTS },
  cookies: { keys: ['CANARY-cookies'] },
  features: {
    clientCredentials: { enabled: true },
    deviceFlow,
    devInteractions: { enabled: false },
    registration: { enabled: true, secretFactory: async () => `CANARY-secret-${randomBytes(24).toString('base64url')}` },
    registrationManagement: { enabled: true },
    resourceIndicators: {
      enabled: true,
      async getResourceServerInfo(ctx, resource) {
        if (resource !== `${issuer}/mcp`) throw new errors.InvalidTarget();
        return { scope: 'read write', accessTokenFormat: 'opaque', accessTokenTTL: settings.access };
      },
    },
    revocation: { enabled: true },
  },
  async expiresWithSession() {
    return false;
  },
  async findAccount(ctx, id) {
    return { accountId: id, claims: async () => ({ sub: id }) };
  },
  async issueRefreshToken(ctx, client) {
    return client.grantTypeAllowed('refresh_token');
  },
  pkce: { required: () => true },
  rotateRefreshToken: () => settings.rotates,
  async renderError(ctx, out) {
    page(ctx, 'Something is wrong', `<p id="wrong">${escaped(out.error)}: ${escaped(out.error_description)}</p>`);
  },
  scopes: SCOPES,
  ttl: {
    AccessToken: () => settings.access,
    AuthorizationCode: () => settings.code,
    ClientCredentials: () => settings.access,
    DeviceCode: () => settings.device,
    Grant: 86400,
    IdToken: 3600,
    Interaction: 600,
    RefreshToken: () => settings.refresh,
    Session: 86400,
  },
});

const SECRETS = ['AccessToken', 'AuthorizationCode', 'ClientCredentials', 'DeviceCode', 'RefreshToken', 'RegistrationAccessToken'];
for (const model of SECRETS) {
  const made = provider[model].prototype.generateTokenId;
  provider[model].prototype.generateTokenId = function generateTokenId() {
    return `CANARY-${model}-${made.call(this)}`;
  };
}
const findDevice = provider.DeviceCode.find;
provider.DeviceCode.find = async function find(...words) {
  if (settings.slow > 0) {
    settings.slow -= 1;
    throw new errors.SlowDown('ask less often');
  }
  return findDevice.apply(this, words);
};
provider.use(watched);
server.on('request', provider.callback());

// ---- what a test says

function expire(model) {
  for (const [key, payload] of kept) if (key.startsWith(`${model}:`)) payload.exp = now() - 60;
}

const ACTS = {
  calls: () => ({ token: tokenCalls, api: apiCalls }),
  set: ({ to }) => Object.assign(settings, to) && {},
  expire: ({ model }) => expire(model) || {},
  revoke: () => {
    for (const key of kept.keys()) if (/^(AccessToken|RefreshToken|Grant):/.test(key)) kept.delete(key);
    return {};
  },
  alive: async ({ value }) => {
    const found = (await held(value)) || (await provider.RefreshToken.find(value));
    return { alive: Boolean(found && found.isValid) };
  },
  reset: () => {
    kept.clear();
    tokenCalls.length = 0;
    apiCalls.length = 0;
    Object.assign(settings, AT_FIRST);
    return {};
  },
};

console.log(JSON.stringify({ issuer }));
for await (const line of createInterface({ input: process.stdin })) {
  const asked = JSON.parse(line);
  console.log(JSON.stringify(await ACTS[asked.act](asked)));
}
process.exit(0);
