// node-vault against a running server. Takes VAULT_ADDR, VAULT_TOKEN and NODE_EXTRA_CA_CERTS; ends with 0 when every
// assertion held. It cleans up nothing: each run gets a server of its own.
'use strict';

const assert = require('node:assert/strict');
const nodeVault = require('node-vault');

const client = (token, namespace) => nodeVault({ endpoint: process.env.VAULT_ADDR, token, namespace });
const root = client(process.env.VAULT_TOKEN);
// A client that makes a token uses that token from then on.
const maker = () => client(process.env.VAULT_TOKEN);

/** Asserts that a call is refused with this status, and a text that matches. */
async function refused(status, text, call) {
  await assert.rejects(call, (error) => {
    assert.equal(error.response && error.response.statusCode, status, error.message);
    assert.match(error.message, text);
    return true;
  });
}

async function server() {
  assert.equal((await root.initialized()).initialized, true);
  const status = await root.status();
  assert.deepEqual([status.sealed, status.progress, typeof status.version], [false, 0, 'string']);
  const health = await root.health();
  assert.deepEqual([health.initialized, health.sealed, health.standby], [true, false, false]);
  assert.equal(typeof (await root.leader()).ha_enabled, 'boolean');
}

async function mounts() {
  await root.mount({ mount_point: 'team', type: 'kv', options: { version: '2' }, description: 'main' });
  await root.mount({ mount_point: 'old', type: 'kv', options: { version: '1' } });
  // Old clients read the top of the answer, newer ones its `data`.
  const listed = await root.mounts();
  for (const place of [listed, listed.data]) {
    assert.equal(place['team/'].description, 'main');
    assert.deepEqual(place['team/'].options, { version: '2' });
    assert.equal(place['sys/'].type, 'system');
  }
  await refused(400, /path is already in use at team\//, () => root.mount({ mount_point: 'team', type: 'kv' }));
  await root.mount({ mount_point: 'short', type: 'kv-v2' });
  await root.unmount({ mount_point: 'short' });
  assert.equal((await root.mounts())['short/'], undefined);
  assert.equal((await root.auths())['token/'].type, 'token');
}

async function version2() {
  const first = await root.write('team/data/app/db', { data: { user: 'a', list: [1, null, { x: true }] } });
  assert.deepEqual([first.data.version, first.data.destroyed, first.data.deletion_time], [1, false, '']);
  const second = await root.write('team/data/app/db', { data: { user: 'b' }, options: { cas: 1 } });
  assert.equal(second.data.version, 2);
  const again = () => root.write('team/data/app/db', { data: { user: 'c' }, options: { cas: 1 } });
  await refused(400, /check-and-set parameter did not match the current version/, again);
  const read = await root.read('team/data/app/db');
  assert.deepEqual([read.data.data, read.data.metadata.version], [{ user: 'b' }, 2]);
  for (const key of ['request_id', 'lease_id', 'renewable', 'lease_duration', 'wrap_info', 'warnings', 'auth']) {
    assert.ok(key in read, key);
  }
  const old = await root.read('team/data/app/db?version=1');
  assert.deepEqual(old.data.data, { user: 'a', list: [1, null, { x: true }] });
  assert.equal((await root.update('team/data/app/db', { data: { pass: 'x' } })).data.version, 3);
  assert.deepEqual((await root.read('team/data/app/db')).data.data, { user: 'b', pass: 'x' });
  // LIST, and GET ?list=1 for who cannot send it.
  assert.deepEqual((await root.list('team/metadata/app')).data.keys, ['db']);
  const plain = nodeVault({ endpoint: process.env.VAULT_ADDR, token: process.env.VAULT_TOKEN, noCustomHTTPVerbs: true });
  assert.deepEqual((await plain.list('team/metadata/')).data.keys, ['app/']);
  await refused(404, /Status 404/, () => root.list('team/metadata/none'));
  await refused(404, /Status 404/, () => root.read('team/data/none'));

  await root.write('team/delete/app/db', { versions: [3] });
  await refused(404, /Status 404/, () => root.read('team/data/app/db'));
  await root.write('team/undelete/app/db', { versions: [3] });
  await root.write('team/destroy/app/db', { versions: [1] });
  const metadata = (await root.read('team/metadata/app/db')).data;
  assert.deepEqual([metadata.current_version, metadata.versions['1'].destroyed], [3, true]);
  await root.write('team/metadata/app/db', { max_versions: 5, custom_metadata: { owner: 'x' } });
  assert.deepEqual((await root.read('team/metadata/app/db')).data.custom_metadata, { owner: 'x' });
  await root.delete('team/data/app/db');
  await refused(404, /Status 404/, () => root.read('team/data/app/db'));
  await root.delete('team/metadata/app/db');
  await refused(404, /Status 404/, () => root.read('team/metadata/app/db'));
}

async function version1() {
  await root.write('old/a/b', { user: 'a', n: 1.5, list: ['x', null] });
  const read = await root.read('old/a/b');
  assert.deepEqual(read.data, { user: 'a', n: 1.5, list: ['x', null] });
  assert.equal(read.lease_duration, 2764800);
  await root.write('old/short', { ttl: '30m' });
  assert.equal((await root.read('old/short')).lease_duration, 1800);
  assert.deepEqual((await root.list('old')).data.keys, ['a/', 'short']);
  await root.delete('old/a/b');
  await refused(404, /Status 404/, () => root.read('old/a/b'));
  await refused(400, /missing data fields/, () => root.write('old/empty', {}));
}

async function policies() {
  const rules = 'path "team/data/app/*" { capabilities = ["create", "read", "update"] }';
  await root.addPolicy({ name: 'dev', rules });
  const listed = await root.policies();
  assert.ok(['default', 'dev', 'root'].every((name) => listed.policies.includes(name)));
  assert.equal((await root.getPolicy({ name: 'dev' })).rules, rules);
  await refused(400, /./, () => root.addPolicy({ name: 'bad', rules: 'path "x" { capabilities = ["nonsense"] }' }));
  await root.addPolicy({ name: 'gone', rules });
  await root.removePolicy({ name: 'gone' });
  await refused(404, /Status 404/, () => root.getPolicy({ name: 'gone' }));
  await refused(400, /./, () => root.removePolicy({ name: 'root' }));
}

async function tokens() {
  const options = { policies: ['dev'], ttl: '30m', display_name: 'x', meta: { k: 'v' } };
  const made = (await maker().tokenCreate(options)).auth;
  assert.deepEqual([made.policies.sort(), made.lease_duration, made.renewable], [['default', 'dev'], 1800, true]);
  const holder = client(made.client_token);
  const own = (await holder.tokenLookupSelf()).data;
  assert.deepEqual([own.id, own.accessor, own.type, own.meta], [made.client_token, made.accessor, 'service', { k: 'v' }]);
  assert.equal((await root.tokenLookup({ token: made.client_token })).data.accessor, made.accessor);
  assert.equal((await root.tokenLookupAccessor({ accessor: made.accessor })).data.id, '');
  assert.ok((await root.tokenAccessors()).data.keys.includes(made.accessor));
  await holder.write('team/data/app/mine', { data: { a: 1 } });
  await refused(403, /permission denied/, () => holder.read('team/data/other'));
  await refused(403, /permission denied/, () => holder.mounts());
  await refused(403, /permission denied/, () => client('s.AAAAAAAAAAAAAAAAAAAAAAAA').read('team/data/app/mine'));
  assert.equal((await holder.tokenRenewSelf({ increment: 600 })).auth.lease_duration, 600);
  assert.equal((await maker().tokenRenew({ token: made.client_token, increment: '20m' })).auth.lease_duration, 1200);

  const parent = (await maker().tokenCreate({})).auth.client_token;
  const child = (await client(parent).tokenCreate({ policies: ['default'] })).auth.client_token;
  const orphan = (await client(parent).tokenCreateOrphan({ policies: ['default'] })).auth;
  assert.equal(orphan.orphan, true);
  await root.tokenRevoke({ token: parent });
  await refused(403, /permission denied/, () => client(child).tokenLookupSelf());
  await client(orphan.client_token).tokenLookupSelf();
  await root.tokenRevokeAccessor({ accessor: orphan.accessor });
  await refused(403, /permission denied/, () => client(orphan.client_token).tokenLookupSelf());
  await holder.tokenRevokeSelf();
  await refused(403, /permission denied/, () => holder.tokenLookupSelf());
}

async function wrapping() {
  await root.write('team/data/wrapped', { data: { a: 'b' } });
  const wrapped = await root.read('team/data/wrapped', { headers: { 'X-Vault-Wrap-TTL': '60' } });
  assert.equal(wrapped.data, null);
  assert.deepEqual([wrapped.wrap_info.ttl, wrapped.wrap_info.creation_path], [60, 'team/data/wrapped']);
  const looked = (await root.write('sys/wrapping/lookup', { token: wrapped.wrap_info.token })).data;
  assert.deepEqual([looked.creation_ttl, looked.creation_path], [60, 'team/data/wrapped']);
  const unwrapped = await root.unwrap({ token: wrapped.wrap_info.token });
  assert.deepEqual(unwrapped.data.data, { a: 'b' });
  const text = /wrapping token is not valid or does not exist/;
  await refused(400, text, () => root.unwrap({ token: wrapped.wrap_info.token }));

  const token = await root.write('auth/token/create', { policies: ['default'] }, { headers: { 'X-Vault-Wrap-TTL': '5m' } });
  assert.equal(typeof token.wrap_info.wrapped_accessor, 'string');
  // By the wrapping token itself, without another.
  const { auth } = await client(token.wrap_info.token).unwrap();
  assert.equal((await client(auth.client_token).tokenLookupSelf()).data.accessor, auth.accessor);
}

async function namespaces() {
  assert.equal((await root.write('sys/namespaces/acme', {})).data.path, 'acme/');
  const acme = client(process.env.VAULT_TOKEN, 'acme');
  await acme.mount({ mount_point: 'team', type: 'kv-v2' });
  await acme.write('team/data/x', { data: { where: 'acme' } });
  assert.equal((await acme.read('team/data/x')).data.data.where, 'acme');
  assert.equal((await root.read('acme/team/data/x')).data.data.where, 'acme');
  await refused(404, /Status 404/, () => root.read('team/data/x'));
}

async function roles() {
  await root.addTokenRole({ role_name: 'r1', allowed_policies: 'dev', orphan: true });
  assert.deepEqual((await root.tokenRoles()).data.keys, ['r1']);
  assert.deepEqual((await root.getTokenRole({ role_name: 'r1' })).data.allowed_policies, ['dev']);
  assert.equal((await maker().tokenCreateRole({ role_name: 'r1', policies: ['dev'] })).auth.orphan, true);
  await refused(400, /./, () => maker().tokenCreateRole({ role_name: 'r1', policies: ['nope'] }));
  await root.removeTokenRole({ role_name: 'r1' });
  await refused(404, /Status 404/, () => root.getTokenRole({ role_name: 'r1' }));
}

async function remount() {
  await root.mount({ mount_point: 'here', type: 'kv-v2' });
  await root.write('here/data/x', { data: { a: 1 } });
  const { migration_id: id } = (await root.remount({ from: 'here', to: 'there' })).data;
  for (;;) {
    const { status } = (await root.read(`sys/remount/status/${id}`)).data.migration_info;
    if (status === 'success') break;
    assert.equal(status, 'in-progress');
    await new Promise((done) => setTimeout(done, 50));
  }
  assert.deepEqual((await root.read('there/data/x')).data.data, { a: 1 });
}

const parts = [server, mounts, version2, version1, policies, roles, tokens, wrapping, remount, namespaces];

(async () => {
  for (const part of parts) {
    try {
      await part();
    } catch (error) {
      console.error(`${part.name}:`, error);
      process.exit(1);
    }
  }
})();
