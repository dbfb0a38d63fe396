// oidc-provider as the specs need it: client credentials over TLS on the loopback address, a protected resource, and
// outages on demand. Settings come as JSON in a file, for they hold secrets.
// SPDX-License-Identifier: MIT

import { webcrypto } from "node:crypto";
import { readFileSync } from "node:fs";
import https from "node:https";
import Provider, { errors } from "oidc-provider";

// What Debian 12's node has not yet and oidc-provider needs.
URL.parse ??= (text, base) => (URL.canParse(text, base) ? new URL(text, base) : null);
globalThis.crypto ??= webcrypto;

const settings = JSON.parse(readFileSync(process.argv[2], "utf8"));
const resource = "urn:example:devices";

const provider = new Provider(settings.issuer, {
  clients: settings.clients.map((client) => ({
    grant_types: ["client_credentials"],
    redirect_uris: [],
    response_types: [],
    ...client,
  })),
  clientAuthMethods: ["client_secret_basic", "client_secret_post"],
  scopes: ["read", "write", "admin"],
  features: {
    devInteractions: { enabled: false },
    clientCredentials: { enabled: true },
    introspection: { enabled: true },
    revocation: { enabled: true },
    resourceIndicators: {
      enabled: true,
      getResourceServerInfo(ctx, indicator) {
        if (indicator !== resource) throw new errors.InvalidTarget();
        return { scope: "read write", audience: resource, accessTokenFormat: "jwt", jwt: { sign: { alg: "RS256" } } };
      },
    },
  },
  ttl: { ClientCredentials: settings.lifetime },
});

// Token exchange as its documentation shows: https://github.com/panva/node-oidc-provider/tree/main/docs#custom-grant-types
const accessToken = "urn:ietf:params:oauth:token-type:access_token";
provider.registerGrantType(
  "urn:ietf:params:oauth:grant-type:token-exchange",
  async (ctx) => {
    const { subject_token: subjectToken, subject_token_type: subjectTokenType } = ctx.oidc.params;
    const subject = subjectToken && (await provider.ClientCredentials.find(subjectToken));
    if (!subject || subjectTokenType !== accessToken) throw new errors.InvalidGrant("subject token is not active");
    const token = new provider.ClientCredentials({ client: ctx.oidc.client, scope: ctx.oidc.params.scope });
    ctx.body = {
      access_token: await token.save(),
      expires_in: token.expiration,
      issued_token_type: accessToken,
      token_type: token.tokenType,
    };
  },
  ["audience", "resource", "scope", "requested_token_type", "subject_token", "subject_token_type"],
);

let failure = { times: 0 };
const log = [];

const body = async (request) => {
  let text = "";
  for await (const chunk of request) text += chunk;
  return text;
};

const control = {
  async "/control/fail"(ctx) {
    failure = JSON.parse(await body(ctx.req));
    ctx.body = {};
  },
  "/control/log"(ctx) {
    ctx.body = log;
  },
  async "/api/devices"(ctx) {
    const token = (ctx.get("authorization").match(/^Bearer (.+)$/) || [])[1];
    const found = token && (await provider.ClientCredentials.find(token));
    ctx.status = found ? 200 : 401;
    ctx.body = found ? { items: [{ name: "switch-1" }] } : { message: "no valid token" };
  },
};

provider.use(async (ctx, next) => {
  const handler = control[ctx.path];
  if (handler) {
    await handler(ctx);
    return;
  }
  if (ctx.path === "/token") {
    log.push({ method: ctx.method, url: ctx.url, headers: Object.keys(ctx.headers) });
    if (failure.times > 0) {
      failure.times -= 1;
      ctx.status = failure.status;
      if (failure.retry_after !== undefined) ctx.set("retry-after", String(failure.retry_after));
      return;
    }
  }
  await next();
});

const tls = { cert: readFileSync(settings.cert_file), key: readFileSync(settings.key_file) };
https.createServer(tls, provider.callback()).listen(settings.port, "127.0.0.1");
