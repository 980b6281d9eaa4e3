// An OpenID provider (oidc-provider, which is certified) for tests/it/jwt/browser.rs: PORT, REDIRECT_URIS with blanks between, NODE_PATH.
// Its signing key is new at each start. People are whoever the form names, in the groups "ops" and "staff".
"use strict";
const { generateKeyPairSync } = require("node:crypto");
const path = require("node:path");

async function main() {
  const { default: Provider } = await import(path.join(process.env.NODE_PATH, "oidc-provider/lib/index.js"));
  const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  const issuer = `http://127.0.0.1:${process.env.PORT}`;
  const provider = new Provider(issuer, {
    clients: [{
      client_id: "strongroom",
      client_secret: "hidd3n:/% of a client",
      redirect_uris: process.env.REDIRECT_URIS.split(" "),
      response_types: ["code"],
      grant_types: ["authorization_code"],
    }],
    jwks: { keys: [{ ...privateKey.export({ format: "jwk" }), use: "sig", alg: "RS256", kid: `key-${Date.now()}` }] },
    cookies: { keys: ["a key of cookies"] },
    claims: { openid: ["sub"], profile: ["name", "groups"] },
    pkce: { required: () => true, methods: ["S256"] },
    findAccount: (_, id) => ({ accountId: id, claims: () => ({ sub: id, name: `${id} of tests`, groups: ["ops", "staff"] }) }),
  });
  provider.listen(Number(process.env.PORT), "127.0.0.1");
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
