// sigstore-js as a command, for the tests: its own CLI takes no trusted root.
//
//   client.mjs sign   --kind blob|dsse --bundle OUT [--type PAYLOADTYPE] FILE
//                     (--token T --signing-config F | --key PKCS8.pem --hint H)
//   client.mjs verify --bundle F [--trusted-root F] [--identity I --issuer U | --key SPKI.pem --hint H]
//                     [--tlog N] [--ctlog N] [--timestamps N] [FILE]
//
// Exit 0: done; 1: sigstore-js said no, its message is on standard error.
import { createPrivateKey, createPublicKey, sign as signBytes } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { bundleFromJSON, bundleToJSON } from '@sigstore/bundle';
import { SigningConfig, TrustedRoot } from '@sigstore/protobuf-specs';
import { bundleBuilderFromSigningConfig, DSSEBundleBuilder, MessageSignatureBundleBuilder } from '@sigstore/sign';
import { toSignedEntity, toTrustMaterial, Verifier } from '@sigstore/verify';

const text = { type: 'string' };
const { values: flags, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    bundle: text, kind: text, type: text, token: text, 'signing-config': text, key: text, hint: text,
    'trusted-root': text, identity: text, issuer: text, tlog: text, ctlog: text, timestamps: text,
  },
});
const [verb, file] = positionals;
const json = (path) => JSON.parse(readFileSync(path, 'utf8'));

async function sign() {
  const dsse = flags.kind === 'dsse';
  let builder;
  if (flags.key) {
    const key = createPrivateKey(readFileSync(flags.key));
    const publicKey = createPublicKey(key).export({ format: 'pem', type: 'spki' });
    const hash = key.asymmetricKeyType === 'ed25519' ? null : 'sha256';
    const signer = {
      sign: async (data) => ({
        signature: signBytes(hash, data, key),
        key: { $case: 'publicKey', publicKey, hint: flags.hint },
      }),
    };
    builder = dsse
      ? new DSSEBundleBuilder({ signer, witnesses: [] })
      : new MessageSignatureBundleBuilder({ signer, witnesses: [] });
  } else {
    builder = bundleBuilderFromSigningConfig({
      signingConfig: SigningConfig.fromJSON(json(flags['signing-config'])),
      identityProvider: { getToken: async () => flags.token },
      bundleType: dsse ? 'dsseEnvelope' : 'messageSignature',
      fetchOptions: { timeout: 30000, retry: { retries: 0 } },
    });
  }
  const bundle = await builder.create({ data: readFileSync(file), type: flags.type ?? 'application/vnd.in-toto+json' });
  writeFileSync(flags.bundle, JSON.stringify(bundleToJSON(bundle)));
}

function verify() {
  const bundle = bundleFromJSON(json(flags.bundle));
  const root = flags['trusted-root']
    ? TrustedRoot.fromJSON(json(flags['trusted-root']))
    : { certificateAuthorities: [], timestampAuthorities: [], tlogs: [], ctlogs: [] };
  const keys = {};
  if (flags.key) {
    const rawBytes = createPublicKey(readFileSync(flags.key)).export({ format: 'der', type: 'spki' });
    keys[flags.hint] = { rawBytes, keyDetails: 0 };
  }
  const count = (given) => Number.parseInt(given ?? '1', 10);
  const verifier = new Verifier(toTrustMaterial(root, keys), {
    tlogThreshold: count(flags.tlog),
    ctlogThreshold: count(flags.ctlog),
    timestampThreshold: count(flags.timestamps),
  });
  const entity = toSignedEntity(bundle, file ? readFileSync(file) : undefined);
  const policy = flags.identity
    ? { subjectAlternativeName: flags.identity, extensions: { issuer: flags.issuer } }
    : undefined;
  verifier.verify(entity, policy);
}

try {
  await { sign, verify }[verb]();
} catch (error) {
  console.error(`${error.code ?? error.name}: ${error.message}${error.cause ? ` (${error.cause.message})` : ''}`);
  process.exit(1);
}
